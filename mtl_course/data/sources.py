"""What a config says about the data: where it lies, which images of it are used, which are kept
decoded.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from torch.utils.data import Dataset
from tqdm.auto import tqdm

from ..config import Config
from ..core.errors import UserError
from ..core.files import resolve
from ..core.task import TASKS
from ..world.build import ensure_world
from .sampling import subsample_indices

__all__ = ["make_reader", "prepare_data"]

_WORLDS = ("world", "world-tiny", "world-evening")  # names of folders in which the built-in world is made on first use
_READER_PARTS = {
    "__len__": "the number of its images",
    "files": "the names of its images, below the data root",
    "task": "the name of the task",
}


def _is_world(root: Path) -> bool:
    """Whether a data root is the built-in world, made or to be made: the name alone does not turn
    real data into it.
    """
    return (root / "manifest.json").is_file() or (root.name in _WORLDS and not any(root.glob("*/*")))


def prepare_data(config: Config, progress: bool = True) -> Path:
    """The data root of a config; makes the built-in world when that is what it names, anew when it
    is out of date.

    Raises `UserError` when real data is missing.
    """
    root = resolve(config.data_root)
    if _is_world(root):
        ensure_world(root, config.world_size, progress=progress)
    elif not root.is_dir():
        raise UserError(
            f"data_root {root}: no such folder; `mtl_data get` says how to obtain the real sets, "
            f"`mtl_data make {config.data_root}` makes a built-in world there"
        )
    return root


def make_reader(config: Config, task: str, split: str):  # split: train, val, test or all
    """One task's data, which must be there (`prepare_data`), at the config's image size.

    The split does not depend on the run's seed, so that runs can be compared.
    """
    reader = TASKS[task].make_reader(config, split)
    for name, meaning in _READER_PARTS.items():
        if not hasattr(reader, name):
            given = f"make_reader of task {task!r} returns a {type(reader).__name__} without {name}"
            raise UserError(f"{given}: define {name}, {meaning}")
    if reader.task != task:
        raise UserError(f"the data set of task {task!r} says that its task is {reader.task!r}: expected {task!r}")
    return reader


def training_images(config: Config, task: str) -> list[int]:  # indices in the training split
    """Which training images of a task the config uses (its `…_limit` and `class_skew`).

    Raises `UserError` when there are none, or fewer than asked for.
    """
    reader = make_reader(config, task, "train")
    if not len(reader):
        remedy = f"`mtl_data check {config.data_root}` says what is there"
        raise UserError(f"{config.data_root}: no training images for {task}; {remedy}")
    labels = TASKS[task].class_labels(reader)
    try:
        return subsample_indices(labels, len(reader), config.limit_of(task), config.class_skew).tolist()
    except UserError as e:
        raise UserError(f"config field '{task}_limit': {e}") from None


class CachedDataset(Dataset):
    """A reader's samples, decoded once and kept (uint8: three bytes per pixel)."""

    def __init__(
        self,
        reader,  # has task and files; reader[i] -> sample
        threads: int = 2,  # that decode: OpenCV lets the others run while it does
        progress: bool = False,  # show a bar
    ):
        self.reader = reader
        self.task = reader.task
        self.files = reader.files
        self.labels = TASKS[self.task].class_labels(reader)
        bar = dict(total=len(reader), desc=f"decoding {reader.task}", disable=not progress, leave=False)
        with ThreadPoolExecutor(threads) as pool:
            self.samples = list(tqdm(pool.map(reader.__getitem__, range(len(reader))), **bar))

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        return self.samples[i]
