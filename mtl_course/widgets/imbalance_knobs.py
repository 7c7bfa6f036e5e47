"""Four knobs of imbalance: what they make of an epoch, and what was measured near them."""

import math
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..config import make_config
from ..core.task import TASKS, default_tasks
from ..data.sources import prepare_data
from ..data.sampling import subsample_indices, task_probabilities
from ..evaluation.results import read_table
from ..plots.data_counts import COUNT_COLUMNS, count_data
from ..studies.gradient_shares import update_shares
from ..studies.plans import STUDIES
from ..core.statistics import mean_and_interval
from ..studies.scores import find_result, headline_scores

__all__ = []

STUDY_TASKS = default_tasks()  # those of the studies
SIGNS = STUDY_TASKS[0]  # the task whose images have classes that can be skewed


def singular(task: str) -> str:
    """What one thing of a task is called: sign, object, lane."""
    return TASKS[task].short.removesuffix("s")


KNOB_NAMES = (  # of the nine coordinates
    *(f"{singular(task)} images" for task in STUDY_TASKS),
    "class skew",
    *(f"{singular(task)} weight" for task in STUDY_TASKS),
    "one task per step",
    "1/temperature",
)
SAME = 0.01  # distance within which a setting counts as a run
ON_LINE = 0.02  # distance within which a setting counts as on the line between two runs


@dataclass(frozen=True)
class Knobs:
    """What can be turned. Images and weights are in the order of STUDY_TASKS."""

    images: tuple[int, int, int]  # training images that may be used
    skew: float = 1.0  # signs of the most frequent class for one of the rarest
    temperature: float | None = None  # None: a batch of every task in each step; else one task is drawn for a step
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class StudyData:
    """What there is to choose from."""

    images: tuple[int, int, int]  # all training images, in the order of STUDY_TASKS
    signs: tuple[int, ...]  # of each class
    batch: tuple[int, int, int]  # images in a batch


def read_data(results_dir: str | Path) -> StudyData:
    """The training split of the studies' data, from study_data.csv.

    Where that is missing the data is made and counted.
    """
    config = make_config("study")
    path = find_result(results_dir, "study_data.csv")
    if path.is_file():
        table = read_table(path, COUNT_COLUMNS, "python benchmarks/study_data.py")
    else:
        prepare_data(config)
        table = count_data(config)
    table = table[table["part"] == "train"]
    counts = table[table["class"] == "all"].set_index("task")["count"]
    signs = table[(table["task"] == SIGNS) & (table["class"] != "all")]["count"]
    images = tuple(int(counts[task]) for task in STUDY_TASKS)
    batch = tuple(config.batch_size_of(task) for task in STUDY_TASKS)
    return StudyData(images, tuple(signs.astype(int)), batch)


@lru_cache(maxsize=512)
def sign_counts(
    signs: tuple,  # of each class
    limit: int,  # signs that may be used
    skew: float,
) -> tuple[int, ...]:
    """How many signs of each class a training with this limit and skew uses.

    The course's own sampler is asked, so the lab cannot disagree with a training.
    """
    labels = np.repeat(np.arange(len(signs)), signs)
    at_most = 0 if limit >= len(labels) else limit
    indices = subsample_indices(labels, len(labels), at_most, skew)
    return tuple(np.bincount(labels[indices], minlength=len(signs)).tolist())


@dataclass
class Composition:
    """What the knobs make of a step, an epoch and the summed gradient."""

    images: dict[str, int]  # task -> images in use
    probability: dict[str, float]  # task -> that a step holds it
    batches: dict[str, float]  # task -> expected in the epoch
    seen: dict[str, float]  # task -> times that each of its images is seen in the epoch, on average
    signs: np.ndarray  # (43,) signs of each class in the epoch, most frequent first
    shares: dict[str, float] | None  # task -> its part of the summed gradient; None: no gradients were recorded
    steps: int


@lru_cache
def study_steps(
    one_task_per_step: bool = False,
) -> int:
    """Steps of the studies' runs: three times as many where one task is drawn for each."""
    config = make_config("study")
    return config.epochs * config.steps_per_epoch * (len(STUDY_TASKS) if one_task_per_step else 1)


def compose(
    knobs: Knobs,
    data: StudyData,
    steps: int | None = None,  # None: those of the studies' runs
    gramians: np.ndarray | None = None,  # (S, 3, 3) of the backbone, in the order of STUDY_TASKS
) -> Composition:
    """Follows the knobs through the sampler and the sum of gradients.

    With n images in use, batches of B and a probability p that a step holds the task, S steps
    show each image S p B / n times on average.
    """
    drawn = knobs.temperature is not None
    steps = steps or study_steps(drawn)
    signs = sign_counts(data.signs, knobs.images[0], knobs.skew)
    used = dict(zip(STUDY_TASKS, (sum(signs), *knobs.images[1:])))
    probability = task_probabilities(used, knobs.temperature) if drawn else dict.fromkeys(STUDY_TASKS, 1.0)
    batches = {task: steps * chance for task, chance in probability.items()}
    seen = {task: batches[task] * size / used[task] for task, size in zip(STUDY_TASKS, data.batch)}
    shares = None
    if gramians is not None:
        factors = np.array(knobs.weights) * np.array(list(probability.values()))
        shares = dict(zip(STUDY_TASKS, update_shares(gramians, factors).tolist()))
    signs_seen = np.sort(np.array(signs) * seen[SIGNS])[::-1]
    return Composition(used, probability, batches, seen, signs_seen, shares, steps)


def coordinates(knobs: Knobs, data: StudyData) -> np.ndarray:
    """A point in the space of knobs, (9,) in the order of KNOB_NAMES.

    Base-10 logarithms, since all these knobs work by ratio; weights relative to their geometric
    mean; for sampling 1 or 0 (is one task drawn for a step?) and the exponent 1/τ.
    """
    images = list(knobs.images)
    most = sum(sign_counts(data.signs, data.images[0], knobs.skew))
    if sum(sign_counts(data.signs, images[0], knobs.skew)) >= most - len(data.signs):
        images[0] = data.images[0]  # the skew leaves no more anyway, but for rounding
    weights = np.log10(knobs.weights)
    drawn = knobs.temperature is not None
    sampling = (drawn, 1 / knobs.temperature if drawn else 0.0)
    return np.array([*np.log10(images), math.log10(knobs.skew), *(weights - weights.mean()), *sampling])


_KNOB_FIELDS = {"class_skew", "task_sampling", "sampling_temperature", "steps_per_epoch"}
_KNOB_FIELDS |= {f"{task}_limit" for task in STUDY_TASKS} | {f"{task}_weight" for task in STUDY_TASKS}


def knobs_of_run(
    fields: dict | list,  # of a config, as the study's plan has them
    data: StudyData,
) -> Knobs | None:
    """The knobs of a study's run; None for one that turns anything else, such as a balancer."""
    if not isinstance(fields, dict) or not set(fields) <= _KNOB_FIELDS or fields.get("task_sampling") == "loss":
        return None
    drawn = fields.get("task_sampling") == "temperature"
    if ("steps_per_epoch" in fields) != drawn:
        return None  # three times as many steps belong to drawn tasks, and to them alone
    return Knobs(
        tuple(fields.get(f"{task}_limit", 0) or number for task, number in zip(STUDY_TASKS, data.images)),
        float(fields.get("class_skew", 1)),
        float(fields["sampling_temperature"]) if drawn else None,
        tuple(float(fields.get(f"{task}_weight", 1)) for task in STUDY_TASKS),
    )


@dataclass
class Outcome:
    """What the table knows about a setting of the knobs."""

    kind: str  # measured, interpolated, nearest or none
    runs: tuple[str, ...] = ()  # one run; two that were interpolated
    scores: dict = field(default_factory=dict)  # task -> (mean, low, high) of its primary score; NaN: no interval
    seeds: int = 0  # the fewest of the runs
    distance: float = 0.0  # to the nearest run, in factors of ten
    differs: str = ""  # in words, for `nearest`


class Measured:
    """The runs of a table as points in the space of knobs."""

    def __init__(
        self,
        table: pd.DataFrame,  # with STUDY_COLUMNS
        data: StudyData,
        split: str = "test",
    ):
        self.data = data
        has_scores = (table["part"] == split).any()
        scores = headline_scores(table, split) if has_scores else None
        runs = set(scores.index.get_level_values("run")) if has_scores else set()
        self.knobs = {}  # run -> knobs
        for study in STUDIES.values():
            for name, fields in study.items():
                knobs = knobs_of_run(fields, data) if name in runs else None
                if knobs:
                    self.knobs[name] = knobs
        self.scores = {name: _means(scores.loc[name]) for name in self.knobs}
        self.seeds = {name: len(scores.loc[name]) for name in self.knobs}
        points = [coordinates(knobs, data) for knobs in self.knobs.values()]
        self.points = np.array(points).reshape(-1, len(KNOB_NAMES))

    def nearest(self, knobs: Knobs) -> Outcome:
        """The measured run at these knobs, else the interpolation of two, else the nearest run.

        Two runs are interpolated when the knobs lie on the straight line between them.
        """
        if not len(self.points):
            return Outcome("none")
        point = coordinates(knobs, self.data)
        names = list(self.knobs)
        distances = np.linalg.norm(self.points - point, axis=1)
        nearest = int(distances.argmin())
        name = names[nearest]
        distance = float(distances[nearest])
        if distance <= SAME:
            return Outcome("measured", (name,), self.scores[name], self.seeds[name], distance)
        pair = _between(self.points, point)
        if pair:
            first = names[pair.first]
            second = names[pair.second]
            scores = self._mixed(first, second, pair.along)
            seeds = min(self.seeds[first], self.seeds[second])
            return Outcome("interpolated", (first, second), scores, seeds, distance)
        differs = self._differences(self.points[nearest] - point, self.knobs[name], knobs)
        return Outcome("nearest", (name,), self.scores[name], self.seeds[name], distance, differs)

    def _mixed(self, first: str, second: str, way: float) -> dict:
        """Mean scores in proportion; an interval would pretend to more than was measured."""
        mixed = {}
        for task in STUDY_TASKS:
            mean = (1 - way) * self.scores[first][task][0] + way * self.scores[second][task][0]
            mixed[task] = (mean, math.nan, math.nan)
        return mixed

    def _differences(self, difference: np.ndarray, run: Knobs, knobs: Knobs) -> str:
        """The knobs that are turned otherwise, the farthest first."""
        difference = difference.copy()
        difference[4:7] = _turned(run.weights, knobs.weights)  # coordinates are centred: one weight moves all three
        order = np.argsort(-abs(difference), kind="stable")
        return ", ".join(KNOB_NAMES[knob] for knob in order if abs(difference[knob]) > 0.005)


def _means(scores: pd.DataFrame) -> dict:
    """Task -> (mean, low, high) over the seeds of a run."""
    return {task: mean_and_interval(scores[task].dropna()) for task in STUDY_TASKS}


class Pair(NamedTuple):
    """Two points, by their numbers, and where on the line between them a third one lies."""

    first: int
    second: int
    along: float  # 0..1, from the first to the second


def _between(
    points: np.ndarray,  # (N, D)
    point: np.ndarray,  # (D,)
) -> Pair | None:
    """The closest two points between which the point lies; None if there are none."""
    first, second = np.triu_indices(len(points), 1)
    line = points[second] - points[first]
    length = np.linalg.norm(line, axis=1)
    along = ((point - points[first]) * line).sum(1) / np.maximum(length, 1e-12) ** 2
    off = np.linalg.norm(points[first] + along[:, None] * line - point, axis=1)
    candidates = np.flatnonzero((off <= ON_LINE) & (along > 0) & (along < 1) & (length > SAME))
    if not len(candidates):
        return None
    shortest = candidates[length[candidates].argmin()]
    return Pair(int(first[shortest]), int(second[shortest]), float(along[shortest]))


def _turned(
    weights: tuple,
    others: tuple,
) -> np.ndarray:
    """How far each weight is from another run's, base-10 logarithms (3,).

    A factor that most have in common is left out: nobody turned that. In doubt they count as they
    stand.
    """
    ratios = np.log10(weights) - np.log10(others)
    common = max((0.0, *ratios), key=lambda factor: np.isclose(ratios, factor, atol=0.005).sum())
    return ratios - common
