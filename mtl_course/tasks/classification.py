"""Sign classification on GTSRB: one of 43 classes for each crop of a traffic sign."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torchvision import tv_tensors

from ..core.colours import OKABE_ITO
from ..core.fields import Field
from ..core.files import resolve
from ..core.task import Task, register_task
from ..data.gtsrb import GTSRB
from ..data.gtsrb_tables import GTSRBFiles
from ..data.sampling import long_tail
from ..metrics.gtsrb_files import write_gtsrb
from ..metrics.intervals import bootstrap_sums, interval, sign_counts, sign_score_rows
from ..metrics.scores import ClassificationMetric
from ..models.classification_head import ClassificationHead, effective_number_weights
from ..world.signs import SIGN_MIRROR, SIGN_NAMES

__all__ = ["SignClassification"]


@register_task
class SignClassification(Task):
    """Which sign is it? Labels of a batch: (B,) int64 in 0 … 42."""

    name = "classification"
    title = "sign classification"
    short = "signs"
    images = "sign crops"
    colour = OKABE_ITO["blue"]
    marker = "o"
    metrics = {"accuracy": "sign top-1 accuracy", "macro_f1": "macro F1"}
    folder = "gtsrb"
    how_to_get = f"""GTSRB, traffic signs (Stallkamp et al. 2012; for research, cite the paper).
By itself: mtl_data download data_root --tasks classification, which is
torchvision.datasets.GTSRB(data_root, split="train" and "test", download=True):
26,640 training and 12,630 test images.
By hand: GTSRB-Training_fixed.zip, GTSRB_Final_Test_Images.zip and GTSRB_Final_Test_GT.zip from
https://benchmark.ini.rub.de, all unzipped
in data_root/gtsrb. GTSRB_Final_Training_Images.zip (39,209 images) is read instead of the first
where GTSRB/Training does not exist.
Layout: {GTSRBFiles.layout}"""
    label_files = GTSRBFiles()
    class_names = SIGN_NAMES
    image_size = (64, 64)
    max_rotation = 10.0
    in_default = True
    fields = (
        Field("roi_margin", 1.0, "margin round the sign in its crop, in sign widths; 1: the crop as published"),
        Field("dropout", 0.5, "share of activations silenced in the classification head", most=0.99),
        Field(
            "classification_loss",
            "cross_entropy",
            "focal: hard signs count more; class_balanced: rare classes count more",
            ("cross_entropy", "focal", "class_balanced"),
        ),
        Field("focal_gamma", 2.0, "how much less a sign counts that is known well"),
        Field(
            "class_balance_beta",
            0.999,
            "class_balanced: 0 weighs all classes alike, near 1 by the inverse of their signs",
            most=0.999999,
        ),
    )
    model_fields = (Field("num_classification_classes", 43, "GTSRB's classes", least=1),)

    def make_reader(self, config, split: str) -> GTSRB:
        return GTSRB(
            resolve(config.data_root),
            split,
            config.split_rule,
            size=config.image_size_of(self.name),
            roi_margin=config.roi_margin,
        )

    def collate(self, samples: list) -> Tensor:  # (B,)
        return torch.tensor([sample["label"] for sample in samples])

    def mirror(self, sample: dict) -> dict:
        """Only where the mirrored sign is a sign, perhaps another one: turn left, turn right."""
        if sample["label"] not in SIGN_MIRROR:
            return sample
        return super().mirror(sample) | dict(label=SIGN_MIRROR[sample["label"]])

    def recrop(self, sample: dict, rng: np.random.Generator) -> dict:
        """Turned by 5°, scaled by 9 %, sheared by 6 %, shifted by 2.5 % (standard deviations)."""
        pixels = np.ascontiguousarray(sample["image"].permute(1, 2, 0).numpy())
        height, width = pixels.shape[:2]
        angle = rng.normal(0, 0.08)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = np.exp(rng.normal(0.05, 0.09)) * turn @ (np.eye(2) + rng.normal(0, 0.06, (2, 2)))
        middle = np.array([width, height]) / 2
        shift = middle + rng.normal(0, 0.025, 2) * (width, height) - linear @ middle
        moved = cv2.warpAffine(pixels, np.column_stack([linear, shift]), (width, height), borderMode=cv2.BORDER_REFLECT)
        return sample | dict(image=tv_tensors.wrap(torch.from_numpy(moved).permute(2, 0, 1), like=sample["image"]))

    def class_labels(self, reader):
        return reader.labels

    # the network

    def make_head(self, channels: dict, options) -> ClassificationHead:
        return ClassificationHead(channels["c5"], options.num_classification_classes, options.dropout)

    def configure_loss(self, head: ClassificationHead, config, train_loader):
        """The focal loss's γ, or class weights from the training signs in use."""
        head.focal_gamma = config.focal_gamma if config.classification_loss == "focal" else 0.0
        if config.classification_loss == "class_balanced":
            labels = torch.as_tensor(train_loader.dataset.datasets[self.name].labels)
            counts = labels.bincount(minlength=len(head.class_weights))
            head.class_weights.copy_(effective_number_weights(counts, config.class_balance_beta))

    def random_labels(self, images: int, image_size: tuple) -> Tensor:
        return torch.randint(len(SIGN_NAMES), (images,))

    # scores

    def make_metric(self) -> ClassificationMetric:
        return ClassificationMetric(len(SIGN_NAMES))

    def summarise(self, metric: ClassificationMetric) -> tuple[dict, pd.DataFrame]:
        return metric.compute(), metric.per_class().set_axis(list(SIGN_NAMES))

    def confusion(self, metric: ClassificationMetric) -> np.ndarray:
        return metric.confusion

    def extra_scores(self, per_class: pd.DataFrame) -> dict:
        """Mean recall of the classes that `class_skew` makes rarest and that it leaves most
        frequent, a third each.
        """
        order = np.argsort(long_tail(len(per_class), 2.0))  # rarest first, whatever the skew
        third = len(order) // 3
        recall = per_class["recall"]  # NaN, which the mean leaves out, for a class without an image
        return {
            "recall_rarest_third": float(recall.iloc[order[:third]].mean()),
            "recall_most_frequent_third": float(recall.iloc[order[-third:]].mean()),
        }

    def keep(self, decoded: Tensor, labels: Tensor, looked_up) -> list[dict]:
        predicted = decoded.argmax(1).tolist()
        return [dict(target=t, prediction=p) for t, p in zip(torch.as_tensor(labels).tolist(), predicted)]

    def intervals(self, predictions, per_class: pd.DataFrame, scores: dict, resamples: int, seed: int) -> dict:
        """Over tracks, or over images where tracks are unknown."""
        counts = sign_counts(np.array(predictions.column("target")), np.array(predictions.column("prediction")))
        sums = bootstrap_sums(counts, self._tracks(predictions), resamples, seed)
        whole, each = sign_score_rows(sums)
        intervals = {(metric, "all"): interval(values) for metric, values in whole.items() if metric in scores}
        for metric, values in each.items():
            for k, name in enumerate(per_class.index):
                intervals[metric, name] = interval(values[:, k])
        return intervals

    def _tracks(self, predictions):  # (images,) what was filmed together; -1: alone
        if not hasattr(predictions.reader, "tracks"):
            return None
        return np.asarray(predictions.reader.tracks)[predictions.index()]

    def write_predictions(self, predictions, folder: Path) -> Path:
        """A csv of classes; images of the official test set have no class folder in their names."""
        tracks = predictions.reader.tracks[predictions.index()]
        names = []
        for file, track in zip(predictions.files, tracks):
            names.append("/".join(Path(file).parts[-2:]) if track >= 0 else Path(file).name)
        write_gtsrb(folder, names, predictions.column("prediction"), predictions.column("target"))
        return folder

    # pictures

    def fits_picture(self, height: int, width: int) -> bool:
        return not super().fits_picture(height, width)

    def describe(self, model, output, image_size, picture_size, score_threshold=0.5) -> dict:
        best = output.softmax(1)[0].topk(3)
        signs = []
        for probability, sign in zip(*best):
            signs.append(dict(class_id=int(sign), name=SIGN_NAMES[sign], probability=round(float(probability), 4)))
        return dict(sign=signs)

    def draw(self, picture, described: dict):
        from ..plots.drawing import draw_predictions  # late: matplotlib is loaded with it

        if "sign" not in described:
            return picture
        best = described["sign"][0]
        return draw_predictions(picture, sign=best["name"], sign_score=best["probability"])

    def image_score(self, decoded: Tensor, targets) -> float:  # (43,) logits
        """The probability of the right class."""
        return float(decoded.softmax(0)[int(targets)])

    # mtl_data

    def download(self, root: Path):
        from torchvision.datasets import GTSRB as Archive  # late: loaded only for a download

        for split in ("train", "test"):
            Archive(root, split=split, download=True)

    def count_classes(self, reader, image_size: tuple) -> tuple[str, dict]:
        return "images", dict(zip(SIGN_NAMES, np.bincount(reader.labels, minlength=len(SIGN_NAMES))))
