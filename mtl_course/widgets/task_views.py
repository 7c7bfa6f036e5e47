"""How the browser scores and draws pictures: a generic view, and one for each task."""

from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from ..config import DETECTION_CLASSES
from ..core.colours import OKABE_ITO
from ..core.errors import UserError
from ..core.task import TASKS, Task
from ..data.loaders import normalise
from ..evaluation.predictions import evaluation_mode
from ..models.multi_task_model import MultiTaskModel
from ..plots.drawing import draw_predictions
from ..plots.predictions import SHOWN_SCORE, plain_sign
from ..tasks.classification import SignClassification
from ..tasks.detection import ObjectDetection
from ..tasks.lane import LaneSegmentation
from ..world.signs import SIGN_NAMES
from .samples import Sample
from .sheet import MARKS, LabelledBox, Sheet, draw_box, draw_legend, label_boxes, paint, pattern, rgb
from .threshold_curves import FLOOR, FoundBoxes, detection_curve, find_boxes, lane_curve, sign_curve

__all__ = []


class Threshold(NamedTuple):
    """A slider that decides what counts."""

    label: str
    low: float  # smallest value that makes sense
    ends: tuple[float, float]  # of the slider
    default: float  # as in the course's figures and scores


THRESHOLDS = dict(
    score=Threshold("score threshold", FLOOR, (0.05, 0.95), SHOWN_SCORE),
    nms=Threshold("NMS overlap", 0, (0.1, 0.9), 0.5),
    lane=Threshold("lane threshold", 0, (0.05, 0.95), 0.5),
)


LABELLED = ("found", "missed", "false")  # kinds of boxes that have words, the most important first


class Layout(NamedTuple):
    """Where things stand on the page, in pixels; as wide as a laptop's notebook shows."""

    size: tuple[int, int]  # height, width
    picture: tuple[int, int, int, int]  # left, top, width, height
    curve: tuple[int, int, int, int]
    legend_beside: bool  # the curve's legend stands to its right, else below it


WIDE = Layout((530, 920), (8, 28, 904, 275), (60, 372, 440, 118), True)
TALL = Layout((400, 920), (8, 28, 540, 320), (624, 48, 284, 190), False)
PAIR = Layout((410, 920), (8, 52, 448, 340), (0, 0, 0, 0), False)  # predictions and targets
WITH_SIGNS = TALL._replace(picture=(8, 28, 230, 230))


class TaskView:
    """The pictures of one task; this view serves a task that has none of its own.

    The network looks at each picture once, and `Sample.raw` holds what it said before any
    decision: everything that a threshold changes comes after that. A subclass overrides what is
    special about its task.
    """

    pictures = 24  # that are looked at unless told otherwise
    thresholds = ("score",)  # those that matter, of THRESHOLDS; the curve runs over the last one
    batch = 1  # pictures that the network sees at once
    layout = PAIR
    percent = True  # scores are shown in per cent
    opens = False  # whether the browser begins with this task

    def __init__(self, model: MultiTaskModel, task: Task):
        self.model = model
        self.task = task
        self.samples = []

    @property
    def known(self) -> bool:
        """Whether the targets of the pictures are known."""
        return all(sample.targets is not None for sample in self.samples)

    def look(self, pairs, progress: bool = False) -> "TaskView":
        """Runs the network over pairs of a `Sample` and what its reader gave."""
        pairs = list(pairs)
        starts = range(0, len(pairs), self.batch)
        for start in tqdm(starts, f"{self.task.images}", disable=not progress, leave=False):
            chunk = pairs[start : start + self.batch]
            images = torch.stack([record["image"].as_subclass(torch.Tensor) for _, record in chunk])
            for (sample, record), raw in zip(chunk, self.raw_outputs(images)):
                sample.raw = raw
                sample.targets = self.targets(record)
                self.samples.append(sample)
        return self

    def raw_outputs(
        self,
        images: torch.Tensor,  # (B, 3, H, W) uint8, of the network's input size
    ) -> list:
        """What the network says about each picture, on the CPU."""
        with evaluation_mode(self.model), torch.inference_mode():
            device = next(self.model.parameters()).device
            return self.split_output(self.model(normalise(images).to(device), task=self.task.name))

    def split_output(self, output) -> list:
        """The head's output for a batch, cut into pictures; as it stands, of a batch of one."""
        return [output]

    def targets(self, record: dict):
        """What is true of a picture, from what its reader gave; None: unknown."""
        return self.task.targets_of(record) if set(record) - {"image"} else None

    def image_scores(self, thresholds: dict) -> list[float]:
        """How good the prediction of each picture is, 0..1.

        Raises `UserError` for a task that cannot say so.
        """
        scores = [self.state(sample, thresholds)["image_score"] for sample in self.samples]
        if None in scores:
            name = self.task.name
            raise UserError(f"task {name!r} gives no image_score: define image_score(self, decoded, targets)")
        return scores

    def scores_at(self, levels: np.ndarray, thresholds: dict) -> pd.DataFrame:
        """Scores over all pictures, one row per level; without targets, how much is found."""
        index = pd.Index(np.atleast_1d(levels), name=THRESHOLDS[self.thresholds[-1]].label)
        return pd.DataFrame(index=index)

    def state(self, sample: Sample, thresholds: dict) -> dict:
        """What is to be said about a picture, as plain values."""
        if sample.targets is None:
            return dict(image_score=None)
        decoded = self.task.decode(self.model, sample.raw)[0]
        return dict(image_score=self.task.image_score(decoded, sample.targets))

    def describe(self, state: dict) -> str:
        """`state` in words."""
        score = state["image_score"]
        return "" if score is None else f"Score of this picture {100 * score:.1f} %"

    def draw(self, sheet: Sheet, pixels: np.ndarray, sample: Sample, thresholds: dict):
        """Puts the picture and what the network saw in it onto the page."""
        x, y = self.layout.picture[:2]
        size = pixels.shape[:2]
        described = self.task.describe(self.model, sample.raw, sample.size, size, thresholds["score"])
        sheet.text("predicted", x, y - 6)
        sheet.paste(self.task.draw(pixels.copy(), described), x, y)
        if sample.targets is not None:
            right = x + self.layout.picture[2] + 8
            sheet.text(f"true{_words_of(self.task, sample.targets)}", right, y - 6)
            sheet.paste(_with_mask(pixels, sample.targets), right, y)


def _words_of(task: Task, targets) -> str:
    """A single label by its name; nothing for a mask."""
    if np.ndim(targets):
        return ""
    label = int(targets)
    return f": {task.class_names[label] if label < len(task.class_names) else label}"


def _with_mask(pixels: np.ndarray, targets) -> np.ndarray:
    """The picture under a mask of classes; the most frequent class is left free."""
    mask = np.asarray(targets)
    if mask.ndim != 2:
        return pixels
    mask = _as_large_as(pixels, mask)
    colours = [rgb(OKABE_ITO[name]) for name in ("green", "sky", "orange", "purple", "yellow")]
    labels, counts = np.unique(mask, return_counts=True)
    for label in np.delete(labels, counts.argmax()):
        where = mask == label
        pixels[where] = pixels[where] // 2 + np.array(colours[int(label) % len(colours)], np.uint8) // 2
    return pixels


class SignView(TaskView):
    """Signs: raw is 43 probabilities, targets a class; unsure answers are withheld."""

    pictures = 86
    batch = 8
    layout = WITH_SIGNS

    def split_output(self, output) -> list:
        return list(self.task.decode(self.model, output).softmax(1).cpu().numpy())

    def targets(self, record: dict) -> int | None:
        return record.get("label")

    def image_scores(self, thresholds: dict) -> list[float]:
        """The probability of the true class: a wrong answer given with confidence is the worst."""
        return [float(sample.raw[sample.targets]) for sample in self.samples]

    def scores_at(self, levels: np.ndarray, thresholds: dict) -> pd.DataFrame:
        known = self.known
        targets = np.array([sample.targets if known else -1 for sample in self.samples])
        curve = sign_curve(np.stack([sample.raw for sample in self.samples]), targets, levels)
        return curve if known else curve[["answered"]]

    def state(self, sample: Sample, thresholds: dict) -> dict:
        best = int(sample.raw.argmax())
        return dict(
            answer=SIGN_NAMES[best],
            probability=float(sample.raw[best]),
            withheld=bool(sample.raw[best] < thresholds["score"]),
            target=None if sample.targets is None else SIGN_NAMES[sample.targets],
        )

    def describe(self, state: dict) -> str:
        verdict = ""
        if state["target"] is not None:
            right = state["answer"] == state["target"]
            verdict = " (right)" if right else f" (wrong: it is {state['target']})"
        withheld = ", withheld because that is below the threshold" if state["withheld"] else ""
        return f"{state['answer']}{verdict} with {100 * state['probability']:.0f} %{withheld}"

    def draw(self, sheet: Sheet, pixels: np.ndarray, sample: Sample, thresholds: dict):
        x, y = self.layout.picture[:2]
        sheet.paste(pixels, x, y)
        left = x + 256
        for k, (name, label) in enumerate(self._named_signs(sample, thresholds["score"]).items()):
            sheet.text(name, left + 110 * k, y + 12)
            sheet.paste(plain_sign(label, 84), left + 110 * k, y + 16)
        for k, label in enumerate(np.argsort(-sample.raw)[:4]):
            right = sample.targets is None or label == sample.targets
            kind = "found" if right else "false"
            mark = "" if sample.targets is None else MARKS[kind]
            top = y + 130 + 38 * k
            sheet.text(f"{mark} {SIGN_NAMES[label]}: {100 * sample.raw[label]:.0f} %".strip(), left, top)
            bar = sheet.pixels[top + 3 : top + 14, left : left + 1 + round(250 * float(sample.raw[label]))]
            paint(bar, np.ones(bar.shape[:2], bool), kind)
        mark = left + round(250 * thresholds["score"])
        sheet.line([(mark, y + 118), (mark, y + 264)], dashes=(4, 3))
        sheet.text("score threshold", mark, y + 282, anchor="mb")

    def _named_signs(self, sample: Sample, threshold: float) -> dict[str, int]:
        """Words -> class: the network's answer, and what is true."""
        answer = int(sample.raw.argmax())
        if sample.raw[answer] < threshold:
            signs = {"withheld": answer}
        elif sample.targets is None:
            signs = {"answer": answer}
        else:
            mark = MARKS["found" if answer == sample.targets else "false"]
            signs = {f"{mark} answer": answer}
        return signs if sample.targets is None else signs | {"truth": sample.targets}


class BoxView(TaskView):
    """Road users: raw is the head's output before non-maximum suppression, targets are boxes."""

    thresholds = ("nms", "score")
    batch = 8
    layout = WIDE
    opens = True

    def __init__(self, model: MultiTaskModel, task: Task):
        super().__init__(model, task)
        self._found = {}  # NMS overlap -> boxes of all pictures: each value needs its own decoding

    def split_output(self, output: dict) -> list[dict]:
        return self._split_regions(output) if "proposals" in output else self._split_places(output)

    def _split_places(self, output: dict) -> list[dict]:
        """Of a dense head."""
        shared = {name: output[name].cpu() for name in ("points", "strides")} | dict(image_size=output["image_size"])
        pieces = []
        for i in range(len(output["quality"])):
            answers = {name: output[name][i : i + 1].cpu() for name in ("class_logits", "distances", "quality")}
            pieces.append(shared | answers)
        return pieces

    def _split_regions(self, output: dict) -> list[dict]:
        counts = [len(proposals) for proposals in output["proposals"]]
        logits = output["class_logits"].cpu().split(counts)
        deltas = output["box_deltas"].cpu().split(counts)
        size = output["image_size"]
        pieces = []
        for class_logits, box_deltas, proposals in zip(logits, deltas, output["proposals"]):
            piece = dict(class_logits=class_logits, box_deltas=box_deltas, proposals=[proposals.cpu()], image_size=size)
            pieces.append(piece)
        return pieces

    def targets(self, record: dict) -> dict | None:
        if "boxes" not in record:
            return None
        boxes = record["boxes"].numpy().astype(np.float64)
        ignore = record["ignore"].numpy().astype(np.float64)
        return dict(boxes=boxes, labels=record["labels"].numpy().astype(np.int64), ignore=ignore)

    def found(self, thresholds: dict) -> list[FoundBoxes]:
        """The detections of all pictures at the present NMS overlap."""
        nms = thresholds["nms"]
        if nms not in self._found:
            self._found[nms] = find_boxes(self.model.heads[self.task.name].decode, self.samples, nms)
        return self._found[nms]

    def _found_in(self, sample: Sample, thresholds: dict) -> FoundBoxes:
        number = next(k for k, other in enumerate(self.samples) if other is sample)
        return self.found(thresholds)[number]

    def image_scores(self, thresholds: dict) -> list[float]:
        """The F1 of each picture; one without objects is right when it is empty."""
        scores = []
        for sample in self.samples:
            count = self.state(sample, thresholds)
            total = 2 * count["found"] + count["missed"] + count["false"]
            scores.append(2 * count["found"] / total if total else 1.0)
        return scores

    def scores_at(self, levels: np.ndarray, thresholds: dict) -> pd.DataFrame:
        found = self.found(thresholds)
        if self.known:
            return detection_curve(found, [sample.targets for sample in self.samples], levels)
        scores = np.concatenate([boxes.scores for boxes in found])
        per_picture = [(scores >= level).sum() / len(found) for level in np.atleast_1d(levels)]
        return super().scores_at(levels, thresholds).assign(boxes=per_picture)

    @property
    def percent(self) -> bool:
        return self.known

    def state(self, sample: Sample, thresholds: dict) -> dict:
        """What happened to the objects and boxes of a picture."""
        found = self._found_in(sample, thresholds)
        match = found.match[found.scores >= thresholds["score"]]
        hits = int((match >= 0).sum())
        missed = len(sample.targets["labels"]) - hits if sample.targets else 0
        return dict(found=hits, missed=missed, false=int((match == -1).sum()), ignored=int((match == -2).sum()))

    def describe(self, state: dict) -> str:
        if not self.known:
            return f"{state['found'] + state['false']} boxes"
        objects = state["found"] + state["missed"]
        return f"{state['found']} of {objects} objects found, {state['missed']} missed, {state['false']} false alarms"

    def draw(self, sheet: Sheet, pixels: np.ndarray, sample: Sample, thresholds: dict):
        x, y = self.layout.picture[:2]
        height, width = pixels.shape[:2]
        scale = np.array([width / sample.size[1], height / sample.size[0]] * 2)
        corner = np.array([x, y] * 2)
        found = self._found_in(sample, thresholds)
        shown = found.scores >= thresholds["score"]
        if sample.targets is None:
            boxes = found.boxes[shown] * scale
            sheet.paste(draw_predictions(pixels, boxes, found.labels[shown], found.scores[shown]), x, y)
            return
        for ignored in (sample.targets["ignore"] * scale).round().astype(int):
            _stripe(pixels, ignored)
        sheet.paste(pixels, x, y)
        targets = _target_boxes(sample.targets, set(found.match[shown]), scale, corner)
        detections = _detected_boxes(found, shown, scale, corner)
        for box, kind, _ in targets + detections[::-1]:  # the surest on top
            draw_box(sheet, box, kind)
        labelled = [box for box in targets + detections if box.kind in LABELLED]
        labelled.sort(key=lambda box: LABELLED.index(box.kind))
        label_boxes(sheet, labelled, (x, y, x + width, y + height))
        kinds = dict(found="found", target="true outline", missed="missed", false="false alarm")
        draw_legend(sheet, kinds, x + 2, y + height + 8, boxes=True)
        if len(sample.targets["ignore"]):
            sheet.text("grey stripes: not judged", x + width, y + height + 19, anchor="rb")


def _stripe(pixels: np.ndarray, box: np.ndarray):
    """Grey stripes over a region that is not judged."""
    x1, y1, x2, y2 = box
    region = pixels[max(y1, 0) : y2, max(x1, 0) : x2]
    if region.size:
        region[pattern("missed", *region.shape[:2])] = 160


def _target_boxes(targets: dict, matched: set, scale: np.ndarray, corner: np.ndarray) -> list[LabelledBox]:
    boxes = []
    for k, (box, label) in enumerate(zip(targets["boxes"] * scale + corner, targets["labels"])):
        boxes.append(LabelledBox(box, "target" if k in matched else "missed", DETECTION_CLASSES[label - 1]))
    return boxes


def _detected_boxes(found: FoundBoxes, shown: np.ndarray, scale: np.ndarray, corner: np.ndarray) -> list[LabelledBox]:
    """What the network found, but for what is not judged."""
    boxes = []
    for k in np.flatnonzero(shown & (found.match > -2)):
        kind = "found" if found.match[k] >= 0 else "false"
        words = f"{DETECTION_CLASSES[found.labels[k] - 1]} {100 * found.scores[k]:.0f}"
        boxes.append(LabelledBox(found.boxes[k] * scale + corner, kind, words))
    return boxes


class LaneView(TaskView):
    """Lane markings: raw is the probability of each pixel, targets are a mask."""

    thresholds = ("lane",)
    batch = 8
    layout = TALL

    def split_output(self, output) -> list:
        return list(self.task.decode(self.model, output).cpu().numpy())

    def targets(self, record: dict) -> np.ndarray | None:
        return record["mask"].numpy().astype(bool) if "mask" in record else None

    def image_scores(self, thresholds: dict) -> list[float]:
        """The IoU of each picture; one without lanes is right when nothing is called lane."""
        level = thresholds["lane"]
        scores = []
        for sample in self.samples:
            if sample.targets.any():
                scores.append(lane_curve(sample.raw, sample.targets, level).iou.item())
            else:
                scores.append(float(not (sample.raw > level).any()))
        return scores

    def scores_at(self, levels: np.ndarray, thresholds: dict) -> pd.DataFrame:
        probabilities = np.stack([sample.raw for sample in self.samples])
        if self.known:
            return lane_curve(probabilities, np.stack([sample.targets for sample in self.samples]), levels)
        shares = [(probabilities > level).mean() for level in np.atleast_1d(levels)]
        return super().scores_at(levels, thresholds).assign(lane_share=shares)

    def state(self, sample: Sample, thresholds: dict) -> dict:
        level = thresholds["lane"]
        iou = None if sample.targets is None else lane_curve(sample.raw, sample.targets, level).iou.item()
        return dict(lane_share=float((sample.raw > level).mean()), iou=iou)

    def describe(self, state: dict) -> str:
        iou = "" if state["iou"] is None else f", IoU {100 * state['iou']:.1f} %"
        return f"{100 * state['lane_share']:.1f} % of the pixels are called lane{iou}"

    def draw(self, sheet: Sheet, pixels: np.ndarray, sample: Sample, thresholds: dict):
        x, y = self.layout.picture[:2]
        lane = sample.raw > thresholds["lane"]
        if sample.targets is None:
            sheet.paste(draw_predictions(pixels, lane_mask=lane), x, y)
            return
        paint_lanes(pixels, lane, sample.targets)
        sheet.paste(pixels, x, y)
        kinds = dict(found="found (full)", missed="missed (stripes)", false="false alarm (dots)")
        draw_legend(sheet, kinds, x, y + pixels.shape[0] + 8, boxes=False)


def paint_lanes(
    pixels: np.ndarray,  # uint8 (H, W, 3) RGB, changed in place
    lane: np.ndarray,  # (h, w) bool: what the network calls lane
    targets: np.ndarray,  # (h, w) bool
):
    """Paints lane pixels that are found (full), missed (striped) and false (dotted)."""
    lane = _as_large_as(pixels, lane) > 0
    targets = _as_large_as(pixels, targets) > 0
    paint(pixels, lane & targets, "found")
    paint(pixels, targets & ~lane, "missed")
    paint(pixels, lane & ~targets, "false")


def _as_large_as(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return cv2.resize(mask.astype(np.uint8), pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST)


_VIEWS = {SignClassification: SignView, ObjectDetection: BoxView, LaneSegmentation: LaneView}


def make_view(
    model: MultiTaskModel,
    name: str,  # of a registered task
) -> TaskView:
    """The view that fits a task of the model: one of its own, or the generic one."""
    task = TASKS[name]
    views = (view for kind, view in _VIEWS.items() if isinstance(task, kind))
    return next(views, TaskView)(model, task)
