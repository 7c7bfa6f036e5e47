"""Arrows in the plane, nineteen opinions on where to go: pull and see who is harmed."""

import html
from collections.abc import Callable, Iterable
from typing import NamedTuple

import ipywidgets as ipw
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..config import make_config
from ..core.errors import UserError
from ..core.files import project_root
from ..core.seeds import random_states_restored
from ..core.task import default_tasks
from ..training.recording import Recording, read_recording, record_gradients
from .arrow_drawing import describe_arrows, draw_arrows, methods_standing_still, table_to_html
from .arrow_updates import balanced_updates, conflict_free_degrees, embed_gramian, in_plane, plane_share, update_table
from .base import Picture, Widget, align_labels, button, checked_number, choice, log_slider, row, slider
from .sweep import sweep_to_jshtml

__all__ = ["GradientArrows"]

OWN = "own arrows"  # what the list of presets shows after an arrow was moved
RANGES = dict(angle=(-180, 360), length=(0.1, 10), loss=(0.1, 10))  # ends of the sliders
PRESETS = {  # name -> number of tasks -> (angles in degrees, lengths)
    "agreement": {2: ([20, 70], [1.41, 1.0]), 3: ([20, 50, 85], [1.41, 1.26, 1.0])},
    "conflict": {2: ([15, 140], [1.41, 1.26]), 3: ([15, 80, 150], [1.41, 1.0, 1.26])},
    "one dominating": {2: ([15, 140], [3.16, 0.398]), 3: ([15, 80, 150], [0.631, 3.16, 0.398])},
    "linearly dependent": {2: ([40, 220], [1.41, 1.0]), 3: ([40, 220, 110], [1.41, 1.0, 1.0])},  # two are opposite
    "no common way": {2: ([40, 220], [1.0, 1.0]), 3: ([90, 210, 330], [1.5, 1.0, 1.0])},
}


class Drawing(NamedTuple):
    """What one position of the controls shows."""

    figure: Figure
    table: pd.DataFrame  # of `update_table`
    text: str  # the picture in words


def handmade_drawing(
    state: dict,  # of `HandmadeGradients.state`
    before: str = "",  # of the title
) -> Drawing:
    """Gradients that were set by hand, and every method's update."""
    arrows = state["gradients"].values()
    gradients = in_plane([arrow["angle"] for arrow in arrows], [arrow["length"] for arrow in arrows])
    losses = {task: arrow["loss"] for task, arrow in state["gradients"].items()}
    updates = balanced_updates(gradients, losses, state["settled"], state["seed"])
    table = update_table(gradients, losses, updates)
    directions = {method: update.direction for method, update in updates.items()}
    degrees = conflict_free_degrees(gradients)
    title = f"conflict-free: {degrees:.0f}°" if degrees > 0 else "no direction is free of conflict"
    by_task = dict(zip(losses, gradients))
    still = methods_standing_still(table)
    figure = draw_arrows(by_task, directions, state["same_length"], before + title, still)
    return Drawing(figure, table, describe_arrows(by_task, table))


def replay_drawing(
    recording: Recording,
    step: int,  # index of the recorded step
    stage: str = "trunk",  # a stage of the backbone, or "trunk" for the whole
    same_length: bool = True,  # draw all gradients at one length: only the angles count
    settled: bool = False,  # methods that learn weights: after sixty steps at the same place
    seed: int = 0,  # of methods that draw lots
) -> Drawing:
    """One recorded step in the plane that shows most of its gradients; the table is exact.

    GradDrop is left out: it looks at coordinates, which the embedding does not preserve.
    """
    rows = embed_gramian(recording.gramians[stage][step])
    losses = dict(zip(recording.tasks, recording.losses[step].tolist()))
    updates = balanced_updates(rows, losses, settled, seed)
    del updates["graddrop"]
    table = update_table(rows, losses, updates)
    lengths = np.linalg.norm(rows, axis=1)
    shown = rows
    turn = np.eye(len(rows))
    if same_length:
        unit = rows / np.maximum(lengths, 1e-12)[:, None]
        shown = embed_gramian(unit @ unit.T)  # another plane: the best one for the angles
        turn = np.linalg.lstsq(unit, shown, rcond=None)[0]  # the updates turn with the gradients
    gradients = {task: gradient[:2] for task, gradient in zip(recording.tasks, shown)}
    directions = {method: (update.direction @ turn)[:2] for method, update in updates.items()}
    name = f"step {recording.steps[step]}, {_stage_name(stage)}"
    title = f"{name}: the plane shows {plane_share(shown):.0%}"
    figure = draw_arrows(gradients, directions, same_length, title, methods_standing_still(table))
    sizes = ", ".join(f"{task} {length:.3g}" for task, length in zip(recording.tasks, lengths))
    text = f"{name.capitalize()}. Lengths: {sizes}. The plane shows {plane_share(shown):.0%} of the gradients."
    return Drawing(figure, table, f"{text} {describe_arrows({}, table)}")


def _stage_name(stage: str) -> str:
    return "whole backbone" if stage == "trunk" else stage


def _settling_choice(redraw: Callable) -> ipw.Dropdown:
    options = [("as they start", False), ("settled", True)]
    return choice("learned weights", options, on_change=redraw)


class HandmadeGradients(Widget):
    """Gradients in the plane, set by hand, and every balancer's update; `table` has numbers.

    Raises `UserError` for an unknown preset.
    """

    def __init__(
        self,
        preset: str = "conflict",  # a key of PRESETS
        num_tasks: int = 3,  # 2 or 3
    ):
        self.seed = 0
        self.table = pd.DataFrame()
        self.picture = Picture()
        self.table_html = ipw.HTML()
        self._make_controls(num_tasks)
        self.set_preset(preset)

    def _make_controls(self, num_tasks: int):
        self.preset = choice("preset", [*PRESETS, OWN], on_change=self._on_preset)
        self.number = choice("number of tasks", [2, 3], num_tasks, self._on_number)
        lengths = [("true length", False), ("same length", True)]
        self.same_length = choice("updates", lengths, on_change=self._on_change)
        self.settled = _settling_choice(self._on_change)
        again = button("draw lots again", self.draw_again, "random, pcgrad and graddrop draw lots: with another seed")
        self.sliders = {task: self._sliders_of(task) for task in default_tasks()}
        for kind in ("angle", "length", "loss"):
            align_labels(sliders[kind] for sliders in self.sliders.values())
        self.rows = {task: row(*sliders.values()) for task, sliders in self.sliders.items()}
        top = row(self.preset, self.number, self.same_length, self.settled, again)
        self.box = ipw.VBox([top, *self.rows.values(), self.picture, self.table_html])

    def _sliders_of(self, task: str) -> dict:
        return dict(
            angle=slider(f"{task}: angle (°)", *RANGES["angle"], 0, 5, self._on_change),
            length=log_slider("length", *RANGES["length"], 1, 20, self._on_change),
            loss=log_slider("loss", *RANGES["loss"], 1, 20, self._on_change),
        )

    def _on_change(self, _):
        self.redraw()

    def _on_number(self, _):
        self._on_preset(self.preset.value)

    @property
    def tasks(self) -> tuple[str, ...]:
        return default_tasks()[: self.number.value]

    def state(self) -> dict:
        """Everything that is set."""
        gradients = {}
        for task in self.tasks:
            gradients[task] = {name: control.value for name, control in self.sliders[task].items()}
        return dict(
            gradients=gradients,
            preset=self.preset.value,
            same_length=self.same_length.value,
            settled=self.settled.value,
            seed=self.seed,
        )

    def set_preset(
        self,
        name: str,  # a key of PRESETS
    ):
        """Puts the gradients where the preset has them."""
        if name not in PRESETS:
            raise UserError(f"preset is {name!r}: expected one of {', '.join(PRESETS)}")
        moves = {self.preset: name}
        for task, angle, length in zip(self.tasks, *PRESETS[name][len(self.tasks)]):
            moves[self.sliders[task]["angle"]] = angle
            moves[self.sliders[task]["length"]] = length
        self._move(moves)

    def set_gradient(
        self,
        task: str,
        angle: float | None = None,  # degrees; None leaves a value as it is
        length: float | None = None,  # 0.1..10
        loss: float | None = None,  # 0.1..10
    ):
        """Moves one task's arrow, or sets its loss.

        Raises `UserError` for a task or a number that is none of those possible, and then moves
        nothing.
        """
        if task not in self.tasks:
            raise UserError(f"task is {task!r}: expected one of {', '.join(self.tasks)}")
        moves = {}
        for name, value in dict(angle=angle, length=length, loss=loss).items():
            if value is not None:
                number = checked_number(f"the {name} of {task}", value, *RANGES[name])
                moves[self.sliders[task][name]] = round(number) if name == "angle" else number
        self._move(moves)

    def draw_again(self):
        """Gives the methods that draw lots another seed."""
        self.seed += 1
        self.redraw()

    def _on_preset(self, name: str):
        """A preset was chosen in the list; it is asked again when the number of tasks changes."""
        if self.quiet:
            return
        if name in PRESETS:
            self.set_preset(name)
        else:
            self.redraw()

    def _present_preset(self) -> str:
        """The preset that the arrows are, whoever moved them; else OWN."""
        angles = [self.sliders[task]["angle"].value for task in self.tasks]
        lengths = [self.sliders[task]["length"].value for task in self.tasks]
        for name, cases in PRESETS.items():
            if np.allclose([angles, lengths], cases[len(self.tasks)], rtol=1e-3):
                return name
        return OWN

    def _move(self, moves: dict):
        """Sets several controls with one redraw."""
        if self.quiet:
            return
        with self.callbacks_silenced():
            for control, value in moves.items():
                control.value = value
        self.redraw()

    def redraw(self):
        """Computes all updates from fresh balancers and draws them."""
        if self.quiet:
            return
        with self.callbacks_silenced():
            self.preset.value = self._present_preset()
        figure, self.table, text = handmade_drawing(self.state())
        for task, controls in self.rows.items():
            controls.layout.display = "flex" if task in self.tasks else "none"
        self.table_html.value = table_to_html(self.table)
        self.picture.show(figure, text)


class GradientReplay(Widget):
    """Leafs through the recorded gradients of a real run.

    `set_step` and `set_stage` move, `record` makes another recording on the tiny world.
    """

    def __init__(
        self,
        recording: Recording | None = None,  # None: the one in results/
    ):
        self.recording = None
        self.table = pd.DataFrame()
        self.picture = Picture()
        self.table_html = ipw.HTML()
        self.message = ipw.HTML()
        self._make_controls()
        try:
            self.load(recording or read_recording(project_root() / "results" / "gradient_recording.json"))
        except UserError as error:
            self.message.value = f"{error} Or press <i>record a run now</i>."

    def _on_change(self, _):
        self.redraw()

    def _make_controls(self):
        changed = self._on_change
        self.step = slider("recorded step", 0, 0, 0, on_change=changed)
        self.stage = choice("part of the backbone", ["trunk"], on_change=changed)
        self.same_length = choice("arrows", [("same length", True), ("true length", False)], on_change=changed)
        self.settled = _settling_choice(changed)
        hint = "trains the smoke recipe on the tiny world for 24 steps: half a minute in which nothing else answers"
        self.record_button = button("record a run now", self.record, hint)
        choices = row(self.stage, self.same_length, self.settled, self.record_button)
        self.box = ipw.VBox([row(self.step), choices, self.message, self.picture, self.table_html])

    def load(self, recording: Recording):
        """Shows another recording from its first step."""
        self.recording = None  # nothing is drawn while the controls change
        self.step.value = 0
        self.step.max = len(recording.steps) - 1
        self.stage.options = [(_stage_name(stage), stage) for stage in recording.gramians]
        self.stage.value = "trunk"
        self.recording = recording
        self.message.value = f"Recorded with <code>{recording.source}</code>" if recording.source else ""
        self.redraw()

    def state(self) -> dict:
        """Everything that is set."""
        return dict(
            step=self.step.value,
            stage=self.stage.value,
            same_length=self.same_length.value,
            settled=self.settled.value,
        )

    def set_step(
        self,
        step: int,  # index of the recorded step
    ):
        """Turns to a recorded step; raises `UserError` for what is no whole number from 0 on."""
        self.step.value = checked_number("the step", step, 0, self.step.max, whole=True)

    def set_stage(
        self,
        stage: str,  # a stage of the backbone, or "trunk" for the whole
    ):
        """Looks at one part of the backbone; raises `UserError` when it is not recorded."""
        stages = self.recording.gramians if self.recording else {}
        if stage not in stages:
            raise UserError(f"stage is {stage!r}: expected one of {', '.join(stages) or 'none, without a recording'}")
        self.stage.value = stage

    def redraw(self):
        """Draws the chosen step, if there is a recording."""
        if self.recording is None:
            return
        figure, self.table, text = replay_drawing(self.recording, **self.state())
        self.table_html.value = table_to_html(self.table)
        self.picture.show(figure, text)

    def record(
        self,
        steps: int = 24,  # of training
        every: int = 2,  # record one step in so many
    ):
        """Trains the smoke recipe on the tiny world and shows its gradients.

        A mistake is said in `message`. The random generators are afterwards where they were.
        """
        self.record_button.disabled = True
        self.message.value = "making the tiny world and starting …"
        try:
            with random_states_restored():
                config = make_config("smoke", epochs=1, steps_per_epoch=steps)
                recording = record_gradients(config, every, self._tell_progress)
            recording.source = f"record_gradients, recipe smoke, {steps} steps"
            self.load(recording)
        except UserError as error:
            self.message.value = html.escape(f"No recording was made: {error}")
        except BaseException as error:
            self.message.value = html.escape(f"No recording was made: {type(error).__name__}")
            raise
        finally:
            self.record_button.disabled = False

    def _tell_progress(self, step: int, steps: int):
        self.message.value = f"recording: step {step} of {steps}"

    def to_jshtml(
        self,
        frames: int = 5,  # recorded steps that are shown, evenly spread
        dpi: int = 80,  # pixels per inch
    ) -> str:
        """The recorded steps as HTML that needs no kernel, with the controls as they stand.

        Raises `UserError` without a recording.
        """
        if self.recording is None:
            raise UserError("there is no recording to leaf through: `record` makes one")
        steps = np.unique(np.linspace(0, len(self.recording.steps) - 1, frames).round().astype(int))
        drawings = [replay_drawing(self.recording, **self.state() | dict(step=int(step))) for step in steps]
        figures = [drawing.figure for drawing in drawings]
        sentences = [drawing.text for drawing in drawings]
        return sweep_to_jshtml(figures, dpi, photo=75, label="recorded step", sentences=sentences)


class GradientArrows(Widget):
    """Gradients and every balancer's update as arrows: by hand, and those of a real run.

    `set_preset`, `set_gradient` and `state` work on the first page; `hand` and `replay` are the
    pages.
    """

    def __init__(
        self,
        preset: str = "conflict",  # a key of PRESETS
        num_tasks: int = 3,  # 2 or 3
        recording: Recording | None = None,  # None: the one in results/
    ):
        self.hand = HandmadeGradients(preset, num_tasks)
        self.replay = GradientReplay(recording)
        self.set_preset = self.hand.set_preset
        self.set_gradient = self.hand.set_gradient
        self.draw_again = self.hand.draw_again
        self.state = self.hand.state
        self.box = ipw.Tab([self.hand.box, self.replay.box], titles=("by hand", "from a real run"))

    @property
    def page(self) -> HandmadeGradients | GradientReplay:
        """The page that is open."""
        return (self.hand, self.replay)[self.box.selected_index or 0]

    @property
    def picture(self) -> Picture:
        return self.page.picture

    @property
    def table(self) -> pd.DataFrame:
        return self.page.table

    def to_jshtml(
        self,
        task: str = "lane",  # whose arrow turns
        angles: Iterable[float] = range(60, 241, 30),  # degrees
        dpi: int = 100,  # with a multiple of 50 no row of pixels is lost to rounding
    ) -> str:
        """Pictures of one gradient turning while the others stay, as HTML that needs no kernel.

        The controls stay where they are. Raises `UserError` for a task or an angle that is not
        possible.
        """
        state = self.state()
        angles = [checked_number("an angle", angle, *RANGES["angle"]) for angle in angles]
        if task not in state["gradients"]:
            raise UserError(f"task is {task!r}: expected one of {', '.join(state['gradients'])}")
        figures = []
        sentences = []
        for angle in angles:
            turned = state["gradients"] | {task: state["gradients"][task] | dict(angle=angle)}
            drawing = handmade_drawing(state | dict(gradients=turned), f"{task} at {angle:g}°; ")
            figures.append(drawing.figure)
            sentences.append(drawing.text)
        return sweep_to_jshtml(figures, dpi, photo=75, label=f"angle of the {task} gradient", sentences=sentences)
