"""Predictions of a whole split, and what is kept of them for intervals and official files."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from tqdm.auto import tqdm

from ..core.task import TASKS

__all__ = ["evaluation_mode"]


def _autocast(device: str, precision: str):
    "The autocast context of a Lightning Fabric precision such as bf16-mixed; none for 32-true."
    dtypes = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    if precision not in dtypes:
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, dtype=dtypes[precision])


@contextlib.contextmanager
def evaluation_mode(model: torch.nn.Module):
    "Evaluation mode inside the block; each module of the model goes back to the mode it had."
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def predict_task(
    model,  # model(images, task=t) gives the output of that head
    loader,  # yields batches that hold `task`
    task: str,  # one of TASKS
    device: str = "cpu",
    precision: str = "32-true",  # a Lightning Fabric precision
    progress: str = "",  # title of a progress bar; none when empty
    seconds: list | None = None,  # gets the time of network and decoding of each batch
) -> Iterator[tuple]:  # (decoded predictions, batch)
    """Predicts every batch of a loader, without gradients and in evaluation mode.

    The consumer of a batch runs outside of both modes: what it computes is its own affair.
    """
    with evaluation_mode(model):
        for batch in tqdm(loader, desc=progress, disable=not progress, leave=False):
            start = time.perf_counter()
            with torch.inference_mode(), _autocast(device, precision):
                output = model(batch["images"][task].to(device, non_blocking=True), task=task)
                if isinstance(output, dict) and task in output:
                    output = output[task]
                prediction = TASKS[task].decode(model, output)
            if seconds is not None:
                if torch.device(device).type == "cuda":
                    torch.cuda.synchronize(device)
                seconds.append(time.perf_counter() - start)
            yield prediction, batch


@dataclass
class Predictions:
    "What is kept of a task's predictions, image by image in the order of the loader."

    task: str
    reader: object = None  # of the task's data; None: unknown, no files can be written
    files: list = field(default_factory=list)  # names of the images, relative to the data root
    images: list = field(default_factory=list)  # a dict for each, as the task's `keep` gives it
    size: tuple = ()  # (height, width) of the network's input
    run_time: list = field(default_factory=list)  # milliseconds per image, one for each batch

    def __post_init__(self):
        files = [] if self.reader is None else self.reader.files
        self.index_of = {str(file): i for i, file in enumerate(files)}

    @classmethod
    def for_loader(cls, task: str, loader):
        "Nothing predicted yet, with the task's reader behind a loader, if there is one."
        dataset = getattr(getattr(loader, "dataset", None), "datasets", {}).get(task)
        reader = getattr(dataset, "reader", dataset)  # a cached data set holds one
        is_reader = hasattr(reader, "record") and hasattr(reader, "path")
        return cls(task, reader if is_reader else None)

    def index(self) -> list[int]:
        "The number of each image in the reader."
        return [self.index_of[str(file)] for file in self.files]

    def column(self, key: str) -> list:
        "One of the kept values, such as the target, of each image."
        return [image[key] for image in self.images]

    def add(
        self,
        prediction,  # of a batch, decoded
        batch: dict,
        seconds: float,  # that the network and the decoding took
    ):
        "Adds a batch."
        task = TASKS[self.task]
        targets = batch[self.task]
        files = batch.get("files", {}).get(self.task) or [""] * len(targets)
        self.size = tuple(batch["images"][self.task].shape[-2:])
        looked_up = None
        if self.reader is not None:
            looked_up = task.look_up(self.reader, [self.index_of[str(file)] for file in files])
        start = time.perf_counter()  # reading labels is no part of predicting
        self.images += task.keep(prediction, targets, looked_up)
        seconds += time.perf_counter() - start
        self.files += files
        self.run_time.append(1000 * seconds / max(len(files), 1))
