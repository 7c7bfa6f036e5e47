"""The pictures that the browser leafs through, and the trained network that looks at them."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..config import Config, make_config
from ..core.device import choose_device
from ..core.errors import UserError
from ..core.files import project_root, resolve
from ..data.images import read_picture, to_image
from ..data.sources import make_reader
from ..evaluation.pictures import VIDEOS, find_pictures
from ..evaluation.predict import guess_tasks
from ..models.checkpoint import load_model
from ..models.multi_task_model import MultiTaskModel

__all__ = []

CHECKPOINTS = (  # where trained networks lie, the first choice first
    "results/checkpoints",
    "results/evening/checkpoints",
    "results/seeds/*/checkpoints",
    "results/smoke/checkpoints",
)


def find_checkpoint(
    places: Sequence[str] = CHECKPOINTS,  # folders, relative to the project; * stands for any name
) -> Path | None:
    """The first `model_best.pt` in some folders; None when there is none."""
    for place in places:
        files = sorted(project_root().glob(f"{place}/model_best.pt"))
        if files:
            return files[0]
    return None


def trained_model(
    places: Sequence[str] = CHECKPOINTS,  # where to look for one
) -> MultiTaskModel:
    """A trained network: the first checkpoint found, else the one in the box, which says so."""
    path = find_checkpoint(places)
    if path is not None:
        return load_model(path, choose_device())
    print("Nothing was trained here yet (make train does): this is the network in the box, evening.", flush=True)
    return network_in_the_box()


def network_in_the_box() -> MultiTaskModel:
    """The network `evening`, with the laptop's world where there is one, else the tiny world: its
    own is larger, and pictures of neither are in it.
    """
    model = load_model("evening", choose_device())
    smaller = [make_config(recipe).data_root for recipe in ("laptop", "smoke")]
    model.config = model.config.on_data(next((root for root in smaller if resolve(root).is_dir()), smaller[-1]))
    return model


@dataclass
class Sample:
    """One picture for one task: where it lies, what the network said, and what is true."""

    task: str
    path: Path
    name: str  # file name, for people
    size: tuple[int, int]  # (height, width) of the network's input, pixels
    raw: object = None  # what the network said, before any decision: see the task's view
    targets: object = None  # None: unknown


def held_out_samples(
    config: Config,
    task: str,
    images: int,  # at most so many, evenly spread
    split: str = "test",
) -> Iterator[tuple[Sample, dict]]:
    """Pictures of one split of a task's data, and what its reader gives for each."""
    reader = make_reader(config, task, split)
    indices = np.unique(np.linspace(0, len(reader) - 1, min(images, len(reader))).round().astype(int))
    files = [Path(reader.path(int(index))) for index in indices]
    folders_too = len({file.name for file in files}) < len(files)  # TuSimple calls every frame 20.jpg
    for index, file in zip(indices, files):
        name = "/".join(file.parts[-2:]) if folders_too else file.name
        yield Sample(task, file, name, config.image_size_of(task)), reader[int(index)]


def own_samples(
    config: Config,
    paths: str | Path | Iterable,  # a picture, a folder of pictures, or several of them
    tasks: tuple[str, ...],  # of the network
    chosen: tuple[str, ...] | None = None,  # None: those that a picture's shape suggests
) -> Iterator[tuple[Sample, dict]]:
    """The user's own pictures, whose targets are unknown, once for each task.

    A broken picture among others is left out with a warning. Raises `UserError` for what does not
    exist or is a video, and where no picture is left.
    """
    failures = []
    count = 0
    for path in find_pictures([paths] if isinstance(paths, (str, Path)) else paths):
        if path.suffix.lower() in VIDEOS:
            raise UserError(f"{path} is a video, expected a picture; mtl_predict draws on videos")
        try:
            picture = read_picture(path)
        except UserError as e:
            failures.append(str(e))
            continue
        count += 1
        for task in chosen or guess_tasks(*picture.shape[:2], tasks):
            size = config.image_size_of(task)
            pixels = to_image(picture[..., ::-1], size)
            yield Sample(task, path, path.name, size), dict(image=pixels.as_subclass(torch.Tensor))
    if failures and not count:
        raise UserError(failures[0])
    for failure in failures:
        warnings.warn(f"left out: {failure}", stacklevel=2)
