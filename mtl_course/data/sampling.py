"""How many images, of which classes, how often: three kinds of imbalance as three numbers."""

__all__ = ["long_tail", "subsample_indices", "task_probabilities"]

import math

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset
from ..config import Config
from ..core.errors import UserError
from ..core.seeds import derive_seed
from ..core.task import TASKS


def long_tail(
    num_classes: int,  # C
    skew: float,  # ρ ≥ 1: images of the most frequent class for each of the rarest
    seed: int = 0,
) -> np.ndarray:  # (C,) shares of the most frequent class, in (0, 1]
    "ρ^(−r/(C−1)) for each class, r its rank in a fixed shuffle (Cao et al. 2019, section 4)."
    rank = np.random.default_rng(derive_seed(seed, num_classes)).permutation(num_classes)
    return float(skew) ** (-rank / max(1, num_classes - 1))


def _class_quota(counts: np.ndarray, share: np.ndarray, limit: int) -> np.ndarray:  # (C,) images to keep
    """The largest n₀ · share that the classes have, and that sums to at most `limit` (0: no limit);
    one at least of every class that there is.
    """
    there = counts > 0
    largest = (counts[there] / share[there]).min()
    if limit:
        largest = min(largest, limit / share[there].sum())
    return np.where(there, np.maximum(1, np.floor(largest * share + 1e-9)), 0).astype(int)


def subsample_indices(
    labels: np.ndarray | None,  # (N,) class of each image; None: a task without classes of its own
    n: int,  # N
    limit: int = 0,  # images to keep; 0: all
    skew: float = 1.0,  # of the classes; 1: as they are
    seed: int = 0,
) -> np.ndarray:  # sorted indices
    """Which images of a training part are used; of two limits the smaller set lies within the
    larger.

    The choice does not depend on the run's seed. Raises `UserError` when there are fewer images
    than `limit`.
    """
    if limit > n:
        raise UserError(
            f"{limit} training images are asked for, but there are {n}: choose a smaller limit, or make a larger world"
        )
    order = np.random.default_rng(derive_seed(seed, n)).permutation(n)
    if skew == 1 or labels is None:
        return np.sort(order[: limit or n])
    labels = np.asarray(labels)
    quota = _class_quota(np.bincount(labels), long_tail(labels.max() + 1, skew), limit)
    return np.sort(np.concatenate([order[labels[order] == c][:k] for c, k in enumerate(quota)]))


class TaskSubset(Dataset):
    "Some images of a reader, with its `task`, `files` and, for signs, `labels`."

    def __init__(
        self,
        reader,  # of one task
        indices: np.ndarray,
    ):  # (n,) which of its images, in this order
        self.reader = reader
        self.indices = np.asarray(indices)
        self.task = reader.task
        self.files = [reader.files[i] for i in self.indices]
        labels = TASKS[self.task].class_labels(reader)
        self.labels = None if labels is None else np.asarray(labels)[self.indices]

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, i):
        sample = self.reader[int(self.indices[i])]
        _check_sample(sample, self.task)
        return sample


def _check_sample(sample, task: str):
    "Raises `UserError` for a sample that cannot become part of a batch."
    what = f"a sample of task {task!r}"
    if not isinstance(sample, dict):
        raise UserError(f"{what} is a {type(sample).__name__}: expected a dictionary with 'image', 'file' and labels")
    for key, meaning in (("image", "tv_tensors.Image, uint8 (3, H, W)"), ("file", "the image's name")):
        if key not in sample:
            raise UserError(f"{what} has no {key!r}: expected {meaning}, beside its labels")
    if not isinstance(sample["image"], Tensor):
        raise UserError(f"the image of {what} is a {type(sample['image']).__name__}: expected a tv_tensors.Image")


def task_probabilities(
    images: dict[str, int],  # task -> number of training images
    temperature: float = 1.0,
) -> dict[str, float]:  # task -> p, their sum is 1
    "n^(1/τ) / Σ n^(1/τ) (Arivazhagan et al. 2019, section 3.2)."
    powers = {t: n ** (1 / temperature) for t, n in images.items()}
    return {t: p / sum(powers.values()) for t, p in powers.items()}


class Turns:
    """Which tasks a step is about: each is in every n-th step.

    Tasks that sit out do so in turn, so that steps are alike. A common factor of all n is dropped:
    a task that trains alone is in every step. Raises `UserError` unless one task is in every step.
    """

    def __init__(self, every: dict[str, int]):  # task -> n
        common = math.gcd(*every.values())
        self.every = {task: n // common for task, n in every.items()}
        if 1 not in self.every.values():
            told = ", ".join(f"{task}_every {n}" for task, n in every.items())
            raise UserError(f"{told}: expected one task in every step, such as one with 1")
        resting = [task for task, n in self.every.items() if n > 1]
        self.first = {task: resting.index(task) % n if n > 1 else 0 for task, n in self.every.items()}

    def tasks(self, step: int) -> list[str]:  # step: of the whole run
        return [task for task, n in self.every.items() if step % n == self.first[task]]

    def turn(self, task: str, step: int) -> int:  # how often `task` has had its turn before this step
        return step // self.every[task]


class TaskSampler:
    """Which task a step is about: a function of (seed, step), so that a resumed run draws the same.

    `losses` (task -> mean loss of the epoch before, or None) takes the place of the numbers of
    images when it is set.
    """

    def __init__(
        self,
        images: dict[str, int],
        seed: int,
        total_steps: int,
        temperature: float = 1.0,
        end: float = 0.0,
        by_loss: bool = False,
    ):
        self.images = images
        self.seed = seed
        self.total_steps = total_steps
        self.by_loss = by_loss
        self.losses = None
        self.temperatures = (temperature, end or temperature)

    def probabilities(self, step: int) -> dict[str, float]:  # of the tasks at a step of the whole run
        if self.by_loss:  # a task that was not drawn in that epoch counts as the worst one
            return task_probabilities(
                {t: (self.losses or {}).get(t, max((self.losses or {t: 1.0}).values())) for t in self.images}
            )
        first, last = self.temperatures
        return task_probabilities(self.images, first + (last - first) * min(1.0, step / max(1, self.total_steps)))

    def task(self, step: int) -> str:
        p = self.probabilities(step)
        return str(np.random.default_rng(derive_seed(self.seed, 11, step)).choice(list(p), p=list(p.values())))

    def tasks(self, step: int) -> list[str]:
        return [self.task(step)]

    def turn(self, task: str, step: int) -> int:  # every task walks on while another one is drawn
        return step


def make_task_sampler(
    config: Config,
    images: dict[str, int],  # task -> number of training images
    total_steps: int,  # of the whole run
) -> TaskSampler | Turns:
    """What a config's `task_sampling` and each task's `every` ask for; raises `UserError`."""
    if config.task_sampling == "all":
        return Turns({task: config.every_of(task) for task in config.tasks})
    temperatures = (config.sampling_temperature, config.sampling_temperature_end)
    return TaskSampler(images, config.seed, total_steps, *temperatures, by_loss=config.task_sampling == "loss")


def check_divisible(batch_sizes: dict[str, int], processes: int):
    """Raises `UserError` unless each task's batch can be divided among the processes."""
    for task, size in batch_sizes.items():
        if size % processes:
            raise UserError(
                f"the batch of {size} {task} images cannot be divided among {processes} processes: choose a multiple"
            )
