"""What does it do to the lanes if the lane loss counts thirty times? Move the slider while the network learns, and see."""

__all__ = [
    "SMALL",
    "ORDER",
    "PRESETS",
    "LOWEST",
    "HIGHEST",
    "playground_config",
    "shorten_trunk",
    "few_images",
    "Curve",
    "BackgroundTraining",
    "running_mean",
    "Board",
    "TaskWeightPlayground",
]

import math, threading, time, weakref
from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
import ipywidgets as ipw, numpy as np, torch
from fastcore.basics import patch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from ..config import BOOSTED_WEIGHTS, EQUAL_WEIGHTS, Config, make_config
from ..core.errors import UserError
from ..core.seeds import derive_seed
from ..data.loaders import collate, make_reader, prepare_data, training_loader
from ..evaluation.evaluate import score_task
from ..plots.figures import METRIC_LABELS, TASK_COLOURS, TASK_LABELS, TASK_MARKERS, style
from ..losses import BALANCERS, make_balancer
from ..metrics.scores import PRIMARY_METRIC
from ..models.multi_task_model import MultiTaskModel
from ..training.distributed import start_fabric
from ..training.optimizer import make_optimizer
from ..training.state import create_train_state
from ..training.steps import compute_gradients, optimizer_step
from .base import Picture, Playable, button, choice, close_all, log_slider, sweep_to_jshtml

SMALL = dict(
    detection_size=(64, 208),
    lane_size=(64, 96),
    classification_size=(32, 32),
    batch_size=2,
    classification_batch_size=16,
    roi_margin=0.05,
    neck_channels=32,
    lane_channels=64,
    roi_samples=16,
    dropout=0.1,
    scheduler_type="constant",
    gradient_clip=5.0,
    epochs=1,
    steps_per_epoch=1_000_000,
    channels_last=False,
    use_rotation=False,
    use_brightness=False,
    use_contrast=False,
    use_gaussian_noise=False,
)


def playground_config(**overrides) -> Config:  # fields that differ
    "The `smoke` recipe in small sizes; raises `UserError` for an unknown field or value."
    return make_config("smoke", **SMALL | overrides)


def shorten_trunk(model: MultiTaskModel):
    "Keeps the first block of each of the trunk's four stages; the features keep their shapes."
    for stage in model.backbone.stages():
        del stage[1:]


def few_images(config: Config, task: str, count: int) -> dict:  # a batch, as `collate` makes it
    "At most `count` validation images of a task, evenly spread over the split."
    reader = make_reader(config, task, "val")
    chosen = np.unique(np.linspace(0, len(reader) - 1, min(count, len(reader))).round().astype(int))
    return collate([reader[int(i)] | dict(task=task) for i in chosen])


ORDER = tuple(EQUAL_WEIGHTS)  # detection, lane, classification: the order in which 5/30/1 is read
PRESETS = {"1/1/1": (EQUAL_WEIGHTS, "fixed"), "5/30/1": (BOOSTED_WEIGHTS, "fixed")} | {
    name: (EQUAL_WEIGHTS, name) for name in BALANCERS if name != "fixed"
}
LOWEST, HIGHEST = 0.01, 100.0  # ends of the sliders


@dataclass
class Curve:
    "What was measured under one setting; losses are unweighted."

    weights: dict[str, float]  # task -> fixed weight
    balancer: str = "fixed"  # what weighs the tasks on top
    number: int = 0  # counts the settings
    steps: list = field(default_factory=list)  # 1 for the first after a reset
    losses: dict = field(default_factory=lambda: {t: [] for t in ORDER})  # task -> one for each step
    used: dict = field(
        default_factory=lambda: {t: [] for t in ORDER}
    )  # task -> weight × balancer's weight of each step (NaN: no such number)
    scores: dict = field(
        default_factory=lambda: {t: [] for t in ORDER}
    )  # task -> [(step, validation score in 0..1), …]

    @property
    def label(self) -> str:
        "The setting as the legend writes it: 5/30/1, or 1/1/1 mgda."
        return "/".join(f"{self.weights[t]:.3g}" for t in ORDER) + (
            f" {self.balancer}" if self.balancer != "fixed" else ""
        )


class BackgroundTraining:
    """A small network that trains in a thread while its task weights are changed.

    `set_weights`, `set_balancer` and `choose` say what the next step uses; `step` does one step; `train` steps in the background until `pause`, `reset` or `close`.
    Keywords are fields of `Config` that differ from `playground_config`; raises `UserError` for a wrong one.
    """

    _all = weakref.WeakSet()  # of one kernel: only one of them trains at a time

    def __init__(
        self,
        seed: int = 0,  # of the first weights and the order of the images
        score_every: int = 5,  # steps between two validations; the tasks take turns
        ghosts: int = 5,  # earlier curves that are kept
        **overrides,
    ):
        self.config, self.score_every, self.kept = playground_config(seed=seed, **overrides), score_every, ghosts
        self.weights, self.balancer = dict(EQUAL_WEIGHTS), "fixed"
        self.run, self.data, self.thread, self.error, self.closed = None, None, None, None, False
        self._val, self._last = None, None  # the thread that trained last; it may be drawing its last picture
        self.curve, self.ghosts, self._lock = Curve(dict(self.weights)), [], threading.RLock()
        self._stop, self._step_seconds, self._pressed, self.first_point = (
            threading.Event(),
            deque(maxlen=20),
            None,
            None,
        )
        weakref.finalize(self, self._stop.set)  # nobody holds it any more, or Python ends
        self._all.add(self)

    def _wished(self):
        "The setting of the next step has changed."

    def _changed(self):
        "Something else to show has changed."

    def _stepped(self):
        "A step of the thread is done."


@patch
def set_weights(self: BackgroundTraining, **weights: float):  # task -> weight, for example detection=5, lane=30
    "Weights from the next step on; others stay. Raises `UserError` for an unknown task or a weight that is not a positive number."
    for task, w in weights.items():
        if task not in ORDER:
            raise UserError(f"there is no task {task!r} to weigh: expected some of {', '.join(ORDER)}")
        if not (isinstance(w, (int, float)) and not isinstance(w, bool) and LOWEST <= w <= HIGHEST):
            raise UserError(
                f"the weight of {task} is {w!r}: expected a number from {LOWEST:g} to {HIGHEST:g} (use {LOWEST:g} for next to nothing)"
            )
    with self._lock:
        self.weights = self.weights | {t: float(w) for t, w in weights.items()}
    self._wished()


@patch
def set_balancer(self: BackgroundTraining, name: str):  # a key of BALANCERS
    "A fresh balancer from the next step on, on top of the weights; raises `UserError` for an unknown name."
    if name not in BALANCERS:
        raise UserError(f"unknown balancer {name!r}: expected one of {', '.join(BALANCERS)}")
    with self._lock:
        self.balancer = name
    self._wished()


@patch
def choose(self: BackgroundTraining, preset: str):  # a key of PRESETS
    "Weights and balancer of a preset; raises `UserError` for an unknown one."
    if preset not in PRESETS:
        raise UserError(f"unknown preset {preset!r}: expected one of {', '.join(PRESETS)}")
    with self._lock:
        self.weights, self.balancer = dict(PRESETS[preset][0]), PRESETS[preset][1]
    self._wished()


@patch
def _start(self: BackgroundTraining):
    "Makes data (once) and network (after each reset), and returns the run."
    if self.data is None:
        prepare_data(self.config, progress=False)
        self.fabric, self.data = start_fabric(self.config), training_loader(self.config)
        self._val = {t: [few_images(self.config, t, 43)] for t in ORDER}
    torch.manual_seed(self.config.seed)
    run = create_train_state(self.fabric, self.config, self.data)
    shorten_trunk(run.model)
    optimizer, run.scheduler = make_optimizer(run.model, self.config, self.config.steps_per_epoch)
    run.optimizer = self.fabric.setup_optimizers(optimizer)
    run.batches, run.val = iter(self.data), self._val
    run.model.train()
    self.run = run
    return run


@patch
def _begin(self: BackgroundTraining, run):
    "Reads the wish: a changed setting begins a new curve."
    with self._lock:
        weights, balancer, curve = self.weights, self.balancer, self.curve
    if (curve.weights, curve.balancer) != (weights, balancer):
        self._retire(Curve(dict(weights), balancer, curve.number + 1))
    if getattr(run, "balancer_name", "fixed") != balancer:
        run.balancer, run.balancer_name = make_balancer(balancer, self.config.tasks), balancer
    run.model.set_task_weights(**weights)


@patch
def _retire(self: BackgroundTraining, new: Curve):
    "The present curve becomes a ghost, unless it is shorter than three steps (a slider on its way); `new` takes its place."
    with self._lock:
        if len(self.curve.steps) >= 3:
            self.ghosts = [*self.ghosts, self.curve][-self.kept :]
        else:
            new.number = self.curve.number
        self.curve = new


@patch
def _must_be_open(self: BackgroundTraining):
    if self.closed:
        raise UserError("this playground is closed: make a new TaskWeightPlayground()")


@patch
def step(self: BackgroundTraining):
    "One training step under the present setting and, when it is due, the validation of one task. Raises `UserError` after `close`, when data are broken or when a loss is not a number."
    self._must_be_open()
    start = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        run = (
            self.run or self._start()
        )  # the step's own: a reset or close meanwhile takes it from the playground, not from the step
        self._begin(run)
        batch, seed = self.fabric.to_device(next(run.batches)), derive_seed(self.config.seed, run.step)
        torch.manual_seed(seed)
        balanced = compute_gradients(self.fabric, run.model, batch, run.balancer)
        optimizer_step(self.fabric, run, batch, seed)
        run.step += 1
    self._note(run, balanced, time.perf_counter() - start)
    if run.step % self.score_every == 0 and not self._stop.is_set():
        self._score(run, ORDER[run.step // self.score_every % len(ORDER)])


@patch
def _note(self: BackgroundTraining, run, balanced, seconds: float):
    "Writes down a step, unless it belongs to a run that was reset meanwhile."
    with self._lock:
        if run is not self.run:
            return
        curve, fixed = self.curve, run.model.task_weights
        for t in ORDER:
            curve.losses[t].append(balanced.losses[t] / fixed[t])
            curve.used[t].append(balanced.weights[t] * fixed[t])
        curve.steps.append(run.step)  # last: who reads without the lock sees no step without its losses
        self._step_seconds.append(seconds)
    if self._pressed is not None:
        self.first_point, self._pressed = time.perf_counter() - self._pressed, None


@patch
def _score(self: BackgroundTraining, run, task: str):
    "The headline score of one task on its few validation images."
    value = score_task(run.model, run.val[task], task, self.fabric.device.type, self.fabric._precision.precision)[
        PRIMARY_METRIC[task]
    ]
    with self._lock:
        if run is self.run:
            self.curve.scores[task].append((run.step, float(np.nan_to_num(value))))


def _work(reference: weakref.ref, stop: threading.Event, steps: int):
    "What the thread does: step until told to stop, or until nobody holds the playground."
    torch.set_num_threads(1)  # in this thread; the other cores are the kernel's
    while (training := reference()) is not None and not training._leaves(steps <= 0):
        try:
            training.step()
        except Exception as e:  # a thread has nobody to raise to
            training.error = str(e) if isinstance(e, UserError) else f"{type(e).__name__}: {e}"
            stop.set()
        steps -= 1
        if not stop.is_set():
            training._stepped()
        del training


@patch
def _leaves(self: BackgroundTraining, done: bool) -> bool:
    "Whether the thread ends here. Decided and noted at once, so that `train` never counts on a thread that is leaving."
    with self._lock:
        if not (done or self._stop.is_set()):
            return False
        self.thread = None
        self._stop.clear()
        if self.closed:
            self._let_go()
    self._changed()  # the last picture
    return True


@patch
def train(self: BackgroundTraining, steps: int = 2000):  # at most: one that was forgotten ends by itself
    "Steps in the background until `pause`; pauses every other playground of the kernel. Raises `UserError` after `close`."
    self._must_be_open()
    if self.training and self._stop.is_set():
        self.wait(1)  # the last step of an earlier call
    for other in list(self._all):
        if other is not self:
            other.pause()
    with self._lock:
        if self.training:
            self._stop.clear()
            return  # it has not left yet, and goes on
        self.error, self._pressed = None, time.perf_counter()
        self.thread = self._last = threading.Thread(
            target=_work, args=(weakref.ref(self), self._stop, steps), name="task-weight playground", daemon=True
        )
        self.thread.start()
    self._changed()


@patch(as_prop=True)
def training(self: BackgroundTraining) -> bool:
    "Whether a thread is at work."
    return self.thread is not None and self.thread.is_alive()


@patch
def pause(
    self: BackgroundTraining, timeout: float = 10.0
):  # seconds to wait for the running step (making the world takes longer)
    "Ends the thread when the running step is done, and waits for that."
    with self._lock:
        if self.training:
            self._stop.set()  # else nobody would clear it, and steps by hand are not to be hurried
    self.wait(timeout)


@patch
def wait(self: BackgroundTraining, timeout: float | None = None):  # seconds
    "Waits until the thread has ended; at most `timeout`."
    thread = self._last
    if thread is not None and thread is not threading.current_thread():
        thread.join(timeout)


@patch
def reset(self: BackgroundTraining):
    "Back to the first weights and the first image; the curves so far stay as ghosts. A step that takes longer than `pause` waits ends by itself and is not counted."
    self._must_be_open()
    self.pause()
    with self._lock:
        self.run, self.error = None, None
        self._retire(Curve(dict(self.weights), self.balancer, self.curve.number + 1))
    self._changed()


@patch
def close(self: BackgroundTraining):
    "Ends the thread and lets network and images go: at once, or when a step that takes longer is done."
    self.closed = True
    self.pause()
    with self._lock:
        if not self.training:
            self._let_go()


@patch
def _let_go(self: BackgroundTraining):
    self.run = self.data = self._val = None


@patch
def state(self: BackgroundTraining) -> dict:
    "What there is to know, as plain values: the setting, the last losses and scores, the labels of the ghosts, and how long things took (seconds)."
    with self._lock:
        curve, seconds = self.curve, sorted(self._step_seconds)
        return dict(
            training=self.training,
            step=self.run.step if self.run else 0,
            weights=dict(self.weights),
            balancer=self.balancer,
            losses={t: curve.losses[t][-1] for t in ORDER if curve.losses[t]},
            used={t: curve.used[t][-1] for t in ORDER if curve.used[t]},
            scores={t: curve.scores[t][-1][1] for t in ORDER if curve.scores[t]},
            ghosts=[g.label for g in self.ghosts],
            seconds_per_step=seconds[len(seconds) // 2] if seconds else None,
            first_point=self.first_point,
            error=self.error,
        )


_DASHES = ("--", ":", "-.", (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 4)), (0, (8, 2, 2, 2)))
_GREYS = ("#555555", "#777777", "#444444", "#888888", "#666666", "#333333", "#999999")


def running_mean(values: list, n: int = 10) -> np.ndarray:  # of the last n values, or of as many as there are
    "Each value averaged with the n − 1 before it."
    total = np.cumsum([0.0, *values])
    first = np.maximum(np.arange(1, len(values) + 1) - n, 0)
    return (total[1:] - total[first]) / (np.arange(1, len(values) + 1) - first)


class Board:
    "The playground's figure; `update` puts curves and weights into it."

    def __init__(self, ghosts: int = 5):  # how many earlier curves have room
        self.rows, self._background = max(1, ghosts), None
        with style():
            self.figure = Figure(figsize=(9.6, 4.2), layout="none")
            grid = self.figure.add_gridspec(
                2,
                4,
                left=0.085,
                right=0.99,
                bottom=0.1,
                top=0.93,
                wspace=0.3,
                hspace=0.28,
                width_ratios=(1.05, 1, 1, 1),
            )
            self.left = self.figure.add_subplot(grid[0, 0]), self.figure.add_subplot(grid[1, 0])
            self._weights_panel(self.left[0])
            self._legend_panel(self.left[1])
            self.loss = {
                t: self._panel(
                    grid[0, k + 1], t, title=TASK_LABELS[t], ylabel="loss, mean of 10 steps" if k == 0 else ""
                )
                for k, t in enumerate(ORDER)
            }
            self.score = {
                t: self._panel(
                    grid[1, k + 1],
                    t,
                    title=f"validation: {METRIC_LABELS[PRIMARY_METRIC[t]]}",
                    xlabel="step",
                    ylabel="score" if k == 0 else "",
                )
                for k, t in enumerate(ORDER)
            }


@patch
def _panel(self: Board, place, task: str, title: str, xlabel: str = "", ylabel: str = ""):
    "Axes with a line for each curve; the last one is the present curve's. Labels have fixed places and ticks are few: most of the drawing time goes into texts."
    axes = self.figure.add_subplot(place)
    axes.set_title(title, y=1.02)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.xaxis.set_label_coords(0.5, -0.16)
    axes.yaxis.set_label_coords(-0.2, 0.5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(3))
    if not xlabel:
        axes.tick_params(labelbottom=False)
    lines = [
        axes.plot(
            [], [], ls=_DASHES[k % len(_DASHES)], color=_GREYS[k % len(_GREYS)], lw=1.1, mfc="white", ms=3.5, zorder=2
        )[0]
        for k in range(self.rows)
    ]
    lines.append(axes.plot([], [], color=TASK_COLOURS[task], lw=2.2, ms=4, zorder=3)[0])
    return axes, lines


@patch
def _weights_panel(self: Board, axes):
    "Bars of the weights and a diamond for what the balancer makes of them."
    self.bars = axes.barh(
        range(len(ORDER)), [1] * len(ORDER), left=LOWEST, height=0.55, color=[TASK_COLOURS[t] for t in ORDER]
    )
    (self.diamonds,) = axes.plot([], [], "D", ms=6, mfc="white", mec="black", zorder=4)
    axes.set(
        xscale="log",
        xlim=(LOWEST, HIGHEST),
        xticks=(0.01, 0.1, 1, 10, 100),
        xticklabels=("0.01", "0.1", "1", "10", "100"),
        ylim=(len(ORDER) - 0.4, -0.75),
        yticks=range(len(ORDER)),
        yticklabels=[t.replace("classification", "classific.") for t in ORDER],
    )
    axes.minorticks_off()
    self.weights_title = axes.set_title("", y=1.02)
    self.values = [axes.text(LOWEST * 1.3, k - 0.3, "", va="bottom", fontsize=7) for k in range(len(ORDER))]


@patch
def _legend_panel(self: Board, axes):
    "A line and a text for each curve."
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(self.rows + 1.2, -0.5))
    axes.text(-0.3, -0.4, "detection / lane / classification", fontsize=7.5, weight="bold")
    self.keys = [
        axes.plot([-0.3, -0.05], [k + 0.6] * 2, lw=1.2, color="#555555", clip_on=False)[0] for k in range(self.rows + 1)
    ]
    self.names = [axes.text(0.0, k + 0.6, "", va="center", fontsize=7.5) for k in range(self.rows + 1)]


@patch
def update(
    self: Board, weights: dict, balancer: str, curve: Curve, ghosts: list[Curve], until: float = np.inf
) -> Figure:  # until: last step that is drawn
    "The figure with these curves, ghosts first."
    entries = [(g, g.number % self.rows) for g in ghosts] + [(curve, self.rows)]
    for t in ORDER:
        for axes, lines in (self.loss[t], self.score[t]):
            for line in lines:
                line.set_data([], [])
        for c, k in entries:
            n, (loss, score) = len(c.steps), (self.loss[t][1][k], self.score[t][1][k])
            loss.set_data(c.steps[:n], running_mean(c.losses[t][:n]))
            loss.set_marker("o" if n == 1 else "")  # one point makes no line
            score.set_data(*(np.array(c.scores[t]).T if c.scores[t] else ([], [])))
            score.set_marker(TASK_MARKERS[t])
    self._scale()
    if np.isfinite(until):
        self._cut(until)
    self.update_setting(weights, balancer, curve, ghosts)
    return self.figure


@patch
def update_setting(self: Board, weights: dict, balancer: str, curve: Curve, ghosts: list[Curve]):
    "The left column alone: the weights of the next step, and the legend."
    self._say_weights(weights, balancer, curve)
    self._say_curves([(g, g.number % self.rows) for g in ghosts] + [(curve, self.rows)], Curve(weights, balancer).label)


@patch
def pixels(self: Board, dpi: int = 75, curves_too: bool = True) -> np.ndarray:  # uint8 (H, W, 3)
    "The figure drawn; without `curves_too` only the left column is drawn anew, on the last picture of the rest."
    if self._background is None:
        self.canvas = FigureCanvasAgg(self.figure)
        self.figure.set_dpi(dpi)
    if curves_too or self._background is None:
        for axes in self.left:
            axes.set_visible(False)
        self.canvas.draw()
        self._background = self.canvas.copy_from_bbox(self.figure.bbox)
        for axes in self.left:
            axes.set_visible(True)
    self.canvas.restore_region(self._background)
    for axes in self.left:
        axes.draw(self.canvas.get_renderer())
    return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()


@patch
def _scale(self: Board):
    "All panels share the steps; each loss has its own range."
    last = max([10, *(line.get_xdata()[-1] for t in ORDER for line in self.loss[t][1] if len(line.get_xdata()))])
    for t in ORDER:
        values = np.concatenate([np.asarray(line.get_ydata(), float) for line in self.loss[t][1]])
        scores = np.concatenate([np.asarray(line.get_ydata(), float) for line in self.score[t][1]])
        for axes, top in (
            (self.loss[t][0], 1.08 * values.max() if len(values) else 1),
            (self.score[t][0], max(0.1, 1.15 * scores.max()) if len(scores) else 1),
        ):
            axes.set_xlim(0, last * 1.03)
            axes.set_ylim(-0.03 * top, top)


@patch
def _cut(self: Board, until: float):
    "Hides what comes after a step; the scales stay."
    for line in (line for panels in (self.loss, self.score) for _, lines in panels.values() for line in lines):
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        line.set_data(x[x <= until], y[x <= until])


@patch
def _say_weights(self: Board, weights: dict, balancer: str, curve: Curve):
    "The bars, their numbers, and the diamonds of a balancer that has used numbers."
    used = [curve.used[t][-1] if curve.used[t] and balancer != "fixed" else np.nan for t in ORDER]
    for t, bar, value, u in zip(ORDER, self.bars, self.values, used):
        bar.set_width(weights[t] - LOWEST if weights[t] > LOWEST else LOWEST * 0.2)
        value.set_text(f"{weights[t]:.3g}" + (f", used {u:.3g}" if np.isfinite(u) else ""))
    self.diamonds.set_data(np.clip(used, LOWEST, HIGHEST), range(len(ORDER)))
    self.weights_title.set_text("weights now" + (f", balancer {balancer}" if balancer != "fixed" else ""))


@patch
def _say_curves(self: Board, entries: list, now: str):
    "The legend: the present setting first, then the ghosts, the newest first."
    for k, (key, name) in enumerate(zip(self.keys, self.names)):
        c, place = entries[::-1][k] if k < len(entries) else (None, 0)
        key.set_visible(c is not None)
        name.set_text(
            ""
            if c is None
            else c.label
            if k
            else f"{now} (now)"
            if now == c.label or not c.steps
            else f"{c.label}, next {now}"
        )
        key.set(
            linewidth=2.2 if k == 0 else 1.2,
            color="black" if k == 0 else _GREYS[place % len(_GREYS)],
            linestyle="-" if k == 0 else _DASHES[place % len(_DASHES)],
        )


class TaskWeightPlayground(BackgroundTraining, Playable):
    """Three weight sliders, presets and balancers over a small network that trains in the background; see `BackgroundTraining` for the arguments.

    `to_jshtml` leafs through the curves where there is no kernel.
    """

    most_pictures = 4  # a second
    drawn_at, draw_seconds = 0.0, 0.0  # when and how long the last picture was drawn

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._drawing = threading.Lock()

    @cached_property
    def board(self):
        return Board(self.kept)

    @cached_property
    def picture(self):
        return Picture(dpi=75)

    @cached_property
    def box(self):
        "Everything on the page, made when it is first asked for."
        moved, viewed = (
            weakref.WeakMethod(self._moved),
            weakref.WeakMethod(self._viewed),
        )  # ipywidgets never forgets a widget: what the page calls must not hold the playground
        self.sliders = {
            t: log_slider(
                f"{t} weight",
                LOWEST,
                HIGHEST,
                self.weights[t],
                on_change=lambda w, t=t: (call := moved()) and call(t, w),
            )
            for t in ORDER
        }
        self.presets = choice("preset", ["own weights", *PRESETS], "1/1/1", on_change=self._guarded(self._chosen))
        self.status = ipw.HTML()
        buttons = [
            button("train", self._guarded(self.train), "train until paused"),
            button("pause", self._guarded(self.pause), "stop after the running step"),
            button("reset", self._guarded(self.reset), "first weights again; the curves stay as ghosts"),
        ]
        box = ipw.VBox(
            [
                ipw.HBox([ipw.VBox(list(self.sliders.values())), ipw.VBox([self.presets, ipw.HBox(buttons)])]),
                self.status,
                self.picture,
            ]
        )
        box._view_count = 0  # not None: the page counts the views
        box.observe(lambda change: (call := viewed()) and call(change["new"]), names="_view_count")
        return box


@patch
def _guarded(self: TaskWeightPlayground, action):
    "`action`, a method, but a mistake of the user's becomes a line under the buttons, and the playground is not held by it."
    weak = weakref.WeakMethod(action)

    def call(*args, **kwargs):
        if (alive := weak()) is None:
            return
        try:
            return alive(*args, **kwargs)
        except UserError as e:
            alive.__self__.error = str(e)
            alive.__self__._say()

    return call


@patch
def _viewed(self: TaskWeightPlayground, views: int):  # on the page
    "While it is on a page the box holds the playground, which may have no name; when the last view goes, the training pauses."
    self.box.player = self if views else None
    if not views:
        self.pause()


@patch
def _moved(self: TaskWeightPlayground, task: str, weight: float):  # a slider was moved
    if not math.isclose(weight, self.weights[task]):
        self.set_weights(**{task: min(max(weight, LOWEST), HIGHEST)})


@patch
def _chosen(self: TaskWeightPlayground, preset: str):  # in the list
    if preset in PRESETS and preset != self._preset():
        self.choose(preset)


@patch
def _preset(self: TaskWeightPlayground) -> str:  # a key of PRESETS, or own weights
    "What the list shows for the present setting: the balancer's name, or the weights'."
    if self.balancer != "fixed":
        return self.balancer
    return next(
        (p for p, (w, b) in PRESETS.items() if b == "fixed" and all(w[t] == self.weights[t] for t in ORDER)),
        "own weights",
    )


@patch
def _sync(self: TaskWeightPlayground):
    "Sliders and list show the present setting, whoever made it; their own callbacks see nothing new and stop there."
    for t, s in self.sliders.items():
        s.value = self.weights[t]
    self.presets.value = self._preset()


@patch
def _say(self: TaskWeightPlayground):
    "The line under the buttons."
    with self._lock:  # two threads speak: the one that speaks last has to know the latest
        s = self.state()
        pace = f" · {s['seconds_per_step']:.2f} s a step" if s["seconds_per_step"] else ""
        doing = (
            "closed"
            if self.closed
            else "training"
            if s["training"]
            else "paused"
            if s["step"]
            else "ready: press train"
        )
        if s["training"] and not s["step"] and not s["ghosts"]:
            doing = "preparing the data"
        self.status.value = (
            f"<b>{doing}</b> · step {s['step']}{pace} · next step with {Curve(s['weights'], s['balancer']).label}"
            + (f" · <b>{s['error']}</b>" if s["error"] else "")
        )


@patch
def describe(self: TaskWeightPlayground) -> str:
    "The picture in words."
    s = self.state()
    each = lambda values, form: ", ".join(f"{t} {form.format(values[t])}" for t in ORDER if t in values)
    parts = [
        f"Step {s['step']}, {'training' if s['training'] else 'not training'}.",
        f"Weights now: {each(s['weights'], '{:.3g}')}; balancer {s['balancer']}.",
    ]
    if s["losses"]:
        parts.append(f"Last losses: {each(s['losses'], '{:.2f}')}.")
    if s["scores"]:
        parts.append(f"Last validation scores: {each(s['scores'], '{:.2f}')}.")
    if s["ghosts"]:
        parts.append(f"Ghosts, oldest first: {', '.join(s['ghosts'])}.")
    return " ".join(parts)


@patch
def draw(self: TaskWeightPlayground, curves_too: bool = True):  # False: only the setting has changed
    "Draws the picture from what is known now. A slider does not wait for a picture that is being drawn: whoever draws it draws the left column again."
    self._again, start = True, time.perf_counter()
    if not self._drawing.acquire(blocking=curves_too):
        return
    try:
        self._again = False
        with self._lock:
            known = dict(self.weights), self.balancer, self.curve, list(self.ghosts)
        (self.board.update if curves_too else self.board.update_setting)(*known)
        self.picture.show(self.board.pixels(self.picture.dpi, curves_too), self.describe())
        if curves_too:
            self.drawn_at = time.perf_counter()
            self.draw_seconds = self.drawn_at - start
    finally:
        self._drawing.release()
    if self._again:
        self.draw(curves_too=False)


@patch
def _shown(self: TaskWeightPlayground) -> bool:
    return "box" in self.__dict__


@patch
def _wished(self: TaskWeightPlayground):
    "Words and the left column of the picture at once, whatever is going on."
    if not self._shown():
        return
    self._say()
    self._sync()
    self.draw(curves_too=False)


@patch
def _changed(self: TaskWeightPlayground):
    "Words and picture at once."
    if self._shown() and not self.closed:
        self._say()
        self._sync()
        self.draw()


@patch
def _stepped(self: TaskWeightPlayground):
    "After a step of the thread: a new picture, unless the last one is too young."
    age = time.perf_counter() - self.drawn_at
    if (
        self._shown()
        and not self.closed
        and (age > max(1 / self.most_pictures, 3 * self.draw_seconds) or self.state()["step"] == 1)
    ):
        self._say()
        self.draw()


@patch
def close(self: TaskWeightPlayground):
    "Ends the thread, lets network and images go, and removes the display with all its controls."
    BackgroundTraining.close(self)
    if self._shown():
        self.box.player = None
        close_all(self.box)


@patch
def _repr_mimebundle_(self: TaskWeightPlayground, **kwargs):
    self._must_be_open()
    self.box.player = self  # until the page has counted its view
    self._changed()
    return Playable._repr_mimebundle_(self, **kwargs)


@patch
def to_jshtml(
    self: TaskWeightPlayground,
    frames: int = 8,  # positions of the slider
    steps: int = 40,
) -> str:  # of each of the two runs, where there are no curves yet
    "HTML with a slider over the steps of all curves so far; when there are none, 1/1/1 and then 5/30/1 are trained first, each from the first step on."
    if not self.curve.steps and not self.ghosts:
        for preset in ("1/1/1", "5/30/1"):
            self.reset()
            self.choose(preset)
            for _ in range(steps):
                self.step()
    with self._lock:
        curve, ghosts = self.curve, list(self.ghosts)
    curves, board = [c for c in (*ghosts, curve) if c.steps], Board(self.kept)
    last = max(c.steps[-1] for c in curves)
    ends = np.unique(np.linspace(max(1, last / frames), last, frames).round())
    pictures = (board.update(curve.weights, curve.balancer, curve, ghosts, end) for end in ends)
    return sweep_to_jshtml(pictures, dpi=70, label="step", sentences=[_until(curves, end) for end in ends])


def _until(curves: list[Curve], end: float) -> str:
    "What the curves say up to a step, in a sentence."
    parts = []
    for c in curves:
        n = sum(s <= end for s in c.steps)
        if n:
            parts.append(f"{c.label}: " + ", ".join(f"{t} {running_mean(c.losses[t][:n])[-1]:.2f}" for t in ORDER))
    return f"Up to step {end:.0f}. Losses, mean of the last ten steps: {'; '.join(parts)}."
