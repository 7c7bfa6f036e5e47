"""Object detection on KITTI: boxes around road users of seven classes."""

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2.functional import clamp_bounding_boxes

from ..config import DETECTION_CLASSES
from ..core.colours import OKABE_ITO
from ..core.fields import Field
from ..core.files import resolve
from ..core.task import Task, register_task
from ..data.images import image_size as read_image_size
from ..data.kitti import KITTI
from ..data.kitti_labels import KITTIFiles
from ..metrics.intervals import interval
from ..metrics.kitti_files import kitti_lines, score_kitti, to_original, write_kitti
from ..metrics.ranking import COCO_LIMITS, bootstrap_coco
from ..metrics.scores import DetectionMetric
from ..models.dense_head import DenseHead
from ..models.detection_head import DetectionHead

__all__ = ["ObjectDetection"]

_SMALLEST_SIDE = 2.0  # pixels: an augmented box with less left of it is dropped
_LABELS = ("boxes", "labels", "ignore")


@register_task
class ObjectDetection(Task):
    """What is where? Labels of a batch: per image {"boxes" (N, 4) pixels, "labels" (N,) 1 … 7,
    "ignore" (M, 4)}.
    """

    name = "detection"
    title = "object detection"
    short = "objects"
    images = "road scenes"
    colour = OKABE_ITO["vermillion"]
    marker = "s"
    metrics = {"map50": "mAP50", "map50_95": "mAP50:95"}
    folder = "kitti"
    how_to_get = f"""KITTI, road users (Geiger et al. 2012; CC BY-NC-SA 3.0: no commercial use).
By itself: mtl_data download data_root --tasks detection, which is
torchvision.datasets.Kitti(data_root, download=True), 12 GB; torchvision unpacks to
data_root/Kitti/raw/training, and the folder is then moved to data_root/kitti/training.
By hand: data_object_image_2.zip and data_object_label_2.zip from
https://www.cvlibs.net/datasets/kitti, unzipped in data_root/kitti.
Layout: {KITTIFiles.layout}"""
    label_files = KITTIFiles()
    class_names = DETECTION_CLASSES
    output = "boxes, classes, scores"
    image_size = (128, 416)
    in_default = True
    fields = (
        Field(
            "detection_head",
            "region",
            "region: proposals, then a second look at each; dense: every place of the maps answers once",
            ("region", "dense"),
        ),
        Field(
            "detection_neck",
            "fpn",
            "fpn: feature pyramid; c5: the specification's head on stride-32 features",
            ("fpn", "c5"),
        ),
        Field("neck_channels", 256, "channels of the feature pyramid", least=1, most=65536),
        Field(
            "anchor_scale",
            4.0,
            "smallest anchor of a pyramid level, in strides, 2 for small images; dense: a quarter of its largest box",
            least=1,
            most=1000,
        ),
        Field("anchor_ratios", (0.5, 1.0, 2.0), "three shapes of anchors, height / width"),
        Field("roi_samples", 128, "proposals per image in the second stage's loss", least=1),
        Field("roi_objects", 0.25, "largest share of objects among them", most=1),
        Field("shared_box", False, "one correction of a box for all classes, not one for each"),
        Field("train_proposals", 300, "proposals per image from which those are drawn", least=1),
    )
    model_fields = (Field("num_detection_classes", 7, "without background", least=1),)

    def make_reader(self, config, split: str) -> KITTI:
        return KITTI(
            resolve(config.data_root),
            split,
            config.split_rule,
            size=config.image_size_of(self.name),
            empty_labels=config.empty_labels,
        )

    def collate(self, samples: list) -> list[dict]:
        return [_plain_labels(sample) for sample in samples]

    def finish_augmentation(self, sample: dict) -> dict:
        """Clips boxes to the image and drops those of which next to nothing is left."""
        boxes = {key: sample[key] for key in ("boxes", "ignore") if isinstance(sample[key], tv_tensors.BoundingBoxes)}
        sample = sample | {key: clamp_bounding_boxes(value) for key, value in boxes.items()}
        boxes = sample["boxes"].as_subclass(Tensor)
        large = ((boxes[:, 2:] - boxes[:, :2]) >= _SMALLEST_SIDE).all(1)
        sample["boxes"] = tv_tensors.wrap(sample["boxes"][large], like=sample["boxes"])
        sample["labels"] = sample["labels"][large]
        return sample

    # the network

    def make_head(self, channels: dict, options) -> DetectionHead | DenseHead:
        neck = (options.detection_neck, options.neck_channels, options.anchor_scale)
        if options.detection_head == "dense":
            return DenseHead(channels, options.num_detection_classes, *neck)
        return DetectionHead(
            channels,
            options.num_detection_classes,
            *neck,
            options.anchor_ratios,
            roi_samples=options.roi_samples,
            roi_objects=options.roi_objects,
            shared_box=options.shared_box,
            train_proposals=options.train_proposals,
        )

    def decode(self, model, output) -> list[dict]:
        """Per image {"boxes", "labels", "scores"}."""
        decoded = []
        for image in model.decode_detections(output):
            decoded.append({key: v.float() if v.is_floating_point() else v for key, v in image.items()})
        return decoded

    def random_labels(self, images: int, image_size: tuple, objects: int = 6) -> list[dict]:
        """Six boxes and an ignored region in each image."""
        labels = []
        for _ in range(images):
            labels.append(
                dict(
                    boxes=_random_boxes(objects, *image_size),
                    labels=torch.randint(1, len(DETECTION_CLASSES) + 1, (objects,)),
                    ignore=_random_boxes(1, *image_size),
                )
            )
        return labels

    # scores

    def make_metric(self) -> DetectionMetric:
        return DetectionMetric()

    def summarise(self, metric: DetectionMetric) -> tuple[dict, pd.DataFrame]:
        per_class = metric.per_class()  # slow: computed once
        return metric.summary(per_class), per_class

    def keep(self, decoded: list, labels: list, looked_up) -> list[dict]:
        return [dict(target=_arrays(t), prediction=_arrays(p)) for t, p in zip(labels, decoded)]

    def intervals(self, predictions, per_class: pd.DataFrame, scores: dict, resamples: int, seed: int) -> dict:
        """Over images. mAP50:95 takes ten times the work of mAP50, so it is computed on a fifth of
        the resamples.

        A class whose AP of the sample itself, computed here, is not the reported one gets no
        interval, and a warning is given.
        """
        detections, targets = predictions.column("prediction"), predictions.column("target")
        fewer = max(resamples // 5, 2)
        aps = dict(
            ap50=bootstrap_coco(detections, targets, resamples, seed),
            ap50_95=bootstrap_coco(detections, targets, fewer, seed, COCO_LIMITS),
        )
        intervals = {}
        for name, values in aps.items():
            _blank_disagreeing(name, values, per_class[name])
            sample, resampled = values[0], values[1:]
            if np.array_equal(np.isnan(sample), per_class[name].isna()) and f"m{name}" in scores:
                with np.errstate(invalid="ignore"):  # a resample without any object has no score
                    means = np.nansum(resampled, 1) / (~np.isnan(resampled)).sum(1)
                intervals[f"m{name}", "all"] = interval(means)
            for k, class_name in enumerate(per_class.index):
                intervals[name, class_name] = interval(resampled[:, k])
        return intervals

    def write_predictions(self, predictions, folder: Path) -> Path:
        """A result file per frame, and the labels that they are to be scored with."""
        reader = predictions.reader
        labels = [reader.data_root / KITTIFiles.label_folder / f"{Path(file).stem}.txt" for file in predictions.files]
        contents = []
        for i, found in zip(predictions.index(), predictions.column("prediction")):
            size = read_image_size(reader.path(i), str(reader.files[i]))
            boxes = to_original(found["boxes"], predictions.size, size)
            contents.append(kitti_lines(found["labels"], boxes, found["scores"]))
        write_kitti(folder, labels, contents)
        return folder

    def official_scores(self, folder: Path, resamples: int) -> pd.DataFrame:
        return score_kitti(folder, resamples)

    # pictures

    def describe(self, model, output, image_size, picture_size, score_threshold=0.5) -> dict:
        found = model.decode_detections(output, score_threshold)[0]
        scale = torch.tensor([picture_size[1] / image_size[1], picture_size[0] / image_size[0]] * 2)
        boxes = found["boxes"] * scale.to(found["boxes"].device)
        detections = []
        for box, label, score in zip(boxes, found["labels"].tolist(), found["scores"]):
            corners = [round(float(v), 1) for v in box]
            detections.append(dict(name=DETECTION_CLASSES[label - 1], score=round(float(score), 4), box=corners))
        return dict(detections=detections)

    def draw(self, picture, described: dict):
        from ..plots.drawing import draw_predictions  # late: matplotlib is loaded with it

        detections = described.get("detections", [])
        return draw_predictions(
            picture,
            [d["box"] for d in detections],
            [DETECTION_CLASSES.index(d["name"]) + 1 for d in detections],
            [d["score"] for d in detections],
        )

    # mtl_data

    def download(self, root: Path):
        """The archives stay in Kitti/raw; delete them by hand."""
        from torchvision.datasets import Kitti as Archive  # late: loaded only for a download

        if (root / "kitti" / "training").exists():
            return
        Archive(root, download=True)
        (root / "kitti").mkdir(exist_ok=True)
        os.replace(root / "Kitti" / "raw" / "training", root / "kitti" / "training")

    def count_classes(self, reader, image_size: tuple) -> tuple[str, dict]:
        labels = np.concatenate([*reader.labels, np.zeros(0, np.int64)])
        counts = np.bincount(labels, minlength=len(DETECTION_CLASSES) + 1)[1:]  # without background
        return "objects", dict(zip(DETECTION_CLASSES, counts))


def _plain_labels(sample: dict) -> dict:
    "The labels of a sample as plain tensors."
    return {key: sample[key].as_subclass(Tensor) for key in _LABELS}


def _random_boxes(count: int, height: int, width: int) -> Tensor:  # (count, 4)
    corner = torch.rand(count, 2) * torch.tensor([0.8 * width, 0.6 * height])
    return torch.cat([corner, corner + torch.tensor([0.1 * width, 0.3 * height])], 1)


def _arrays(image: dict) -> dict:
    "Boxes, labels and scores as NumPy arrays of their own."
    return {key: np.asarray(torch.as_tensor(value).detach().cpu()).copy() for key, value in image.items()}


def _blank_disagreeing(
    name: str, values: np.ndarray, reported: pd.Series
):  # (1 + resamples, classes), the sample first
    """Sets the values of classes to NaN whose AP of the sample is not the reported one, with a
    warning.
    """
    off = ~np.isclose(values[0], reported, atol=1e-5, equal_nan=True)
    if off.any():
        classes = ", ".join(reported.index[off])
        computed, there = values[0][off], reported.to_numpy()[off]
        warnings.warn(
            f"no intervals of {name} for {classes} and the mean: computed here it is {computed}, reported {there}"
        )
        values[:, off] = np.nan
