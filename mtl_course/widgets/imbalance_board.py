"""The picture of the imbalance lab, and the same in words."""

import math

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ..core.task import TASKS
from ..studies.plans import study_command
from .base import DPI, widget_style
from .imbalance_knobs import SIGNS, STUDY_TASKS, Composition, Outcome, StudyData

__all__ = []

_KINDS = {
    "measured": "MEASURED",
    "interpolated": "INTERPOLATED between two runs",
    "nearest": "NEAREST measured run, not the same",
    "none": "no measured runs",
}
NO_SCORE = (math.nan, math.nan, math.nan)


def run_label(name: str) -> str:
    """A run's name; "fixed 1:5:30" alone does not say whose weights these are."""
    if not name.startswith("fixed "):
        return name
    return f"{name} ({':'.join(TASKS[task].short for task in STUDY_TASKS)})"


def _score_words(outcome: Outcome, task: str) -> str:
    """A score in as many digits as it deserves: three when measured, two when interpolated."""
    mean = outcome.scores.get(task, NO_SCORE)[0]
    if math.isnan(mean):
        return ""
    return f"about {mean:.2f}" if outcome.kind == "interpolated" else f"{mean:.3f}"


def _interval_words(outcome: Outcome, task: str) -> str:
    mean, low, high = outcome.scores.get(task, NO_SCORE)
    if math.isnan(mean):
        return ""
    return f" ({max(low, 0):.2f} to {min(high, 1):.2f})" if math.isfinite(low) else ", no interval"


class ImbalanceBoard:
    """The picture of the lab: `draw` gives its pixels (H, W, 3), RGB.

    Axes, ticks and titles never change: they are drawn once and remembered as pixels; a move of a
    slider redraws the bars and the numbers alone.
    """

    def __init__(
        self,
        data: StudyData,
        reference: dict | None = None,  # task -> score of the undisturbed run
        dpi: int = DPI,  # pixels per inch
    ):
        with widget_style():
            self.figure = Figure(figsize=(9.6, 5.2), dpi=dpi)
            self.canvas = FigureCanvasAgg(self.figure)
            self.moving = []  # artists that each setting draws anew
            cells = self.figure.add_gridspec(2, 3)
            self.figure.set_layout_engine("constrained", w_pad=0.06, wspace=0.03)
            self._step_panel(self.figure.add_subplot(cells[0, 0]))
            self._seen_panel(self.figure.add_subplot(cells[0, 1]))
            self._signs_panel(self.figure.add_subplot(cells[0, 2]), data)
            self._share_panel(self.figure.add_subplot(cells[1, 0]))
            self._outcome_panel(self.figure.add_subplot(cells[1, 1:]), reference or {})
            self.canvas.draw()
        self.figure.set_layout_engine("none")
        self.background = self.canvas.copy_from_bbox(self.figure.bbox)

    def _move(self, artist: Artist) -> Artist:
        """Counts an artist among those that each setting draws anew."""
        artist.set_animated(True)
        self.moving.append(artist)
        return artist

    def _bars(self, axes: Axes, title: str, ends: tuple, scale: str = "linear") -> tuple[list, list]:
        """A bar for each task that will move, with a number beside it."""
        rows = range(len(STUDY_TASKS))
        names = [TASKS[task].short for task in STUDY_TASKS]
        axes.set(
            title=title, xscale=scale, xlim=ends, ylim=(len(STUDY_TASKS) - 0.5, -0.5), yticks=rows, yticklabels=names
        )
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        colours = [TASKS[task].colour for task in STUDY_TASKS]
        bars = [self._move(bar) for bar in axes.barh(rows, [1] * len(STUDY_TASKS), left=0, color=colours, height=0.6)]
        texts = [axes.text(ends[1], row, "", ha="right", va="center", fontsize=9) for row in rows]
        return bars, [self._move(text) for text in texts]

    def _step_panel(self, axes: Axes):
        self.step, self.step_text = self._bars(axes, "chance that a step holds a task", (0, 2.8))
        axes.set_xticks([0, 0.5, 1])

    def _seen_panel(self, axes: Axes):
        self.seen, self.seen_text = self._bars(axes, "how often an epoch shows each image", (0.01, 3e6), "log")
        axes.set_xticks([0.01, 1, 100, 1e4])
        axes.axvline(1, color="#555555", ls="--", lw=0.8)
        axes.xaxis.set_minor_locator(NullLocator())

    def _share_panel(self, axes: Axes):
        self.share, self.share_text = self._bars(axes, "part of the summed gradient", (-0.1, 1.6))
        axes.set_xticks([0, 0.5, 1])
        axes.axvline(0, color="#555555", lw=0.8)

    def _signs_panel(self, axes: Axes, data: StudyData):
        """How many signs of each class an epoch holds."""
        axes.set(
            title="signs of each class in an epoch",
            xlim=(0, len(data.signs)),
            ylim=(0.05, 1e5),
            yscale="log",
            xlabel="classes, most frequent first",
            yticks=(0.1, 10, 1000, 1e5),
        )
        axes.yaxis.set_minor_locator(NullLocator())
        ones = np.ones(len(data.signs))
        colour = TASKS[SIGNS].colour
        self.signs = self._move(axes.stairs(ones, baseline=0.05, fill=True, color=colour))
        place = dict(transform=axes.transAxes, ha="right", va="top", fontsize=9)
        self.signs_text = self._move(axes.text(0.97, 0.95, "", **place))

    def _outcome_panel(self, axes: Axes, reference: dict):
        """Scores from 0 to 1, a row per task; the undisturbed run as a short line."""
        names = [f"{TASKS[task].title}\n{TASKS[task].metrics[TASKS[task].primary_metric]}" for task in STUDY_TASKS]
        ticks = np.arange(0, 1.01, 0.2)
        axes.set(xlim=(0, 1.36), ylim=(2.6, -0.95), yticks=range(3), yticklabels=names, xticks=ticks)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.set_title("what came out on the test split (short line: the undisturbed run)")
        title = dict(transform=axes.transAxes, va="top", fontsize=9, fontweight="bold")
        self.outcome_title = self._move(axes.text(0.01, 0.97, "", **title))
        self.intervals = []
        self.marks = []
        self.outcome_text = []
        for row, task in enumerate(STUDY_TASKS):
            colour = TASKS[task].colour
            if task in reference:
                axes.plot([reference[task]] * 2, [row - 0.3, row + 0.3], color="#555555", lw=1.5)
            self.intervals.append(self._move(axes.plot([0, 0], [row, row], color=colour, lw=1.5)[0]))
            mark = axes.plot([0], [row], TASKS[task].marker, color=colour, ms=8, mew=1.5)[0]
            self.marks.append(self._move(mark))
            self.outcome_text.append(self._move(axes.text(1.35, row, "", ha="right", va="center", fontsize=9)))

    def draw(self, composition: Composition, data: StudyData, outcome: Outcome) -> np.ndarray:
        """The pixels for one setting of the knobs."""
        for row, task in enumerate(STUDY_TASKS):
            self._set_bars(row, task, composition, data)
            self._set_outcome(row, task, outcome)
        self.signs.set_data(np.maximum(composition.signs, 0.05))
        most = composition.signs[0]
        fewest = composition.signs[-1]
        self.signs_text.set_text(f"{most:.3g} of the most frequent,\n{fewest:.3g} of the rarest class")
        runs = " and ".join(run_label(run) for run in outcome.runs)
        self.outcome_title.set_text(": ".join(filter(None, (_KINDS[outcome.kind], runs))))
        self.canvas.restore_region(self.background)
        for artist in self.moving:
            self.figure.draw_artist(artist)
        return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()

    def _set_bars(self, row: int, task: str, composition: Composition, data: StudyData):
        probability = composition.probability[task]
        self.step[row].set_width(probability)
        self.step_text[row].set_text(f"{probability:.1%}, {data.batch[row]} images")
        seen = composition.seen[task]
        self.seen[row].set_x(0.01)
        self.seen[row].set_width(max(seen - 0.01, 0))
        self.seen_text[row].set_text(f"{seen:.3g} × {composition.images[task]:,} images")
        if composition.shares is None:
            self.share[row].set_width(0)
            self.share_text[row].set_text("not recorded")
            return
        share = composition.shares[task]
        self.share[row].set_width(float(np.clip(share, -0.1, 1.1)))
        self.share_text[row].set_text(f"{share:.2%}")

    def _set_outcome(self, row: int, task: str, outcome: Outcome):
        """The score's mark: full when measured, open when interpolated, a cross when only near."""
        mean, low, high = outcome.scores.get(task, NO_SCORE)
        mark = self.marks[row]
        mark.set_xdata([mean])
        mark.set_markerfacecolor(TASKS[task].colour if outcome.kind == "measured" else "white")
        mark.set_marker("x" if outcome.kind == "nearest" else TASKS[task].marker)
        self.intervals[row].set_xdata([low, high])
        self.outcome_text[row].set_text(_score_words(outcome, task) + _interval_words(outcome, task))


def describe_lab(composition: Composition, data: StudyData, outcome: Outcome) -> str:
    """The picture in words."""
    seen = ", ".join(f"{TASKS[task].short} {times:.3g} times" for task, times in composition.seen.items())
    sentences = [
        _step_words(composition, data),
        f"In {composition.steps} steps each image is seen: {seen}",
        _share_words(composition),
        _outcome_words(outcome),
    ]
    return ". ".join(sentences) + "."


def _step_words(composition: Composition, data: StudyData) -> str:
    if min(composition.probability.values()) == 1:
        return "A step holds " + ", ".join(f"{size} {TASKS[task].short}" for task, size in zip(STUDY_TASKS, data.batch))
    chances = composition.probability.items()
    return "A step holds one task: " + ", ".join(
        f"{TASKS[task].short} in {chance:.1%} of the steps" for task, chance in chances
    )


def _share_words(composition: Composition) -> str:
    if composition.shares is None:
        return "No gradients were recorded"
    shares = ", ".join(f"{TASKS[task].short} {share:.2%}" for task, share in composition.shares.items())
    return f"The parts of the summed gradient: {shares}"


def _outcome_words(outcome: Outcome) -> str:
    labels = {task: TASKS[task].metrics[TASKS[task].primary_metric] for task in outcome.scores}
    scores = ", ".join(f"{label} {_score_words(outcome, task)}" for task, label in labels.items())
    runs = " and ".join(run_label(run) for run in outcome.runs)
    if outcome.kind == "none":
        return f"No measured runs here; {study_command('imbalance')} makes them"
    if outcome.kind == "measured":
        return f"Measured, {outcome.seeds} seed{'' if outcome.seeds == 1 else 's'}: {scores}"
    if outcome.kind == "interpolated":
        return f"Interpolated between {runs}, not measured, no interval: {scores}"
    difference = f"{outcome.distance:.2f} decades away; different: {outcome.differs}"
    return f"Nearest measured, not the same ({difference}): {runs}: {scores}"
