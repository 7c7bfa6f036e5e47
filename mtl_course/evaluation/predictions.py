"""Predictions of a whole split, and what is kept of them for intervals and official files."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from tqdm.auto import tqdm

from ..models.lane_decoding import mask_to_lanes

__all__ = ["Predictions", "decode", "evaluation_mode", "predict_task"]


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


def decode(
    model,  # has decode_detections
    output,  # what the head of `task` returned
    task: str,
):
    "Logits (B, K), lane probability (B, H, W), or a list of {boxes, labels, scores}; in float32."
    if task == "classification":
        return output.float()
    if task == "lane":  # with two classes the softmax is a sigmoid of the difference
        return torch.sigmoid(output[:, 1].float() - output[:, 0].float())
    return [_in_float32(detections) for detections in model.decode_detections(output)]


def _in_float32(item: dict) -> dict:
    return {key: value.float() if value.is_floating_point() else value for key, value in item.items()}


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
                prediction = decode(model, output, task)
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
    targets: list = field(default_factory=list)  # class, or {boxes, labels, ignore} in the network's pixels
    predictions: list = field(default_factory=list)  # class, {boxes, labels, scores}, or lanes at the frame's heights
    counts: list = field(default_factory=list)  # lanes: tp, fp, fn, tn
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

    def groups(self) -> np.ndarray | None:  # (images,) number of a group; -1: alone
        "What was filmed together, such as the track of a sign; None: nothing is known."
        if self.task != "classification" or not hasattr(self.reader, "tracks"):
            return None
        return np.asarray(self.reader.tracks)[self.index()]

    def add(
        self,
        prediction,  # of a batch, decoded
        batch: dict,
        seconds: float,  # that the network and the decoding took
    ):
        "Adds a batch."
        targets = batch[self.task]
        files = batch.get("files", {}).get(self.task) or [""] * len(targets)
        self.size = tuple(batch["images"][self.task].shape[-2:])
        if self.task == "classification":
            self.targets += torch.as_tensor(targets).tolist()
            self.predictions += prediction.argmax(1).tolist()
        elif self.task == "detection":
            self.targets += [_to_numpy(target) for target in targets]
            self.predictions += [_to_numpy(detections) for detections in prediction]
        else:
            self.counts += _pixel_counts(prediction, targets)
            seconds += self._add_lanes(prediction, files)
        self.files += files
        self.run_time.append(1000 * seconds / max(len(files), 1))

    def _add_lanes(self, probability: torch.Tensor, files: list) -> float:  # (B, H, W); seconds that it took
        if self.reader is None:
            return 0.0
        records = [self.reader.record(self.index_of[str(file)]) for file in files]
        start = time.perf_counter()  # reading the labels is no part of finding lanes
        for mask, record in zip(probability.cpu().numpy(), records):
            self.predictions.append(mask_to_lanes(mask, record.h_samples, record.image_size))
        return time.perf_counter() - start


def _to_numpy(item: dict) -> dict:
    return {key: np.asarray(torch.as_tensor(value).detach().cpu()).copy() for key, value in item.items()}


def _pixel_counts(probability: torch.Tensor, targets: torch.Tensor) -> list:  # both (B, H, W) -> [[tp, fp, fn, tn]]
    predicted = probability > 0.5
    actual = targets.to(probability.device) == 1
    masks = [predicted & actual, predicted & ~actual, ~predicted & actual, ~predicted & ~actual]
    return torch.stack([mask.sum((1, 2)) for mask in masks], 1).tolist()
