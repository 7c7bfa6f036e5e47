"""Turn four knobs that usually turn together, and see what the network will be fed."""

import html
from collections.abc import Iterable
from pathlib import Path

import ipywidgets as ipw
import numpy as np
import pandas as pd

from ..core.errors import UserError
from ..core.files import project_root
from ..evaluation.results import read_table
from ..studies.scores import find_result
from ..studies.plans import study_command
from ..training.recording import read_recording
from ..studies.runner import STUDY_COLUMNS
from .base import Picture, Widget, align_labels, checked_number, choice, row, stop_slider
from .imbalance_board import ImbalanceBoard, describe_lab, run_label
from .imbalance_knobs import STUDY_TASKS, Composition, Knobs, Measured, Outcome, compose, read_data, singular
from .sweep import sweep_to_jshtml

__all__ = ["ImbalanceLab"]

ALL_TASKS = 0  # the slider's temperature where every task is in each step: it cannot hold None
IMAGE_STOPS = (  # in the order of STUDY_TASKS; all images is the last stop
    (200, 600, 1500, 3000, 6370, 8636, 14000),
    (20, 60, 120, 240, 480),
    (10, 20, 40, 65, 100, 200, 400),
)
SKEWS = (1, 2, 3, 5, 10, 20, 50)
TEMPERATURES = (ALL_TASKS, 1, 1.5, 2, 3, 5, 10, 1e6)
WEIGHTS = (1 / 30, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


def _stop_name(value: float) -> str:
    if value == ALL_TASKS:
        return "all tasks"
    if np.isclose(value, 1 / 30):
        return "1/30"
    if value >= 1e5:
        return "∞ (alike)"
    return f"{value:,g}" if value < 1000 else f"{value:,.0f}"


def _stops(values: Iterable) -> list[tuple]:
    return [(_stop_name(value), value) for value in values]


def _move(slider: ipw.SelectionSlider, value: float):
    """Moves a slider to a value, which becomes a stop if it was none."""
    values = [stop for _, stop in slider.options]
    if value not in values:
        before = slider.value
        slider.options = _stops(sorted([*values, value]))
        slider.value = before
    slider.value = value


class ImbalanceLab(Widget):
    """Images per task, class skew, sampling temperature and task weights, and what they make.

    It shows what a step, an epoch and the shared gradient are made of, and what the nearest
    measured run gave. Reads studies.csv, study_data.csv and gradient_recording.json of
    `results_dir`; without runs or gradients those panels say so.
    """

    def __init__(
        self,
        results_dir: str | Path | None = None,  # None: the project's results
        steps: int | None = None,  # of the epoch that is shown; None: those of the studies' runs
    ):
        folder = Path(results_dir or project_root() / "results")
        self.data = read_data(folder)
        self.steps = steps
        self.notes = []  # sentences on what is missing
        self.gramians = self._read_gramians(folder)
        self.measured = Measured(self._read_studies(folder), self.data)
        undisturbed = self.measured.scores.get("equal", {})
        self.reference = {task: score[0] for task, score in undisturbed.items()}
        self.board = ImbalanceBoard(self.data, self.reference)
        self.picture = Picture()
        self._make_controls()
        self.redraw()

    def _read_gramians(self, folder: Path) -> np.ndarray | None:
        """(S, 3, 3) of the backbone in the order of STUDY_TASKS; None where none were recorded."""
        try:
            recording = read_recording(find_result(folder, "gradient_recording.json"))
        except UserError as error:
            self.notes.append(str(error))
            return None
        return recording.gramians_of("trunk", STUDY_TASKS)

    def _read_studies(self, folder: Path) -> pd.DataFrame:
        try:
            return read_table(find_result(folder, "studies.csv"), STUDY_COLUMNS, study_command("imbalance"))
        except UserError as error:
            self.notes.append(str(error))
            return pd.DataFrame(columns=STUDY_COLUMNS)

    def _make_controls(self):
        """Sliders that stop at every value that was trained, and at others between them."""
        changed = self._on_change
        trained = list(self.measured.knobs.values())
        self.images = {}
        self.weights = {}
        for k, task in enumerate(STUDY_TASKS):
            number = self.data.images[k]
            stops = {*IMAGE_STOPS[k], number, *(run.images[k] for run in trained)}
            stops = sorted(stop for stop in stops if stop <= number)
            self.images[task] = stop_slider(f"{singular(task)} images", _stops(stops), number, changed)
            weights = sorted({*WEIGHTS, *(run.weights[k] for run in trained)})
            self.weights[task] = stop_slider(f"{singular(task)} weight", _stops(weights), 1, changed)
        self.skew = stop_slider("class skew of the signs", _stops(SKEWS), 1, changed)
        self.temperature = stop_slider("sampling temperature", _stops(TEMPERATURES), ALL_TASKS, changed)
        self.sliders = [*self.images.values(), self.skew, self.temperature, *self.weights.values()]
        align_labels(self.sliders)
        runs = [("own knobs", ""), *((run_label(name), name) for name in self.measured.knobs)]
        self.runs = choice("go to a measured run", runs, on_change=self._on_run)
        notes = [ipw.HTML(f"<div style='font-size:95%'>{html.escape(note)}</div>") for note in self.notes]
        self.box = ipw.VBox([row(*self.sliders), self.runs, *notes, self.picture])

    def _on_change(self, _):
        self.redraw()

    def _on_run(self, name: str):
        if name and not self.quiet:
            self.set_run(name)

    def knobs(self) -> Knobs:
        """What the sliders stand at."""
        return Knobs(
            tuple(self.images[task].value for task in STUDY_TASKS),
            float(self.skew.value),
            self.temperature.value or None,
            tuple(float(self.weights[task].value) for task in STUDY_TASKS),
        )

    def state(self) -> dict:
        """Everything that is set, by name; temperature None: all tasks in each step."""
        knobs = self.knobs()
        return dict(
            run=self.run(),
            images=dict(zip(STUDY_TASKS, knobs.images)),
            skew=knobs.skew,
            temperature=knobs.temperature,
            weights=dict(zip(STUDY_TASKS, knobs.weights)),
            steps=self.composition().steps,
        )

    def composition(self) -> Composition:
        """What a step, an epoch and the summed gradient are made of now."""
        return compose(self.knobs(), self.data, self.steps, self.gramians)

    def nearest(self) -> Outcome:
        """What was measured here, or is interpolated, or lies nearest."""
        return self.measured.nearest(self.knobs())

    def run(self) -> str:
        """The measured run that has these knobs; empty for none."""
        knobs = self.knobs()
        same = [name for name, run in self.measured.knobs.items() if _same_knobs(run, knobs)]
        if self.runs.value in same:
            return self.runs.value
        return same[0] if same else ""

    def set_images(
        self,
        **images: int,  # task -> images
    ):
        """Sets how many images tasks may use.

        Raises `UserError` for more than there are, and for what is no whole number.
        """
        _check_tasks(images)
        most = dict(zip(STUDY_TASKS, self.data.images))
        moves = []
        for task, number in images.items():
            name = f"the number of images of {task}"
            moves.append((self.images[task], checked_number(name, number, 1, most[task], whole=True)))
        self._move_all(moves)

    def set_skew(
        self,
        skew: float,  # ≥ 1
    ):
        """Sets the skew of the sign classes; raises `UserError` outside 1 to 1000."""
        self._move_all([(self.skew, checked_number("the class skew", skew, 1, 1000))])

    def set_temperature(
        self,
        temperature: float | None,  # None: all tasks in each step
    ):
        """Sets the sampling temperature; raises `UserError` outside 0.1 to 1e9 (all alike)."""
        value = ALL_TASKS
        if temperature is not None:
            name = "the sampling temperature (None: all tasks in each step)"
            value = checked_number(name, temperature, 0.1, 1e9)
        self._move_all([(self.temperature, value)])

    def set_weights(
        self,
        **weights: float,  # task -> weight
    ):
        """Sets task weights; raises `UserError` outside 0.0001 to 10000."""
        _check_tasks(weights)
        moves = []
        for task, weight in weights.items():
            moves.append((self.weights[task], checked_number(f"the weight of {task}", weight, 1e-4, 1e4)))
        self._move_all(moves)

    def set_run(
        self,
        name: str,  # of the table
    ):
        """Sets all knobs as a measured run has them.

        Raises `UserError` for a run that is not in the table or turns other things.
        """
        if name not in self.measured.knobs:
            runs = ", ".join(self.measured.knobs) or f"those that {study_command('imbalance')} makes"
            raise UserError(f"run is {name!r}: expected one of {runs}")
        knobs = self.measured.knobs[name]
        with self.callbacks_silenced():
            self.runs.value = name
        values = [*knobs.images, knobs.skew, knobs.temperature or ALL_TASKS, *knobs.weights]
        self._move_all(list(zip(self.sliders, values)))

    def _move_all(
        self,
        moves: list,  # (slider, value) pairs
    ):
        """Moves sliders with one redraw."""
        with self.callbacks_silenced():
            for control, value in moves:
                _move(control, value)
        self.redraw()

    def redraw(self):
        """Follows the knobs and shows what they make."""
        if self.quiet:
            return
        with self.callbacks_silenced():
            self.runs.value = self.run()
        composition = self.composition()
        outcome = self.nearest()
        pixels = self.board.draw(composition, self.data, outcome)
        self.picture.show(pixels, describe_lab(composition, self.data, outcome))

    def to_jshtml(
        self,
        knob: str = "lane images",  # the label of a slider
    ) -> str:
        """The pictures of all stops of one knob, with a slider that needs no kernel.

        The controls stay where they are. Raises `UserError` for an unknown knob.
        """
        sliders = {control.description: control for control in self.sliders}
        if knob not in sliders:
            raise UserError(f"knob is {knob!r}: expected one of {', '.join(sliders)}")
        slider = sliders[knob]
        board = ImbalanceBoard(self.data, self.reference, dpi=80)  # smaller: eight pictures travel at once
        before = slider.value
        frames = []
        sentences = []
        with self.callbacks_silenced():
            for name, value in slider.options:
                slider.value = value
                composition = self.composition()
                outcome = self.nearest()
                frames.append(board.draw(composition, self.data, outcome))
                sentences.append(f"{knob} {name}. {describe_lab(composition, self.data, outcome)}")
            slider.value = before
        return sweep_to_jshtml(frames, label=knob, sentences=sentences)


def _same_knobs(run: Knobs, knobs: Knobs) -> bool:
    same = (run.images, run.skew, run.temperature) == (knobs.images, knobs.skew, knobs.temperature)
    return same and np.allclose(run.weights, knobs.weights)


def _check_tasks(values: dict):
    for task in values:
        if task not in STUDY_TASKS:
            raise UserError(f"task is {task!r}: expected one of {', '.join(STUDY_TASKS)}")
