"""Lane segmentation on TuSimple: which pixels are markings, and where the lanes run."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..core.colours import OKABE_ITO
from ..core.fields import Field
from ..core.files import resolve
from ..core.task import Task, register_task
from ..data.tusimple import TuSimple, draw_lanes
from ..data.tusimple_labels import TuSimpleFiles
from ..metrics.intervals import bootstrap_sums, interval
from ..metrics.scores import LaneMetric, lane_scores
from ..metrics.tusimple_files import score_tusimple, write_tusimple
from ..models.lane_decoding import mask_to_lanes
from ..models.lane_head import LaneHead
from ..models.lane_names import name_lanes

__all__ = ["LaneSegmentation"]


@register_task
class LaneSegmentation(Task):
    """Where are the lanes? Labels of a batch: (B, H, W) int64, 1 on lane markings, else 0."""

    name = "lane"
    title = "lane segmentation"
    short = "lanes"
    images = "lane images"
    colour = OKABE_ITO["green"]
    marker = "^"
    metrics = {"iou": "lane IoU", "f1": "lane F1"}
    folder = "tusimple"
    how_to_get = f"""TuSimple, lanes (TuSimple lane detection challenge 2017; terms in its repository).
By hand only: train_set.zip (3,626 clips), test_set.zip (2,782 clips) and test_label.json, as listed in
https://github.com/TuSimple/tusimple-benchmark (issue 3). The original links have been refused since 2023; copies are on
Kaggle (manideep1108/tusimple). Unzip so that the label files and clips/ of both archives
lie in data_root/tusimple itself.
Layout: {TuSimpleFiles.layout}"""
    label_files = TuSimpleFiles()
    class_names = ("lane",)
    image_size = (192, 320)
    in_default = True
    fields = (
        Field("lane_skips", True, "U-Net skip connections from the backbone into the lane decoder"),
        Field(
            "lane_channels",
            512,
            "channels of the lane decoder at stride 32; each of its five blocks halves them",
            least=32,
            most=65536,
        ),
        Field("lane_dice", 0.0, "weight of the Dice term beside the lane cross-entropy"),
        Field("lane_positive_weight", 1.0, "weight of lane pixels against background in the cross-entropy"),
        Field(
            "lane_prior", 0.0, "share of lane that an untrained head expects; 0: what its random weights say", most=0.5
        ),
    )
    model_fields = (Field("num_lane_classes", 2, "background and lane", least=2),)

    def make_reader(self, config, split: str) -> TuSimple:
        return TuSimple(
            resolve(config.data_root),
            split,
            config.split_rule,
            size=config.image_size_of(self.name),
            empty_labels=config.empty_labels,
        )

    def collate(self, samples: list) -> Tensor:  # (B, H, W)
        return torch.stack([sample["mask"].as_subclass(Tensor) for sample in samples]).long()

    # the network

    def make_head(self, channels: dict, options) -> LaneHead:
        head = LaneHead(
            channels,
            options.num_lane_classes,
            options.lane_skips,
            options.lane_channels,
            options.lane_positive_weight,
            options.lane_dice,
        )
        if options.lane_prior:
            head.expect_share(options.lane_prior)
        return head

    def decode(self, model, output: Tensor) -> Tensor:  # (B, 2, H, W) logits -> (B, H, W) lane probability
        """With two classes the softmax is a sigmoid of the difference."""
        return torch.sigmoid(output[:, 1].float() - output[:, 0].float())

    def random_labels(self, images: int, image_size: tuple) -> Tensor:
        return (torch.rand(images, *image_size) < 0.05).long()

    # scores

    def make_metric(self) -> LaneMetric:
        return LaneMetric()

    def look_up(self, reader, index: list) -> list:
        """The heights at which the lanes of each frame are asked for."""
        return [reader.record(i) for i in index]

    def keep(self, decoded: Tensor, labels: Tensor, looked_up) -> list[dict]:
        """The counts of pixels (tp, fp, fn, tn) of each image and, where its frame is known, the
        lanes.
        """
        lane = decoded > 0.5
        target = labels.to(decoded.device) == 1
        pairs = ((lane, target), (lane, ~target), (~lane, target), (~lane, ~target))
        counts = torch.stack([(a & b).sum((1, 2)) for a, b in pairs], 1).tolist()
        if looked_up is None:
            return [dict(counts=c) for c in counts]
        kept = []
        for c, probability, record in zip(counts, decoded.cpu().numpy(), looked_up):
            lanes = mask_to_lanes(probability, record.h_samples, record.image_size)
            kept.append(dict(counts=c, prediction=lanes))
        return kept

    def intervals(self, predictions, per_class: pd.DataFrame, scores: dict, resamples: int, seed: int) -> dict:
        """Over images."""
        sums = bootstrap_sums(np.array(predictions.column("counts")), None, resamples, seed)
        intervals = {}
        for metric, values in lane_scores(*sums.T).items():
            if metric in scores:
                intervals[metric, "all"] = interval(values)
            if metric in per_class:
                intervals[metric, per_class.index[0]] = interval(values)
        return intervals

    def write_predictions(self, predictions, folder: Path) -> Path:
        """One line of json per frame, with the time that it took."""
        milliseconds = float(np.median(predictions.run_time))
        if milliseconds > 200:
            took = f"a lane frame took {milliseconds:.0f} ms here"
            warnings.warn(f"{took}; the official TuSimple accuracy of frames above 200 ms is 0")
        records = [predictions.reader.record(i) for i in predictions.index()]
        write_tusimple(folder, records, predictions.column("prediction"), milliseconds)
        return folder

    def official_scores(self, folder: Path, resamples: int) -> pd.DataFrame:
        return score_tusimple(folder, resamples)

    # pictures

    def describe(self, model, output, image_size, picture_size, score_threshold=0.5) -> dict:
        height = picture_size[0]
        heights = list(range(int(height * 0.22) // 10 * 10, height, 10 if height >= 360 else 4))
        probability = output.softmax(1)[0, 1].float().cpu().numpy()
        lanes = mask_to_lanes(probability, heights, picture_size)
        return dict(lanes=lanes, lane_names=name_lanes(lanes, heights, picture_size), h_samples=heights)

    def draw(self, picture, described: dict):
        from ..plots.drawing import draw_predictions  # late: matplotlib is loaded with it

        parts = {name: described.get(name, ()) for name in ("lanes", "lane_names", "h_samples")}
        return draw_predictions(picture, **parts)

    # mtl_data

    def count_classes(self, reader, image_size: tuple) -> tuple[str, dict]:
        lane = 0
        for i in range(len(reader)):
            record = reader.record(i)
            mask = draw_lanes(record.lanes, record.h_samples, record.image_size, image_size, reader.line_width)
            lane += int(mask.sum())
        return "pixels", {"lane": lane, "background": len(reader) * image_size[0] * image_size[1] - lane}
