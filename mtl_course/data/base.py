"""What the readers share: which files, which split, which size; and how groups are split."""

from pathlib import Path

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from ..core.errors import UserError
from ..core.files import resolve
from ..core.seeds import derive_seed
from .images import image_size, read_image
from .validation import refuse_misfit

__all__ = []

_SPLITS = ("train", "val", "test")
_SPLIT_RULES = ("held_out", "specification")


class ReaderBase(Dataset):
    "The common part of the readers; images are decoded when asked for, not before."

    task = ""

    def __init__(
        self,
        data_root: str | Path,  # folder with the data set, absolute or relative to the project
        split: str,  # train, val, test or all
        split_rule: str,  # held_out or specification
        seed: int,  # fixes the split
        size: tuple | None,  # (height, width) of the images; None: as they are
    ):
        _one_of("split", split, (*_SPLITS, "all"))
        _one_of("split_rule", split_rule, _SPLIT_RULES)
        self.data_root = resolve(data_root)
        self.split = split
        self.split_rule = split_rule
        self.seed = seed
        self.size = None if size is None else tuple(size)
        self.files = np.empty(0, str)  # one path per image, relative to data_root, with forward slashes

    def __len__(self):
        return len(self.files)

    def path(self, i: int) -> Path:  # where image i lies
        "The file of image `i`."
        return self.data_root / str(self.files[i])

    def faults(self, i: int, size: tuple[int, int]) -> list[str]:  # size: (height, width) of the file
        "Why image `i` is not the one that its label speaks of; a reader says what it knows."
        return []

    def read(self, i: int, crop: tuple | None = None) -> tuple[Tensor, tuple]:  # as of `read_image`
        "Image `i` at the reader's size, and the size of its file; refused where it does not fit."
        file = str(self.files[i])
        image, native = read_image(self.path(i), self.size, crop, file)
        refuse_misfit(file, self.faults(i, native))
        return image, native

    def native_size(self, i: int) -> tuple[int, int]:  # (height, width)
        "The size of the file of image `i`; refused where its label does not fit."
        file = str(self.files[i])
        size = image_size(self.path(i), file)
        refuse_misfit(file, self.faults(i, size))
        return size

    def _select(
        self,
        splits: np.ndarray,  # (images,) 0 train, 1 val, 2 test
        test_is_val: bool,  # the validation images serve as the test images
    ) -> np.ndarray:  # indices
        "The images of this split; raises `UserError` when there are none."
        if self.split == "all":
            return np.arange(len(splits))
        number = 1 if self.split == "test" and test_is_val else _SPLITS.index(self.split)
        selected = np.flatnonzero(splits == number)
        if not len(selected):
            rule = f"split_rule {self.split_rule!r}, {len(splits)} images in all"
            fault = f"no image of task {self.task} in split {self.split!r} ({rule})"
            raise UserError(f"{self.data_root.name}: {fault}, expected at least one: add data or choose another split")
        return selected

    def __repr__(self):
        options = f"split={self.split!r}, split_rule={self.split_rule!r}, seed={self.seed}, size={self.size}"
        return f"{type(self).__name__}({options}): {len(self)} images"


def _one_of(name, value, options):
    "Raises `UserError` unless `value` is one of `options`."
    if value not in options:
        raise UserError(f"{name} is {value!r}: expected one of {', '.join(options)}")


def split_groups(
    groups,  # one hashable, sortable name per item; items of equal name stay together
    fractions: tuple,  # share of each split, training first; sums to 1
    seed: int,  # fixes the split
    strata=None,  # one non-negative integer per item: each is split by itself; None: one stratum
) -> np.ndarray:  # int64 (items,): the split of each item, 0 = the first
    """Deals whole groups out to splits, stratum by stratum.

    The same on every machine for the same names and seed.
    """
    groups = np.asarray(groups)
    strata = np.zeros(len(groups), np.int64) if strata is None else np.asarray(strata)
    splits = np.zeros(len(groups), np.int64)
    for stratum in np.unique(strata):
        inside = np.flatnonzero(strata == stratum)
        names, which = np.unique(groups[inside], return_inverse=True)
        order = np.random.default_rng(derive_seed(seed, int(stratum))).permutation(len(names))
        split_of = np.zeros(len(names), np.int64)
        split_of[order] = np.repeat(np.arange(len(fractions)), _split_sizes(len(names), fractions))
        splits[inside] = split_of[which.ravel()]
    return splits


def _split_sizes(n: int, fractions: tuple) -> list[int]:
    "How many of `n` groups go to each split."
    if n < len(fractions):  # too few for every split: training first, then the last (test), then the ones between
        priority = [0, *range(len(fractions) - 1, 0, -1)][:n]
        return [int(k in priority) for k in range(len(fractions))]
    rest = [max(1, round(f * n)) for f in fractions[1:]]
    while sum(rest) >= n:
        rest[int(np.argmax(rest))] -= 1  # keep one for training
    return [n - sum(rest), *rest]
