"""How a claim is audited: one row, one of six verdicts, from numbers of result files."""

from functools import cached_property
from pathlib import Path

import pandas as pd

from ..core.statistics import mean_and_interval
from ..core.task import TASKS
from .plans import ENOUGH_SEEDS, study_command

__all__ = []

UNDECIDED = "undecided"  # measured, but the interval over seeds includes both answers
HERE = "this notebook"
GTSRB_IMAGES = 39_209  # training images published (Stallkamp et al. 2012)
KITTI_IMAGES = 7_481  # labelled images (its development kit's readme)
TUSIMPLE_CLIPS = 3_626  # labelled training clips (its readme)
SIGNS = 39_209 + 3_921  # as the report lists them: training and validation
SCENES = 5_984 + 1_497
LANES = 400 + 100


def verdict(
    holds=None,  # does the measurement agree? True, False or UNDECIDED; None: too little was measured
    consistent: bool = True,  # do the claim's own numbers agree with each other?
    without: str = "",  # what a test would need and what is not here
    command: str = "",  # what would measure it
) -> str:
    "One of six verdicts, from what was computed."
    if not consistent:
        return "contradicts itself"
    if holds is UNDECIDED:
        return UNDECIDED
    if holds is not None:
        return "reproduced" if holds else "not reproduced"
    return f"cannot be tested without {without}" if without else f"untested so far: {command}"


def rounds_to(
    value: float,
    claimed: float,
    unit: float,  # of the claim's last digit
) -> bool:
    "Whether a number rounds to the claimed one: 70.2 stands for all from 70.15 to 70.25."
    return bool(abs(value - claimed) <= unit / 2 * (1 + 1e-6))


class Audit:
    "The rows of an audit."

    def __init__(self):
        self.rows = []

    def add(
        self,
        section: str,
        id: str,
        claim: str,
        meaning: str,  # what the claim would mean, with its tolerance
        command: str,  # what measures it
        measured: str,
        holds=None,  # see `verdict`
        consistent: bool = True,
        without: str = "",
    ):
        "Adds one row."
        row = dict(section=section, id=id, claim=claim, meaning=meaning, command=command, measured=measured)
        self.rows.append(row | dict(verdict=verdict(holds, consistent, without, command)))


class Measurements:
    "The tables of a results folder that claims are judged by."

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def read(self, name: str) -> pd.DataFrame | None:
        "A table by its name; None when it has not been made."
        path = self.folder / f"{name}.csv"
        return pd.read_csv(path) if path.exists() else None

    @cached_property
    def log(self) -> pd.DataFrame:
        "The log of seed 0 of `make train`."
        return self.read("laptop_log")

    @cached_property
    def steps(self) -> pd.DataFrame:
        "Its rows of steps."
        return self.log[self.log.kind == "step"]

    @cached_property
    def epochs(self) -> pd.DataFrame:
        "Its rows of validations."
        return self.log[self.log.kind == "epoch"]

    @cached_property
    def scores(self) -> pd.DataFrame:  # index: epochs; columns: "task metric"
        "Validation scores."
        named = self.epochs.assign(score=self.epochs.task + " " + self.epochs.metric)
        return named.pivot(index="epoch", columns="score", values="value")

    @cached_property
    def losses(self) -> pd.DataFrame:  # index: epochs; columns: tasks
        "Mean training losses."
        return self.steps.pivot_table(index="epoch", columns="task", values="loss")

    @cached_property
    def seeds(self) -> pd.DataFrame:  # index: task, metric; columns: seeds
        "Test scores of the laptop recipe."
        rows = self.read("laptop_seeds").query("recipe == 'laptop'")
        return rows.pivot_table(index=["task", "metric"], columns="seed", values="value")

    @cached_property
    def real_signs(self) -> pd.DataFrame:
        "Rows of the classifier that was trained on real signs."
        real = self.read("real_data")
        return real[real.run == "signs alone"]

    def real_score(self, split: str, part: str, metric: str) -> float:
        "One score of that classifier."
        return self.real_signs.set_index(["split", "part", "metric"]).value[split, part, metric]

    @cached_property
    def study(self) -> pd.DataFrame | None:
        "All runs of `mtl_compare`."
        return self.read("studies")

    def changes(self, run: str, against: str = "equal", part: str = "test") -> pd.DataFrame | None:
        """Change of each score as a part of the mean of another run: one row per common seed.

        None when not measured.
        """
        study = self.study
        if study is None:
            return None
        headline = study[(study.part == part) & (study.metric == study.task.map(TASKS.primary_metrics()))]
        table = headline.pivot_table(index="seed", columns=["run", "task"], values="value")
        if not {run, against} <= set(table.columns.get_level_values("run")):
            return None
        paired = table[[run, against]].dropna()
        return (paired[run] - paired[against]) / paired[against].mean()


def above_zero(differences):  # one per seed -> True, False, UNDECIDED, or None with too few seeds
    "Whether the 95 % interval of the mean lies above zero."
    if len(differences) < ENOUGH_SEEDS:
        return None
    _, low, high = mean_and_interval(differences)
    if low > 0:
        return True
    return False if high < 0 else UNDECIDED


def all_of(answers):  # each as of `above_zero`
    "Every one True -> True; one False -> False; else open."
    answers = list(answers)
    if None in answers:
        return None
    if False in answers:
        return False
    return UNDECIDED if UNDECIDED in answers else True


def span(values) -> str:  # one per seed
    "Mean and interval in words."
    mean, low, high = mean_and_interval(values)
    return f"{mean:+.0%}" + (f" [{low:+.0%}, {high:+.0%}]" if len(values) > 1 else "")


def told(table: pd.DataFrame) -> str:  # one row per seed, one column per task
    "Every task's change in words."
    spans = [f"{task} {span(table[task])}" for task in table]
    return ", ".join(spans) + f" ({len(table)} seed{'s' if len(table) > 1 else ''})"


def compare(*runs: str) -> str:
    "The command that makes these runs."
    return study_command(runs=runs)
