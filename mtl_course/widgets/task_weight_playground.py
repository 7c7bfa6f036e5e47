"""What if the lane loss counts thirty times? Move the slider while the network learns."""

import math
import threading
import time
import weakref
from collections.abc import Callable
from functools import cached_property, partial

import ipywidgets as ipw
import numpy as np

from ..core.errors import UserError
from .background_training import HIGHEST, LOWEST, BackgroundTraining, Curve
from .base import DPI, Picture, Widget, align_labels, button, call_if_alive, choice, close_all, log_slider, row
from .playground_board import PlaygroundBoard, running_mean
from .sweep import sweep_to_jshtml

__all__ = ["TaskWeightPlayground"]

OWN = "own weights"  # what the list of presets shows after a slider was moved


class TaskWeightPlayground(BackgroundTraining, Widget):
    """Weight sliders, presets and balancers over a small network that trains meanwhile.

    See `BackgroundTraining` for the arguments. `to_jshtml` leafs through the curves where there
    is no kernel.
    """

    most_pictures = 4  # a second
    drawn_at = 0.0  # when the last picture was drawn, seconds of `time.perf_counter`
    draw_seconds = 0.0  # how long that took

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._drawing = threading.Lock()
        self._again = False

    @cached_property
    def board(self) -> PlaygroundBoard:
        return PlaygroundBoard(self.tasks, self.max_ghosts)

    @cached_property
    def picture(self) -> Picture:
        return Picture(DPI)

    @cached_property
    def box(self) -> ipw.VBox:
        """Everything on the page, made when it is first asked for.

        ipywidgets never forgets a widget: what the page calls must not hold the playground.
        """
        moved = weakref.WeakMethod(self._on_slider)
        self.sliders = {}
        for task in self.tasks:
            on_change = partial(call_if_alive, moved, task)
            self.sliders[task] = log_slider(f"{task} weight", LOWEST, HIGHEST, self.weights[task], on_change=on_change)
        align_labels(self.sliders.values())
        first = next(iter(self.presets))
        self.preset_list = choice("preset", [OWN, *self.presets], first, self._guarded(self._on_preset))
        self.buttons = {
            "train": button("train", self._guarded(self.train), "train until paused"),
            "pause": button("pause", self._guarded(self.pause), "stop after the running step"),
            "reset": button("reset", self._guarded(self.reset), "first weights again; the curves stay as ghosts"),
        }
        self.status = ipw.HTML()
        controls = (row(*self.sliders.values()), row(self.preset_list, *self.buttons.values(), self.status))
        box = ipw.VBox([*controls, self.picture])
        return box

    def _guarded(self, action: Callable) -> Callable:
        """The method, but a mistake of the user's becomes words beside the buttons."""
        weak = weakref.WeakMethod(action)

        def call(*args, **kwargs):
            method = weak()
            if method is None:
                return
            try:
                method(*args, **kwargs)
            except UserError as error:
                method.__self__.error = str(error)
                method.__self__._show_status()

        return call

    def _on_views(self, views: int):
        """While it is on a page the box holds the playground; after that it pauses."""
        super()._on_views(views)
        if not views:
            self.pause()

    def _on_slider(self, task: str, weight: float):
        if not math.isclose(weight, self.weights[task]):
            self.set_weights(**{task: min(max(weight, LOWEST), HIGHEST)})

    def _on_preset(self, preset: str):
        if preset in self.presets and preset != self._preset():
            self.choose(preset)

    def _preset(self) -> str:
        """What the list shows for the present setting: the balancer's name, or the weights'."""
        if self.balancer != "fixed":
            return self.balancer
        setting = (self.weights, "fixed")
        return next((name for name, preset in self.presets.items() if preset == setting), OWN)

    def _follow(self):
        """Sliders and list show the present setting; their callbacks see nothing new and stop."""
        for task, control in self.sliders.items():
            control.value = self.weights[task]
        self.preset_list.value = self._preset()

    def _show_status(self):
        """The words beside the buttons."""
        with self._lock:  # two threads speak: the one that speaks last has to know the latest
            state = self.state()
            pace = f" · {state['seconds_per_step']:.2f} s a step" if state["seconds_per_step"] else ""
            setting = Curve(state["weights"], state["balancer"]).label
            error = f" · <b>{state['error']}</b>" if state["error"] else ""
            self.status.value = (
                f"<b>{self._doing(state)}</b> · step {state['step']}{pace} · next step with {setting}{error}"
            )

    def _doing(self, state: dict) -> str:
        if self.closed:
            return "closed"
        if state["training"]:
            return "training" if state["step"] or state["ghosts"] else "preparing the data"
        return "paused" if state["step"] else "ready: press train"

    def describe(self) -> str:
        """The picture in words."""
        state = self.state()
        doing = "training" if state["training"] else "not training"
        weights = self._each(state["weights"], "{:.3g}")
        sentences = [f"Step {state['step']}, {doing}.", f"Weights now: {weights}; balancer {state['balancer']}."]
        if state["losses"]:
            sentences.append(f"Last losses: {self._each(state['losses'], '{:.2f}')}.")
        if state["scores"]:
            sentences.append(f"Last validation scores: {self._each(state['scores'], '{:.2f}')}.")
        if state["ghosts"]:
            sentences.append(f"Ghosts, oldest first: {', '.join(state['ghosts'])}.")
        return " ".join(sentences)

    def _each(self, values: dict, form: str) -> str:
        return ", ".join(f"{task} {form.format(values[task])}" for task in self.tasks if task in values)

    def draw(
        self,
        curves_too: bool = True,  # False: only the setting has changed
    ):
        """Draws the picture from what is known now.

        A slider does not wait for a picture that is being drawn: whoever draws it draws the left
        column again.
        """
        self._again = True
        start = time.perf_counter()
        if not self._drawing.acquire(blocking=curves_too):
            return
        try:
            self._again = False
            with self._lock:
                known = (dict(self.weights), self.balancer, self.curve, list(self.ghosts))
            update = self.board.update if curves_too else self.board.update_setting
            update(*known)
            self.picture.show(self.board.pixels(self.picture.dpi, curves_too), self.describe())
            if curves_too:
                self.drawn_at = time.perf_counter()
                self.draw_seconds = self.drawn_at - start
        finally:
            self._drawing.release()
        if self._again:
            self.draw(curves_too=False)

    def _is_shown(self) -> bool:
        return "box" in self.__dict__

    def _on_setting(self):
        """Words and the left column of the picture at once, whatever is going on."""
        if self._is_shown():
            self._show_status()
            self._follow()
            self.draw(curves_too=False)

    def _on_change(self):
        """Words and picture at once."""
        if self._is_shown() and not self.closed:
            self._show_status()
            self._follow()
            self.draw()

    def _on_step(self):
        """After a step of the thread: a new picture, unless the last one is too young."""
        if not self._is_shown() or self.closed:
            return
        age = time.perf_counter() - self.drawn_at
        if age > max(1 / self.most_pictures, 3 * self.draw_seconds) or self.state()["step"] == 1:
            self._show_status()
            self.draw()

    def close(self):
        """Ends the thread, lets network and images go, and removes the display."""
        super().close()
        if self._is_shown():
            self.box.shown = None
            close_all(self.box)

    def _repr_mimebundle_(self, **kwargs) -> tuple[dict, dict]:
        self._must_be_open()
        self._stay_while_viewed()
        self._on_change()
        return super()._repr_mimebundle_(**kwargs)

    def to_jshtml(
        self,
        frames: int = 8,  # positions of the slider
        steps: int = 40,  # of each of the two runs, where there are no curves yet
    ) -> str:
        """HTML with a slider over the steps of all curves so far.

        When there are none, 1/1/1 and then 5/30/1 are trained first, each from the first step on.
        """
        if not self.curve.steps and not self.ghosts:
            for preset in list(self.presets)[:2]:
                self.train_from_start(preset, steps)
        with self._lock:
            curve = self.curve
            ghosts = list(self.ghosts)
        curves = [shown for shown in (*ghosts, curve) if shown.steps]
        board = PlaygroundBoard(self.tasks, self.max_ghosts)
        last = max(shown.steps[-1] for shown in curves)
        ends = np.unique(np.linspace(max(1, last / frames), last, frames).round())
        pictures = (board.update(curve.weights, curve.balancer, curve, ghosts, end) for end in ends)
        return sweep_to_jshtml(pictures, DPI, label="step", sentences=[_until(curves, end) for end in ends])

    def train_from_start(
        self,
        preset: str,  # a key of `presets`
        steps: int,
    ):
        """Resets, and trains some steps of a preset while the kernel waits."""
        self.reset()
        self.choose(preset)
        for _ in range(steps):
            self.step()


def _until(curves: list[Curve], end: float) -> str:
    """What the curves say up to a step, in a sentence."""
    parts = []
    for curve in curves:
        n = sum(step <= end for step in curve.steps)
        if n:
            means = {task: running_mean(losses[:n])[-1] for task, losses in curve.losses.items()}
            parts.append(f"{curve.label}: " + ", ".join(f"{task} {mean:.2f}" for task, mean in means.items()))
    return f"Up to step {end:.0f}. Losses, mean of the last ten steps: {'; '.join(parts)}."
