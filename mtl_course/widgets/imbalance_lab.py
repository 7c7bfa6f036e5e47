"""Turn four knobs that are usually turned together, and see at once what the network will be fed."""

__all__ = [
    "KNOB_NAMES",
    "SAME",
    "ON_LINE",
    "STOPS",
    "SKEWS",
    "TEMPERATURES",
    "WEIGHTS",
    "Knobs",
    "Data",
    "read_data",
    "kept_signs",
    "Composition",
    "study_steps",
    "compose",
    "coordinates",
    "knobs_of",
    "Outcome",
    "Measured",
    "Board",
    "ImbalanceLab",
    "describe",
]

import html, math
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
import ipywidgets as ipw, numpy as np, pandas as pd
from fastcore.basics import patch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from ..plots.comparison import COUNT_COLUMNS, count_data
from ..config import TASKS, make_config
from ..core.errors import UserError
from ..core.files import project_root
from ..data.loaders import prepare_data
from ..data.sampling import subsample_indices, task_probabilities
from ..evaluation.results import read_table
from ..studies.runner import STUDY_COLUMNS, headline_scores, mean_and_interval
from ..plots.figures import METRIC_LABELS, TASK_COLOURS, TASK_LABELS, TASK_MARKERS, style
from ..plots.imbalance import find_result, read_gramians, update_shares
from ..metrics.scores import PRIMARY_METRIC
from ..studies.plans import STUDIES, study_command
from .base import Picture, Playable, checked_number, choice, sweep_to_jshtml


@dataclass(frozen=True)
class Knobs:
    "What can be turned. `temperature` None: a batch of every task in each step; else one task is drawn for a step."

    images: tuple[int, int, int]  # training images that may be used, in the order of TASKS
    skew: float = 1.0  # signs of the most frequent class for one of the rarest
    temperature: float | None = None
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Data:
    "What there is to choose from."

    images: tuple[int, int, int]  # all training images, in the order of TASKS
    signs: tuple[int, ...]  # of each class
    batch: tuple[int, int, int]  # images in a batch


def read_data(results_dir: str | Path) -> Data:
    "The training part of the studies' data, from study_data.csv; where that is missing the data is made and counted."
    config, path = make_config("study"), find_result(results_dir, "study_data.csv")
    if path.is_file():
        table = read_table(path, COUNT_COLUMNS, "python benchmarks/study_data.py")
    else:
        prepare_data(config)
        table = count_data(config)
    table = table[table["part"] == "train"]
    counts = table[table["class"] == "all"].set_index("task")["count"]
    signs = table[(table["task"] == "classification") & (table["class"] != "all")]["count"]
    return Data(
        tuple(int(counts[t]) for t in TASKS), tuple(signs.astype(int)), tuple(config.batch_size_of(t) for t in TASKS)
    )


@lru_cache(maxsize=512)
def kept_signs(signs: tuple, limit: int, skew: float) -> tuple:  # of each class
    "How many signs of each class a training with this limit and skew uses."
    labels = np.repeat(np.arange(len(signs)), signs)
    return tuple(
        np.bincount(
            labels[subsample_indices(labels, len(labels), 0 if limit >= len(labels) else limit, skew)],
            minlength=len(signs),
        ).tolist()
    )


@dataclass
class Composition:
    "What the knobs make of a step, an epoch and the summed gradient."

    images: dict[str, int]  # task -> images in use
    probability: dict[str, float]  # task -> that a step holds it
    batches: dict[str, float]  # task -> expected in the epoch
    seen: dict[str, float]  # task -> times that each of its images is seen in the epoch, on average
    signs: np.ndarray  # (43,) signs of each class in the epoch, most frequent first
    shares: dict[str, float] | None  # task -> its part of the summed gradient; None: no gradients were recorded
    steps: int


@lru_cache
def study_steps(drawn: bool = False) -> int:  # whether each step holds one task
    "Steps of the studies' runs: three times as many where one task is drawn for each."
    config = make_config("study")
    return config.epochs * config.steps_per_epoch * (len(TASKS) if drawn else 1)


def compose(
    knobs: Knobs,
    data: Data,
    steps: int | None = None,  # None: those of the studies' runs
    gramians: np.ndarray | None = None,
) -> Composition:  # gramians (S, 3, 3) of the trunk
    "Follows the knobs through the sampler and the sum of gradients."
    steps = steps or study_steps(knobs.temperature is not None)
    signs = kept_signs(data.signs, knobs.images[0], knobs.skew)
    used = dict(zip(TASKS, (sum(signs), *knobs.images[1:])))
    probability = (
        dict.fromkeys(TASKS, 1.0) if knobs.temperature is None else task_probabilities(used, knobs.temperature)
    )
    batches = {t: steps * p for t, p in probability.items()}
    seen = {t: batches[t] * b / used[t] for t, b in zip(TASKS, data.batch)}
    shares = (
        None
        if gramians is None
        else dict(
            zip(TASKS, update_shares(gramians, np.array(knobs.weights) * np.array(list(probability.values()))).tolist())
        )
    )
    return Composition(
        used, probability, batches, seen, np.sort(np.array(signs) * seen["classification"])[::-1], shares, steps
    )


KNOB_NAMES = (
    "sign images",
    "scene images",
    "lane images",
    "class skew",
    "sign weight",
    "scene weight",
    "lane weight",
    "one task per step",
    "1/temperature",
)


def coordinates(knobs: Knobs, data: Data) -> np.ndarray:  # (9,) in the order of KNOB_NAMES
    "A point in the space of knobs: base-10 logarithms, and two numbers for sampling."
    images = list(knobs.images)
    if sum(kept_signs(data.signs, images[0], knobs.skew)) >= sum(
        kept_signs(data.signs, data.images[0], knobs.skew)
    ) - len(data.signs):
        images[0] = data.images[0]  # the skew leaves no more anyway, but for rounding
    weights = np.log10(knobs.weights)
    drawn = knobs.temperature is not None
    return np.array(
        [
            *np.log10(images),
            math.log10(knobs.skew),
            *(weights - weights.mean()),
            drawn,
            1 / knobs.temperature if drawn else 0.0,
        ]
    )


_KNOB_FIELDS = {
    "class_skew",
    "task_sampling",
    "sampling_temperature",
    "steps_per_epoch",
    *(f"{t}_{k}" for t in TASKS for k in ("limit", "weight")),
}


def knobs_of(fields: dict | list, data: Data) -> Knobs | None:
    "The knobs of a study's run; None for one that turns anything else (a balancer, augmentation, a single task)."
    if not isinstance(fields, dict) or not set(fields) <= _KNOB_FIELDS or fields.get("task_sampling") == "loss":
        return None
    drawn = fields.get("task_sampling") == "temperature"
    if ("steps_per_epoch" in fields) != drawn:
        return None  # three times as many steps belong to drawn tasks, and to them alone
    return Knobs(
        tuple(fields.get(f"{t}_limit", 0) or n for t, n in zip(TASKS, data.images)),
        float(fields.get("class_skew", 1)),
        float(fields["sampling_temperature"]) if drawn else None,
        tuple(float(fields.get(f"{t}_weight", 1)) for t in TASKS),
    )


@dataclass
class Outcome:
    "What the table knows about a setting of the knobs."

    kind: str  # measured, interpolated, nearest or none
    runs: tuple[str, ...] = ()  # one run; two that were interpolated
    scores: dict = field(default_factory=dict)  # task -> (mean, low, high) of its headline score; NaN for no interval
    seeds: int = 0  # the fewest of the runs
    distance: float = 0.0  # to the nearest run, in factors of ten
    differs: str = ""  # in words, for `nearest`


class Measured:
    "The runs of a table as points in the space of knobs."

    def __init__(self, table: pd.DataFrame, data: Data, part: str = "test"):  # STUDY_COLUMNS
        self.data, runs = data, {n: f for study in STUDIES.values() for n, f in study.items()}
        scores = headline_scores(table, part) if (table["part"] == part).any() else None
        there = set() if scores is None else set(scores.index.get_level_values("run"))
        self.knobs = {n: k for n, f in runs.items() if n in there and (k := knobs_of(f, data))}
        self.scores = {n: {t: mean_and_interval(scores.loc[n][t].dropna()) for t in TASKS} for n in self.knobs}
        self.seeds = {n: len(scores.loc[n]) for n in self.knobs}
        self.points = np.array([coordinates(k, data) for k in self.knobs.values()]).reshape(-1, len(KNOB_NAMES))


SAME, ON_LINE = 0.01, 0.02  # distances within which a setting counts as a run, and as on the line between two


def _between(
    points: np.ndarray, x: np.ndarray
) -> tuple | None:  # (N, D), (D,) -> (index, index, how far from the first to the second)
    "The closest two points between which x lies, on their straight line; None if there are none."
    a, b = np.triu_indices(len(points), 1)
    line = points[b] - points[a]
    length = np.linalg.norm(line, axis=1)
    along = ((x - points[a]) * line).sum(1) / np.maximum(length, 1e-12) ** 2
    off = np.linalg.norm(points[a] + along[:, None] * line - x, axis=1)
    good = np.flatnonzero((off <= ON_LINE) & (along > 0) & (along < 1) & (length > SAME))
    if not len(good):
        return None
    k = good[length[good].argmin()]
    return int(a[k]), int(b[k]), float(along[k])


def _turned(weights: tuple, others: tuple) -> np.ndarray:  # (3,) base-10 logarithms
    "How far each weight is from another run's, but for a factor that most have in common: nobody turned that."
    ratios = np.log10(weights) - np.log10(others)
    common = max((0.0, *ratios), key=lambda c: np.isclose(ratios, c, atol=0.005).sum())  # in doubt 0: as they stand
    return ratios - common


@patch
def nearest(self: Measured, knobs: Knobs) -> Outcome:
    "The measured run at these knobs, else the interpolation of the two between which they lie, else the nearest run."
    if not len(self.points):
        return Outcome("none")
    x, names = coordinates(knobs, self.data), list(self.knobs)
    distances = np.linalg.norm(self.points - x, axis=1)
    k = int(distances.argmin())
    name, distance = names[k], float(distances[k])
    if distance <= SAME:
        return Outcome("measured", (name,), self.scores[name], self.seeds[name], distance)
    if pair := _between(self.points, x):
        first, second, t = names[pair[0]], names[pair[1]], pair[2]
        mixed = {
            task: ((1 - t) * self.scores[first][task][0] + t * self.scores[second][task][0], math.nan, math.nan)
            for task in TASKS
        }
        return Outcome("interpolated", (first, second), mixed, min(self.seeds[first], self.seeds[second]), distance)
    apart = self.points[k] - x
    apart[4:7] = _turned(
        self.knobs[name].weights, knobs.weights
    )  # the coordinates are centred: one weight moves all three
    order = [i for i in np.argsort(-abs(apart), kind="stable") if abs(apart[i]) > 0.005]
    return Outcome(
        "nearest", (name,), self.scores[name], self.seeds[name], distance, ", ".join(KNOB_NAMES[i] for i in order)
    )


_SHORT = {"classification": "signs", "detection": "scenes", "lane": "lanes"}
_KINDS = {
    "measured": "MEASURED",
    "interpolated": "INTERPOLATED between two runs",
    "nearest": "NEAREST measured run, not the same",
    "none": "no measured runs",
}


def _run_label(name: str) -> str:  # "fixed 1:5:30" alone does not say whose weights these are
    return f"{name} ({':'.join(_SHORT.values())})" if name.startswith("fixed ") else name


def _score(found: Outcome, task: str) -> str:
    "A score in as many digits as it deserves: three when measured, two when interpolated."
    mean = found.scores.get(task, (math.nan,))[0]
    return "" if math.isnan(mean) else f"about {mean:.2f}" if found.kind == "interpolated" else f"{mean:.3f}"


class Board:
    "The picture of the lab: `draw` gives its pixels (H, W, 3), RGB."

    def __init__(self, data: Data, reference: dict | None = None, dpi: int = 90):  # task -> undisturbed score
        with style():
            self._make(data, reference or {}, dpi)

    def _make(self, data, reference, dpi):
        self.figure = Figure(figsize=(9, 4.9), dpi=dpi)
        self.canvas, self.moving = FigureCanvasAgg(self.figure), []
        cells = self.figure.add_gridspec(2, 3)
        axes = [self.figure.add_subplot(cells[0, k]) for k in range(3)] + [
            self.figure.add_subplot(cells[1, 0]),
            self.figure.add_subplot(cells[1, 1:]),
        ]
        self.figure.set_layout_engine("constrained", w_pad=0.06, wspace=0.03)
        self.step, self.step_text = self._bars(axes[0], "chance that a step holds a task", (0, 2.5))
        self.seen, self.seen_text = self._bars(axes[1], "times each image is seen in an epoch", (0.01, 3e5), "log")
        self.share, self.share_text = self._bars(axes[3], "part of the summed gradient", (-0.1, 1.5))
        axes[0].set_xticks([0, 0.5, 1])
        axes[3].set_xticks([0, 0.5, 1])
        axes[1].set_xticks([0.01, 1, 100, 1e4])
        axes[1].axvline(1, color="#555555", ls="--", lw=0.8)
        axes[3].axvline(0, color="#555555", lw=0.8)
        axes[2].set(
            title="signs of each class in an epoch",
            xlim=(0, len(data.signs)),
            ylim=(0.05, 1e5),
            yscale="log",
            xlabel="classes, most frequent first",
            yticks=(0.1, 10, 1000, 1e5),
        )
        for axis in (axes[1].xaxis, axes[2].yaxis):
            axis.set_minor_locator(NullLocator())
        self.signs = self._keep(
            axes[2].stairs(np.ones(len(data.signs)), baseline=0.05, fill=True, color=TASK_COLOURS["classification"])
        )
        self.signs_text = self._keep(
            axes[2].text(0.97, 0.92, "", transform=axes[2].transAxes, ha="right", va="top", fontsize=8)
        )
        self._outcome_axes(axes[4], reference)
        self.canvas.draw()
        self.figure.set_layout_engine("none")
        self.background = self.canvas.copy_from_bbox(self.figure.bbox)

    def _keep(self, artist):
        artist.set_animated(True)
        self.moving.append(artist)
        return artist


@patch
def _bars(self: Board, ax, title: str, ends: tuple, scale: str = "linear"):
    "Three bars that will move, with a number beside each."
    ax.set(
        title=title, xscale=scale, xlim=ends, ylim=(2.5, -0.5), yticks=range(3), yticklabels=[_SHORT[t] for t in TASKS]
    )
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0, labelsize=8)
    bars = [
        self._keep(b) for b in ax.barh(range(3), [1] * 3, left=0, color=[TASK_COLOURS[t] for t in TASKS], height=0.6)
    ]
    return bars, [self._keep(ax.text(ends[1], k, "", ha="right", va="center", fontsize=8)) for k in range(3)]


@patch
def _outcome_axes(self: Board, ax, reference: dict):
    "Scores from 0 to 1, a row per task; the undisturbed run as a short line."
    ax.set(
        xlim=(0, 1.32),
        ylim=(2.6, -0.95),
        yticks=range(3),
        yticklabels=[f"{TASK_LABELS[t]}\n{METRIC_LABELS[PRIMARY_METRIC[t]]}" for t in TASKS],
        xticks=np.arange(0, 1.01, 0.2),
    )
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0, labelsize=8)
    ax.set_title("what came out on the test part (short line: the undisturbed run)")
    for k, t in enumerate(TASKS):
        if t in reference:
            ax.plot([reference[t]] * 2, [k - 0.3, k + 0.3], color="#555555", lw=1.5)
    self.outcome_title = self._keep(
        ax.text(0.01, 0.97, "", transform=ax.transAxes, va="top", fontsize=8, fontweight="bold")
    )
    self.intervals = [
        self._keep(ax.plot([0, 0], [k, k], color=TASK_COLOURS[t], lw=1.5)[0]) for k, t in enumerate(TASKS)
    ]
    self.marks = [
        self._keep(ax.plot([0], [k], TASK_MARKERS[t], color=TASK_COLOURS[t], ms=8, mew=1.5)[0])
        for k, t in enumerate(TASKS)
    ]
    self.outcome_text = [self._keep(ax.text(1.31, k, "", ha="right", va="center", fontsize=8)) for k in range(3)]


@patch
def draw(self: Board, made: Composition, data: Data, found: Outcome) -> np.ndarray:
    "The pixels for one setting of the knobs."
    for k, t in enumerate(TASKS):
        self.step[k].set_width(made.probability[t])
        self.step_text[k].set_text(f"{made.probability[t]:.1%}, {data.batch[k]} images")
        self.seen[k].set_x(0.01)
        self.seen[k].set_width(max(made.seen[t] - 0.01, 0))
        self.seen_text[k].set_text(f"{made.seen[t]:.3g} ×, {made.images[t]:,} images")
        share = made.shares[t] if made.shares else math.nan
        self.share[k].set_width(float(np.clip(share, -0.1, 1.1)) if made.shares else 0)
        self.share_text[k].set_text(f"{share:.2%}" if made.shares else "not recorded")
        mean, low, high = found.scores.get(t, (math.nan,) * 3)
        self.marks[k].set_xdata([mean])
        self.intervals[k].set_xdata([low, high])
        self.marks[k].set_markerfacecolor(TASK_COLOURS[t] if found.kind == "measured" else "white")
        self.marks[k].set_marker("x" if found.kind == "nearest" else TASK_MARKERS[t])
        self.outcome_text[k].set_text(
            _score(found, t)
            + (f" ({max(low, 0):.2f} to {min(high, 1):.2f})" if math.isfinite(low) else ", no interval")
            * math.isfinite(mean)
        )
    self.signs.set_data(np.maximum(made.signs, 0.05))
    self.signs_text.set_text(f"{made.signs[0]:.3g} of the most frequent,\n{made.signs[-1]:.3g} of the rarest class")
    self.outcome_title.set_text(
        f"{_KINDS[found.kind]}{': ' if found.runs else ''}{' and '.join(map(_run_label, found.runs))}"
    )
    self.canvas.restore_region(self.background)
    for artist in self.moving:
        self.figure.draw_artist(artist)
    return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()


STOPS = dict(
    classification=(200, 600, 1500, 3000, 6370, 8636, 14000),
    detection=(20, 60, 120, 240, 480),
    lane=(10, 20, 40, 65, 100, 200, 400),
)  # images; all of them is the last stop
SKEWS, TEMPERATURES, WEIGHTS = (
    (1, 2, 3, 5, 10, 20, 50),
    (0, 1, 1.5, 2, 3, 5, 10, 1e6),
    (1 / 30, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
_WRAP = ipw.Layout(flex_flow="row wrap")


def _name(value) -> str:  # of a slider's stop
    if value == 0:
        return "all tasks"  # a slider cannot hold None
    return (
        "1/30"
        if np.isclose(value, 1 / 30)
        else "∞ (alike)"
        if value >= 1e5
        else f"{value:,g}"
        if value < 1000
        else f"{value:,.0f}"
    )


def _stops(label: str, values: tuple, value, on_change) -> ipw.SelectionSlider:
    "A labelled slider over a list of values."
    made = ipw.SelectionSlider(
        options=[(_name(v), v) for v in values],
        value=value,
        description=label,
        style={"description_width": "initial"},
        layout=ipw.Layout(width="24em"),
    )
    made.observe(lambda change: on_change(), names="value")
    return made


def _move(slider: ipw.SelectionSlider, value):
    "Moves a slider to a value, which becomes a stop if it was none."
    values = [v for _, v in slider.options]
    if value not in values:
        kept = slider.value
        slider.options = [(_name(v), v) for v in sorted([*values, value])]
        slider.value = kept
    slider.value = value


class ImbalanceLab(Playable):
    """Images per task, class skew, sampling temperature and task weights: what a step, an epoch and the shared gradient are made of, and what the nearest measured run gave.

    Reads studies.csv, study_data.csv and gradient_recording.json of `results_dir`; without runs or gradients those panels say so.
    """

    def __init__(
        self,
        results_dir: str | Path | None = None,  # None: the project's results
        steps: int | None = None,
    ):  # of the epoch that is shown; None: those of the studies' runs, so that it is the very epoch that was measured
        folder = Path(results_dir or project_root() / "results")
        self.data, self.steps, self.notes = read_data(folder), steps, []
        try:
            self.gramians = read_gramians(folder)[1]
        except UserError as e:
            self.gramians = None
            self.notes.append(str(e))
        try:
            table = read_table(find_result(folder, "studies.csv"), STUDY_COLUMNS, study_command("imbalance"))
        except UserError as e:
            table = pd.DataFrame(columns=STUDY_COLUMNS)
            self.notes.append(str(e))
        self.measured = Measured(table, self.data)
        self.reference = {t: v[0] for t, v in self.measured.scores.get("equal", {}).items()}
        self.board = Board(self.data, self.reference)
        self._controls()
        self.redraw()

    def _controls(self):
        names, self.picture = _SHORT, Picture()
        trained = lambda stops, values, top=math.inf: tuple(sorted({v for v in {*stops, *values} if v <= top}))
        runs = list(self.measured.knobs.values())
        self.images = {
            t: _stops(
                f"{'lane' if t == 'lane' else names[t][:-1]} images",
                trained((*STOPS[t], n), [r.images[k] for r in runs], n),
                n,
                self.redraw,
            )
            for k, (t, n) in enumerate(zip(TASKS, self.data.images))
        }
        self.skew, self.temperature = (
            _stops("class skew of the signs", SKEWS, 1, self.redraw),
            _stops("sampling temperature", TEMPERATURES, 0, self.redraw),
        )
        self.weights = {
            t: _stops(f"{names[t][:-1]} weight", trained(WEIGHTS, [r.weights[k] for r in runs]), 1, self.redraw)
            for k, t in enumerate(TASKS)
        }
        self.runs = choice(
            "go to a measured run",
            [("own knobs", ""), *((_run_label(n), n) for n in self.measured.knobs)],
            on_change=lambda n: n and not self.quiet and self.set_run(n),
            width="30em",
        )
        sliders = [*self.images.values(), self.skew, self.temperature, *self.weights.values()]
        said = [ipw.HTML(f"<div style='font-size:90%'>{html.escape(n)}</div>") for n in self.notes]
        self.box = ipw.VBox([ipw.HBox(sliders, layout=_WRAP), self.runs, *said, self.picture])


@patch
def knobs(self: ImbalanceLab) -> Knobs:
    "What the sliders stand at."
    return Knobs(
        tuple(self.images[t].value for t in TASKS),
        float(self.skew.value),
        self.temperature.value or None,
        tuple(float(self.weights[t].value) for t in TASKS),
    )


@patch
def state(self: ImbalanceLab) -> dict:
    "Everything that is set, by name: the run that these knobs are, images and weights of each task, skew, temperature (None: all tasks in each step), steps."
    k = self.knobs()
    return dict(
        run=self.run(),
        images=dict(zip(TASKS, k.images)),
        skew=k.skew,
        temperature=k.temperature,
        weights=dict(zip(TASKS, k.weights)),
        steps=self.composition().steps,
    )


@patch
def composition(self: ImbalanceLab) -> Composition:
    "What a step, an epoch and the summed gradient are made of now."
    return compose(self.knobs(), self.data, self.steps, self.gramians)


@patch
def nearest(self: ImbalanceLab) -> Outcome:
    "What was measured here, or is interpolated, or lies nearest."
    return self.measured.nearest(self.knobs())


@patch
def run(self: ImbalanceLab) -> str:
    "The measured run that has these knobs; empty for none. Of several with the same knobs the one last gone to."
    knobs = self.knobs()
    same = lambda k: (
        (k.images, k.skew, k.temperature) == (knobs.images, knobs.skew, knobs.temperature)
        and np.allclose(k.weights, knobs.weights)
    )
    there = [n for n, k in self.measured.knobs.items() if same(k)]
    return self.runs.value if self.runs.value in there else there[0] if there else ""


@patch
def _change(self: ImbalanceLab, moves: list):  # [(slider, value)]: one redraw for all
    with self.callbacks_silenced():
        for control, value in moves:
            _move(control, value)
    self.redraw()


def _checked(values: dict, what: str, low: float, high: dict | float, whole: bool = False) -> dict:
    "The values, if each is a number within its ends and of a task; raises `UserError` else."
    for task in values:
        if task not in TASKS:
            raise UserError(f"unknown task {task!r}: expected one of {', '.join(TASKS)}")
    return {
        t: checked_number(f"{what} of {t}", v, low, high[t] if isinstance(high, dict) else high, whole)
        for t, v in values.items()
    }


@patch
def set_images(self: ImbalanceLab, **images: int):  # task -> images
    "Sets how many images tasks may use; raises `UserError` for more than there are, and for what is no whole number."
    self._change(
        [
            (self.images[t], n)
            for t, n in _checked(
                images, "the number of images", 1, dict(zip(TASKS, self.data.images)), whole=True
            ).items()
        ]
    )


@patch
def set_skew(self: ImbalanceLab, skew: float):  # ≥ 1
    "Sets the skew of the sign classes; raises `UserError` outside 1 to 1000."
    self._change([(self.skew, checked_number("the class skew", skew, 1, 1000))])


@patch
def set_temperature(self: ImbalanceLab, temperature: float | None):  # None: all tasks in each step
    "Sets the sampling temperature; raises `UserError` outside 0.1 to 1e9 (all tasks alike)."
    self._change(
        [
            (
                self.temperature,
                0
                if temperature is None
                else checked_number("the sampling temperature (None: all tasks in each step)", temperature, 0.1, 1e9),
            )
        ]
    )


@patch
def set_weights(self: ImbalanceLab, **weights: float):  # task -> weight
    "Sets task weights; raises `UserError` outside 0.0001 to 10000."
    self._change([(self.weights[t], w) for t, w in _checked(weights, "the weight", 1e-4, 1e4).items()])


@patch
def set_run(self: ImbalanceLab, name: str):  # of the table
    "Sets all knobs as a measured run has them; raises `UserError` for a run that is not in the table or turns other things."
    if name not in self.measured.knobs:
        raise UserError(
            f"no run {name!r} to go to: expected one of {', '.join(self.measured.knobs) or 'those that ' + study_command('imbalance') + ' makes'}"
        )
    k = self.measured.knobs[name]
    with self.callbacks_silenced():
        self.runs.value = name
    self._change(
        [
            *zip(self.images.values(), k.images),
            (self.skew, k.skew),
            (self.temperature, k.temperature or 0),
            *zip(self.weights.values(), k.weights),
        ]
    )


def describe(made: Composition, data: Data, found: Outcome) -> str:
    "The picture in words."
    step = "A step holds " + (
        ", ".join(f"{b} {_SHORT[t]}" for t, b in zip(TASKS, data.batch))
        if min(made.probability.values()) == 1
        else "one task: " + ", ".join(f"{_SHORT[t]} in {p:.1%} of the steps" for t, p in made.probability.items())
    )
    seen = f"In {made.steps} steps each image is seen: " + ", ".join(
        f"{_SHORT[t]} {n:.3g} times" for t, n in made.seen.items()
    )
    share = (
        "The parts of the summed gradient: " + ", ".join(f"{_SHORT[t]} {s:.2%}" for t, s in made.shares.items())
        if made.shares
        else "No gradients were recorded"
    )
    scores = ", ".join(f"{METRIC_LABELS[PRIMARY_METRIC[t]]} {_score(found, t)}" for t in found.scores)
    runs = " and ".join(map(_run_label, found.runs))
    outcome = {
        "measured": f"Measured, {found.seeds} seed{'s' if found.seeds != 1 else ''}: {scores}",
        "interpolated": f"Interpolated between {runs}, not measured, no interval: {scores}",
        "nearest": f"Nearest measured, not the same ({found.distance:.2f} decades away; different: {found.differs}): {runs}: {scores}",
        "none": f"No measured runs here; {study_command('imbalance')} makes them",
    }[found.kind]
    return f"{step}. {seen}. {share}. {outcome}."


@patch
def redraw(self: ImbalanceLab):
    "Follows the knobs and shows what they make."
    if self.quiet:
        return
    with self.callbacks_silenced():
        self.runs.value = self.run()
    made, found = self.composition(), self.nearest()
    self.picture.show(self.board.draw(made, self.data, found), describe(made, self.data, found))


@patch
def to_jshtml(self: ImbalanceLab, knob: str = "lane images") -> str:
    "The pictures of all stops of one knob, with a slider that needs no kernel; raises `UserError` for an unknown knob."
    sliders = {s.description: s for s in (*self.images.values(), self.skew, self.temperature, *self.weights.values())}
    if knob not in sliders:
        raise UserError(f"unknown knob {knob!r}: expected one of {', '.join(sliders)}")
    slider, frames, texts, board = (
        sliders[knob],
        [],
        [],
        Board(self.data, self.reference, dpi=80),
    )  # smaller than on the page: eight pictures travel at once
    before = slider.value
    with self.callbacks_silenced():
        for _, value in slider.options:
            slider.value = value
            made, found = self.composition(), self.nearest()
            frames.append(board.draw(made, self.data, found))
            texts.append(f"{knob} {_name(value)}. {describe(made, self.data, found)}")
        slider.value = before
    return sweep_to_jshtml(frames, label=knob, sentences=texts)
