"""A score sums up a thousand pictures: look at them one by one, and turn the thresholds."""

import html
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import ipywidgets as ipw
import numpy as np
import pandas as pd

from ..config import Config
from ..core.device import choose_device
from ..core.errors import UserError
from ..core.files import resolve
from ..core.task import TASKS
from ..data.images import read_picture
from ..data.sources import prepare_data
from ..models.checkpoint import check_data_root, load_model
from ..models.multi_task_model import MultiTaskModel
from ..core.colours import OKABE_ITO
from .base import Picture, Widget, align_labels, button, checked_number, choice, row, slider, tick
from .samples import Sample, held_out_samples, network_in_the_box, own_samples, trained_model
from .sheet import Sheet, SheetAxes, rgb
from .sweep import sweep_to_jshtml, to_webp
from .task_views import THRESHOLDS, TaskView, make_view

__all__ = ["PredictionBrowser"]

DEFAULTS = {name: threshold.default for name, threshold in THRESHOLDS.items()}
LEVELS = np.arange(1, 20) / 20  # thresholds of the curves
CURVE_LINES = (  # dashes and colour
    (None, OKABE_ITO["black"]),
    ((9, 4), OKABE_ITO["blue"]),
    ((2, 5), OKABE_ITO["vermillion"]),
    ((14, 3, 2, 3), OKABE_ITO["green"]),
)
METRIC_NAMES = dict(
    f1="F1",
    ap50="AP50",
    iou="IoU",
    precision="precision",
    recall="recall",
    right="right, of the answered",
    answered="answered",
    top1="right, of all",
    boxes="boxes per picture",
    lane_share="pixels called lane",
)


class Photo(Picture):
    """A picture packed as JPEG: a photograph packed as PNG is larger and takes longer."""

    format = "jpeg"

    def pack(
        self,
        page: np.ndarray,  # uint8 (H, W, 3)
    ) -> bytes:
        return to_jpeg(page, 85)


def to_jpeg(
    page: np.ndarray,  # uint8 (H, W, 3) RGB
    quality: int = 45,  # up to 100
) -> bytes:
    """The bytes of a JPEG."""
    return cv2.imencode(".jpg", page[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


@dataclass
class Stack:
    """The pictures of one task in the order in which they are leafed through."""

    view: TaskView
    order: list[int] = field(default_factory=list)  # numbers of the view's samples
    place: int = 0  # in the order
    worst_first: bool = False
    curves: dict = field(default_factory=dict)  # thresholds that matter for it -> scores over LEVELS

    def __post_init__(self):
        self.order = self.order or list(range(len(self.view.samples)))

    @property
    def sample(self) -> Sample:
        """The picture that is shown."""
        return self.view.samples[self.order[self.place]]


class PredictionBrowser(Widget):
    """Leafs through pictures with what a network sees in them, while thresholds move.

    Without arguments: the trained network that is here (else the one in the box) on the test
    split of its data. Raises `UserError` for a missing checkpoint, for missing data, and for a path
    that does not exist or is no picture.
    """

    def __init__(
        self,
        model: MultiTaskModel | str | Path | None = None,  # or a checkpoint; None: `trained_model()`
        config: Config | None = None,  # image sizes and data; None: the model's own
        paths=None,  # pictures of one's own, or folders of them, instead of test pictures
        data: str | Path | None = None,  # another folder with gtsrb/, kitti/ and tusimple/
        images: int | None = None,  # of each task; None: as many as its view says
        split: str = "test",  # or val, train
        progress: bool = True,
    ):
        if model is None:
            model = trained_model()
        elif model == "evening":
            model = network_in_the_box()
        elif isinstance(model, (str, Path)):
            path = resolve(model)
            model = load_model(path, choose_device())
            if data is None and paths is None and config is None:
                check_data_root(model.config, path)
        config = config or getattr(model, "config", None)
        if config is None:
            raise UserError(
                "the model carries no config: give PredictionBrowser(model, config) the one it was made from"
            )
        self.model = model
        self.config = config if data is None else config.on_data(str(data))
        self.images = images
        self.split = split
        self.progress = progress
        self.tasks = self.all_tasks = tuple(model.tasks)
        self.stacks = {}  # task -> its pictures, once they are asked for
        self.task = None
        self.own = False  # the user's own pictures are shown
        self.thresholds = dict(DEFAULTS)
        self.message = ""
        self.picture = Photo()
        self._pixels = (None, None)  # the last picture as it is shown: (path, place) and pixels
        self._make_controls()
        if paths is not None:
            self.open(paths)
        else:
            self.show(self._first_task(), 0)

    def _first_task(self) -> str:
        views = {task: make_view(self.model, task) for task in self.tasks}
        return next((task for task, view in views.items() if view.opens), self.tasks[0])

    @property
    def stack(self) -> Stack:
        """The pictures of the present task."""
        return self.stacks[self.task]

    @property
    def view(self) -> TaskView:
        """The view of the present task."""
        return self.stack.view

    def _load(self, task: str):
        """Lets the network look at a task's pictures, the first time that they are asked for."""
        if task not in self.stacks:
            prepare_data(self.config, self.progress)
            view = make_view(self.model, task)
            pairs = held_out_samples(self.config, task, self.images or view.pictures, self.split)
            self.stacks[task] = Stack(view.look(pairs, self.progress))

    def show(
        self,
        task: str | None = None,  # None: the present one
        index: int | None = None,  # from 0, in the present order; None: as it is
    ) -> "PredictionBrowser":
        """Shows a picture of a task; raises `UserError` for a task or place that is not there."""
        task = task or self.task
        if task not in self.tasks:
            raise UserError(f"task is {task!r}: expected one of {', '.join(self.tasks)}")
        self._load(task)
        stack = self.stacks[task]
        number = len(stack.order)
        if index is not None and not (isinstance(index, int) and 0 <= index < number):
            raise UserError(f"index is {index}: expected 0 to {number - 1}, there are {number} {task} pictures")
        self.task = task
        if index is not None:
            stack.place = index
        return self._redraw()

    def turn(
        self,
        by: int,  # 1: the next picture, −1: the one before
    ) -> "PredictionBrowser":
        """Leafs on, round and round."""
        return self.show(index=(self.stack.place + by) % len(self.stack.order))

    def set_thresholds(
        self,
        **thresholds: float,  # score, nms or lane, each in 0..1; others stay
    ) -> "PredictionBrowser":
        """Sets thresholds; raises `UserError` for other names or values."""
        checked = {}
        for name, value in thresholds.items():
            if name not in THRESHOLDS:
                raise UserError(f"threshold is {name!r}: expected one of {', '.join(THRESHOLDS)}")
            checked[name] = checked_number(name, value, THRESHOLDS[name].low, 1)
        self.thresholds |= checked
        return self._redraw()

    def open(
        self,
        paths: str | Path | Sequence,  # a picture, a folder of pictures, or several of them
        tasks: tuple[str, ...] | None = None,  # None: guessed from each picture's shape
    ) -> "PredictionBrowser":
        """Shows the user's own pictures; without targets there are predictions but no scores."""
        pairs = {task: [] for task in self.all_tasks}
        for sample, record in own_samples(self.config, paths, self.all_tasks, tasks):
            pairs[sample.task].append((sample, record))
        stacks = {}
        for task, of_task in pairs.items():
            if of_task:
                stacks[task] = Stack(make_view(self.model, task).look(of_task, self.progress))
        self.stacks = stacks
        self.tasks = tuple(stacks)
        self.own = True
        return self.show(self.tasks[0], 0)

    def test_pictures(self) -> "PredictionBrowser":
        """Back from the user's own pictures to those of the data."""
        if self.own:
            self.stacks = {}
            self.tasks = self.all_tasks
            self.own = False
            self.task = None
        return self.show(self.task or self._first_task())

    def sort_by_worst(
        self,
        worst: bool = True,  # False: the order of the data
    ) -> "PredictionBrowser":
        """Orders the task's pictures by their score at the present thresholds, lowest first.

        The order stays while thresholds move; call again to sort anew.
        """
        if self.own:
            raise UserError("these pictures have no targets, so none is the worst: sorting is for test pictures")
        stack = self.stack
        scores = stack.view.image_scores(self.thresholds)
        order = range(len(scores))
        stack.order = sorted(order, key=lambda number: scores[number]) if worst else list(order)
        stack.worst_first = worst
        return self.show(index=0)

    def curve(self) -> pd.DataFrame:
        """Scores over the whole range of the task's threshold, one row per level."""
        view = self.view
        key = tuple(self.thresholds[name] for name in view.thresholds[:-1])
        if key not in self.stack.curves:
            self.stack.curves[key] = view.scores_at(LEVELS, self.thresholds)
        return self.stack.curves[key]

    def scores(self) -> pd.DataFrame:
        """Scores over all pictures: one row per metric, columns now and default (thresholds)."""
        view = self.view
        name = view.thresholds[-1]
        now = view.scores_at(self.thresholds[name], self.thresholds).iloc[0]
        curves = self.stack.curves
        if "default" not in curves:
            curves["default"] = view.scores_at(DEFAULTS[name], DEFAULTS).iloc[0]
        return pd.DataFrame(dict(now=now, default=curves["default"]))

    def state(self) -> dict:
        """What is shown, what was found in it, and the scores over all pictures."""
        stack = self.stack
        state = dict(
            task=self.task,
            index=stack.place,
            pictures=len(stack.order),
            file=stack.sample.name,
            own=self.own,
            thresholds=dict(self.thresholds),
        )
        state |= stack.view.state(stack.sample, self.thresholds)
        return state | dict(scores=self.scores().to_dict("index"))

    def describe(self) -> str:
        """The picture in a few sentences."""
        state = self.state()
        scores = []
        for name, values in state["scores"].items():
            scores.append(f"{METRIC_NAMES.get(name, name)} {self._now_and_default(values['now'], values['default'])}")
        sentences = [self._title(), self.view.describe(state)]
        if scores:
            sentences.append(f"Over all {state['pictures']} pictures: {', '.join(scores)}")
        return ". ".join(filter(None, sentences)) + "."

    def _now_and_default(self, now: float, default: float) -> str:
        words = _score_words(now, self.view.percent)
        if self.thresholds == DEFAULTS:
            return words
        return f"{words} (default {_score_words(default, self.view.percent)})"

    def _title(self) -> str:
        stack = self.stack
        return f"{stack.view.task.title}, picture {stack.place + 1} of {len(stack.order)}: {stack.sample.name}"

    def page(self) -> np.ndarray:
        """The present picture with predictions, and scores over the threshold, uint8 (H, W, 3)."""
        view = self.view
        sheet = Sheet(*view.layout.size)
        sheet.text(self._title(), 8, 20, 13)
        view.draw(sheet, self._shown_pixels(), self.stack.sample, self.thresholds)
        if len(self.curve().columns):
            self._draw_curve(sheet)
        return sheet.finished()

    def _shown_pixels(self) -> np.ndarray:
        """The picture's pixels, as large as fits its place."""
        path = self.stack.sample.path
        place = self.view.layout.picture
        if self._pixels[0] != (path, place):
            image = read_picture(path)
            scale = min(place[2] / image.shape[1], place[3] / image.shape[0])
            size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
            interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            self._pixels = ((path, place), cv2.resize(image, size, interpolation=interpolation))
        return self._pixels[1].copy()

    def _draw_curve(self, sheet: Sheet):
        """Scores over the task's threshold, with the present and the default place."""
        view = self.view
        curve = self.curve()
        scores = self.scores()
        name = view.thresholds[-1]
        now = self.thresholds[name]
        axes = SheetAxes(sheet, view.layout.curve, _round_top(np.nanmax(curve.to_numpy(), initial=0.05)))
        others = [f"{THRESHOLDS[other].label}: {self.thresholds[other]:.2f}" for other in view.thresholds[:-1]]
        label = "     ".join([f"{THRESHOLDS[name].label}: {now:.2f}", *others])
        axes.draw(label, f"all {len(self.stack.order)} pictures together", view.percent)
        sheet.line(axes.at([DEFAULTS[name]] * 2, [0, axes.top]), "#777777", (2, 4))
        sheet.line(axes.at([now] * 2, [0, axes.top]))
        left, top, width, height = view.layout.curve
        x, y = (left + width + 24, top + 16) if view.layout.legend_beside else (left - 40, top + height + 58)
        for (metric, values), (dashes, colour) in zip(curve.items(), CURVE_LINES):
            defined = ~np.isnan(values.to_numpy())
            sheet.line(axes.at(curve.index[defined], values[defined]), colour, dashes, 2)
            value, default = scores.loc[metric]
            if not np.isnan(value):
                centre = axes.at(now, value).round().astype(int).tolist()
                cv2.circle(sheet.pixels, centre, 4, rgb(colour), -1, cv2.LINE_AA)
            sheet.line([(x, y - 4), (x + 40, y - 4)], colour, dashes, 2)
            sheet.text(f"{METRIC_NAMES.get(metric, metric)} {self._now_and_default(value, default)}", x + 48, y)
            y += 20

    def _make_controls(self):
        """The controls; each calls a method of the browser."""
        act = self._guarded
        browser = weakref.proxy(self)  # what a control calls would keep the browser alive
        self.controls = dict(
            task=choice("task", self._task_options(), on_change=act(lambda task: browser.show(task))),
            index=slider("picture", 1, 2, 1, on_change=act(lambda number: browser.show(index=number - 1))),
            previous=button("previous", act(lambda: browser.turn(-1)), "the picture before"),
            next=button("next", act(lambda: browser.turn(1)), "the next picture"),
            worst=tick("worst first", on_change=act(lambda worst: browser.sort_by_worst(worst))),
        )
        for name, threshold in THRESHOLDS.items():
            on_change = act(partial(type(self)._set_threshold, browser, name))
            self.controls[name] = slider(threshold.label, *threshold.ends, threshold.default, 0.05, on_change)
        align_labels(self.controls[name] for name in THRESHOLDS)
        wide = ipw.Layout(flex="1 1 20em", width="auto")
        label = dict(description="your own picture or folder", placeholder="path")
        path = ipw.Text(layout=wide, style={"description_width": "initial"}, **label)
        self.controls |= dict(
            defaults=button("default thresholds", act(lambda: browser.set_thresholds(**DEFAULTS))),
            path=path,
            open=button("open", act(lambda: browser.open(path.value.strip()))),
            back=button("test pictures", act(lambda: browser.test_pictures()), "back to the pictures of the data set"),
        )
        self.note = ipw.HTML()
        rows = (
            ("task", "index", "previous", "next", "worst"),
            tuple(THRESHOLDS),
            ("path", "open", "back", "defaults"),
        )
        lines = [self._row_of(names) for names in rows]
        self.box = ipw.VBox([*lines, self.note, self.picture])

    def _row_of(self, names: tuple[str, ...]) -> ipw.HBox:
        return row(*[self.controls[name] for name in names])

    def _task_options(self) -> list[tuple[str, str]]:
        return [(TASKS[task].title, task) for task in self.tasks]

    def _set_threshold(self, name: str, value: float):
        self.set_thresholds(**{name: value})

    def _guarded(self, action: Callable) -> Callable:
        """What a control does: a mistake of the user becomes a sentence below the controls."""
        weak = weakref.ref(self)

        def call(*args):
            browser = weak()
            if browser is None or browser.quiet:
                return
            try:
                action(*args)
                browser._say("")
            except UserError as error:
                browser._say(str(error))
                browser._follow()

        return call

    def _say(self, message: str):
        self.message = message
        self.note.value = f"<b>{html.escape(message)}</b>" if message else ""

    def _follow(self):
        """Sets the controls to what the browser shows, without their calling back."""
        controls = self.controls
        stack = self.stack
        with self.callbacks_silenced():
            controls["task"].options = self._task_options()
            controls["task"].value = self.task
            controls["index"].max = max(1, len(stack.order))
            controls["index"].value = stack.place + 1
            for name in THRESHOLDS:
                controls[name].value = self.thresholds[name]
                controls[name].disabled = name not in stack.view.thresholds
            controls["worst"].value = stack.worst_first
            controls["worst"].disabled = self.own
            controls["back"].disabled = not self.own

    def _redraw(self) -> "PredictionBrowser":
        """Draws the present state; returns the browser, so that calls can be chained."""
        self._follow()
        self.picture.show(self.page(), self.describe())
        return self

    def _still(self) -> bytes:
        return to_jpeg(self.page())  # photographs in stored notebooks should be small

    def to_jshtml(
        self,
        pictures: int = 2,
        levels: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),  # of the task's threshold
        kilobytes: int = 290,  # about the size of the page; if need be at less quality
    ) -> str:
        """The task's first pictures at several thresholds, as a page that needs no Python.

        The browser stays as it was.
        """
        stack = self.stack
        name = stack.view.thresholds[-1]
        before = (dict(self.thresholds), stack.place)
        pages = []
        sentences = []
        try:
            for stack.place in range(min(pictures, len(stack.order))):
                for level in levels:
                    self.thresholds[name] = level
                    self._soften()
                    pages.append(self.page())
                    sentences.append(f"Threshold {level:g}. {self.describe()}")
        finally:
            self.thresholds, stack.place = before
            self._pixels = (None, None)
        label = f"picture and {THRESHOLDS[name].label}"
        return sweep_to_jshtml(pages, photo=_fitting_quality(pages, kilobytes), label=label, sentences=sentences)

    def _soften(self):
        """Blurs a large picture: grain takes most of the bytes."""
        self._shown_pixels()
        key, pixels = self._pixels
        if min(self.view.layout.picture[2:]) > 250:
            self._pixels = (key, cv2.medianBlur(pixels, 5))


def _fitting_quality(pages: list[np.ndarray], kilobytes: int) -> int:
    """The best quality of WebP with which all pages fit."""
    room = 1000 * (kilobytes - 40)  # the player itself takes the rest
    for quality in (30, 20, 12, 6):
        if sum(len(to_webp(page, quality)) for page in pages) < room:
            return quality
    return 3


def _score_words(value: float, percent: bool) -> str:
    if np.isnan(value):
        return "–"
    return f"{100 * value:.1f} %" if percent else f"{value:.1f}"


def _round_top(largest: float) -> float:
    """The next of 1, 2, 5, 10, 20 … (or a tenth, a hundredth of these) above a number."""
    power = 10.0 ** np.floor(np.log10(largest))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= largest)
