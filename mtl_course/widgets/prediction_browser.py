"""A score sums up a thousand pictures. To understand it, look at the pictures one by one, the worst first, and turn the thresholds yourself."""

__all__ = [
    "CHECKPOINTS",
    "DEFAULTS",
    "FLOOR",
    "LEVELS",
    "COLOURS",
    "DASHES",
    "MARKS",
    "CURVE_LINES",
    "NAMES",
    "IMAGES",
    "find_checkpoint",
    "trained_model",
    "Case",
    "raw_outputs",
    "held_out_cases",
    "own_cases",
    "look",
    "Found",
    "find_boxes",
    "detection_curve",
    "lane_curve",
    "sign_curve",
    "paint",
    "paint_lanes",
    "Sheet",
    "draw_box",
    "label_boxes",
    "Photo",
    "PredictionBrowser",
]

import functools, html
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
import cv2, ipywidgets as ipw, matplotlib, numpy as np, pandas as pd, torch
from fastcore.basics import patch
from PIL import Image, ImageDraw, ImageFont
from tqdm.auto import tqdm
from ..cli.predict import VIDEOS, find_pictures
from ..evaluation.predict import guess_tasks
from ..config import DETECTION_CLASSES, TASKS, Config, make_config
from ..core.errors import UserError
from ..core.device import choose_device
from ..core.files import project_root, resolve
from ..data.loaders import make_reader, normalise, prepare_data
from ..data.images import read_image, to_image
from ..world.signs import SIGN_NAMES
from ..evaluation.predictions import decode, evaluation_mode
from ..plots.figures import OKABE_ITO, TASK_LABELS, draw_predictions
from ..metrics.ranking import COCO_RECALLS, Ranking
from ..metrics.scores import lane_scores
from ..models.checkpoint import load_model
from ..models.multi_task_model import MultiTaskModel
from ..plots.predictions import SHOWN_SCORE, plain_sign, match_boxes
from ..training.loop import train
from .base import Picture, Playable, to_webp, button, checked_number, choice, slider, sweep_to_jshtml, tick

CHECKPOINTS = (
    "results/checkpoints",
    "results/seeds/*/checkpoints",
    "results/smoke/checkpoints",
)  # where trained networks lie, the first choice first


def find_checkpoint(places=CHECKPOINTS) -> Path | None:  # folders, relative to the project; * stands for any name
    "The first `model_best.pt` in some folders; None when there is none."
    return next((f for place in places for f in sorted(project_root().glob(f"{place}/model_best.pt"))), None)


def trained_model(
    steps: int = 80,  # of training where there is no network yet; 80 take about a minute on two cores
    places=CHECKPOINTS,
    results_dir: str = "results/smoke",
    progress: bool = True,
) -> MultiTaskModel:
    "A trained network: the first checkpoint found in `places`, else the recipe `smoke` trained for `steps` steps and kept in `results_dir`."
    path = find_checkpoint(places)
    if path is None:
        if progress:
            print(
                f"There is no trained network yet (make train makes one): training the recipe smoke for {steps} steps on the tiny built-in world, about a minute.",
                flush=True,
            )
        config = make_config("smoke", results_dir=results_dir, epochs=1, steps_per_epoch=steps)
        train(config, progress=progress)
        path = resolve(results_dir) / "checkpoints" / "model_best.pt"
    return load_model(path, choose_device())


@dataclass
class Case:
    "One picture for one task: where it lies, what the network said about it, and the truth where it is known."

    task: str
    path: Path
    name: str  # file name, for people
    size: tuple  # (height, width) of the network's input
    raw: object = None  # probabilities (43,), lane probability (height, width), or the detection head's output
    truth: object = None  # class; lanes (height, width) bool; {"boxes", "labels", "ignore"} in pixels of the network's input; None: unknown


def raw_outputs(
    model: MultiTaskModel, images: torch.Tensor, task: str
) -> list:  # (B, 3, H, W) uint8 -> one per image, on the CPU
    "What `Case.raw` holds, for a batch of pictures of the network's input size."
    with evaluation_mode(model), torch.inference_mode():
        output = model(normalise(images).to(next(model.parameters()).device), task=task)
        if task == "classification":
            return list(decode(model, output, task).softmax(1).cpu().numpy())
        if task == "lane":
            return list(decode(model, output, task).cpu().numpy())
        counts = [len(p) for p in output["proposals"]]
        parts = zip(*(output[k].cpu().split(counts) for k in ("class_logits", "box_deltas")), output["proposals"])
        return [
            dict(class_logits=c, box_deltas=d, proposals=[p.cpu()], image_size=output["image_size"])
            for c, d, p in parts
        ]


def held_out_cases(
    config: Config, task: str, images: int, part: str = "test"
) -> list[Case]:  # at most `images`, evenly spread; not yet seen by a network
    "Pictures of one part of a task's data with their truth, and their pixels at the network's input size."
    reader = make_reader(config, task, part)
    for i in np.unique(np.linspace(0, len(reader) - 1, min(images, len(reader))).round().astype(int)):
        sample = reader[int(i)]
        truth = {
            "classification": lambda: sample["label"],
            "lane": lambda: sample["mask"].numpy().astype(bool),
            "detection": lambda: {
                k: sample[k].numpy().astype(np.float64 if k != "labels" else np.int64)
                for k in ("boxes", "labels", "ignore")
            },
        }[task]()
        name = "/".join(Path(sample["file"]).parts[-2 if task == "lane" else -1 :])  # TuSimple calls every frame 20.jpg
        yield (
            Case(task, reader.path(int(i)), name, config.image_size_of(task), truth=truth),
            sample["image"].as_subclass(torch.Tensor),
        )


def own_cases(config: Config, paths, tasks: tuple, chosen: tuple | None = None):
    "One's own pictures, each for the tasks that its shape suggests (or for the chosen ones). Raises `UserError` for what does not exist or is no picture."
    for path in find_pictures([paths] if isinstance(paths, (str, Path)) else paths):
        if path.suffix.lower() in VIDEOS:
            raise UserError(f"{path}: a video, expected a picture; mtl_predict draws on videos")
        picture = read_image(path)[0]
        for task in chosen or guess_tasks(*picture.shape[-2:], tasks):
            size = config.image_size_of(task)
            yield (
                Case(task, path, path.name, size),
                to_image(picture.permute(1, 2, 0).numpy()[..., ::-1], size).as_subclass(torch.Tensor),
            )


def look(
    model: MultiTaskModel, cases, progress: bool = False, batch: int = 8
) -> list[Case]:  # cases: pairs (Case, uint8 (3, h, w))
    "Runs the network once over cases of one task and keeps its raw outputs in them."
    cases = list(cases)
    for k in tqdm(
        range(0, len(cases), batch),
        desc=f"{cases[0][0].task if cases else ''} pictures",
        disable=not progress,
        leave=False,
    ):
        part = cases[k : k + batch]
        for (case, _), raw in zip(part, raw_outputs(model, torch.stack([x for _, x in part]), part[0][0].task)):
            case.raw = raw
    return [case for case, _ in cases]


DEFAULTS = dict(
    score=SHOWN_SCORE, nms=0.5, lane=0.5
)  # thresholds to begin with, those of the course's figures and scores
FLOOR = 0.05  # smallest score that is looked at, as in the evaluation
LEVELS = np.arange(1, 20) / 20  # thresholds of the curves


@dataclass
class Found:
    "The boxes of one picture above `FLOOR`, the surest first, in pixels of the network's input."

    boxes: np.ndarray  # (N, 4)
    labels: np.ndarray  # (N,) 1…7
    scores: np.ndarray  # (N,) descending
    match: (
        np.ndarray
    )  # (N,) number of the object found, −1: false alarm, −2: in a region to be ignored; as `match_boxes`


def find_boxes(model, cases: list[Case], nms: float) -> list[Found]:
    "Decodes and matches every picture once, for all score thresholds; without truth everything is a false alarm."
    found = []
    for case in cases:
        d = {
            k: v.float().numpy().astype(np.float64) for k, v in model.decode_detections(case.raw, FLOOR, nms)[0].items()
        }
        truth = case.truth or dict(boxes=np.empty((0, 4)), labels=np.empty(0), ignore=np.empty((0, 4)))
        found.append(
            Found(
                d["boxes"],
                d["labels"].astype(int),
                d["scores"],
                match_boxes(truth["boxes"], truth["labels"], truth["ignore"], d["boxes"], d["labels"]),
            )
        )
    return found


def detection_curve(found: list[Found], truths: list[dict], thresholds) -> pd.DataFrame:  # one row per threshold
    "precision, recall, f1 and ap50 (mean over the classes that have objects) of the boxes that score at least so much; 0..1, 0/0 = 0."
    scores, match, labels = (np.concatenate([getattr(f, k) for f in found]) for k in ("scores", "match", "labels"))
    frame = np.repeat(np.arange(len(found)), [len(f.scores) for f in found])
    objects = np.array([np.bincount(t["labels"], minlength=8)[1:] for t in truths])  # (pictures, classes)
    rows, n = [], objects.sum()
    for t in np.atleast_1d(thresholds):
        shown = (scores >= t) & (match > -2)
        tp, fp = (shown & (match >= 0)).sum(), (shown & (match == -1)).sum()
        keep = [shown & (labels == c + 1) for c in np.flatnonzero(objects.sum(0))]
        ap = [
            Ranking(scores[k], match[k] >= 0, frame[k], objects[:, labels[k][0] - 1])
            .precisions(np.ones(len(found), int), COCO_RECALLS)
            .mean()
            if k.any()
            else 0.0
            for k in keep
        ]
        rows.append(
            dict(
                precision=tp / max(tp + fp, 1),
                recall=tp / max(n, 1),
                f1=2 * tp / max(tp + fp + n, 1),
                ap50=float(np.mean(ap)) if ap else np.nan,
            )
        )
    return pd.DataFrame(rows, index=pd.Index(np.atleast_1d(thresholds), name="score threshold"))


def lane_curve(
    probabilities: np.ndarray,  # (N, h, w) in 0..1
    truths: np.ndarray,  # (N, h, w) bool
    thresholds,
) -> pd.DataFrame:  # one row per threshold
    "iou, f1, precision and recall of lane pixels, those above each threshold; 0..1, 0/0 = 0."
    inside, levels = probabilities[truths], np.atleast_1d(thresholds).astype(probabilities.dtype)
    shown, tp = (np.array([(x > t).sum() for t in levels]) for x in (probabilities, inside))
    rows = lane_scores(tp, shown - tp, len(inside) - tp, probabilities.size - shown - len(inside) + tp)
    return pd.DataFrame(
        {k: rows[k] for k in ("iou", "f1", "precision", "recall")},
        index=pd.Index(np.atleast_1d(thresholds), name="lane threshold"),
    )


def sign_curve(
    probabilities: np.ndarray,  # (N, 43)
    truths: np.ndarray,  # (N,) classes
    thresholds,
) -> pd.DataFrame:  # one row per threshold
    "answered: share of signs with a probability of at least the threshold; right: share of right answers among these (NaN without any); top1: right answers among all signs."
    best, right = probabilities.max(1), probabilities.argmax(1) == truths
    kept = best[None] >= np.atleast_1d(thresholds)[:, None]
    with np.errstate(invalid="ignore"):
        among = (kept & right).sum(1) / kept.sum(1)
    return pd.DataFrame(
        dict(right=among, answered=kept.mean(1), top1=(kept & right).mean(1)),
        index=pd.Index(np.atleast_1d(thresholds), name="score threshold"),
    )


COLOURS = dict(found=OKABE_ITO["sky"], missed=OKABE_ITO["yellow"], false=OKABE_ITO["vermillion"], truth="#FFFFFF")
DASHES = dict(found=None, missed=(6, 4), false=(2, 5), truth=None)  # pixels on and off
MARKS = dict(found="✓", missed="?", false="✗", truth="")
CURVE_LINES = (
    (None, OKABE_ITO["black"]),
    ((9, 4), OKABE_ITO["blue"]),
    ((2, 5), OKABE_ITO["vermillion"]),
    ((14, 3, 2, 3), OKABE_ITO["green"]),
)
NAMES = dict(
    f1="F1",
    ap50="AP50",
    iou="IoU",
    precision="precision",
    recall="recall",
    right="right, of the answered",
    answered="answered",
    top1="right, of all",
    boxes="boxes per picture",
    lane_share="pixels called lane",
)


def _rgb(colour: str) -> tuple:
    return tuple(int(colour[k : k + 2], 16) for k in (1, 3, 5))


def _pattern(kind: str, height: int, width: int) -> np.ndarray:  # bool: full, diagonal stripes or dots
    y, x = np.ogrid[:height, :width]
    return {"missed": (x + y) % 6 < 3, "false": ((x + y // 6 * 3) % 6 < 3) & (y % 6 < 3)}.get(
        kind, np.ones((height, width), bool)
    )


def paint(pixels: np.ndarray, where: np.ndarray, kind: str):  # uint8 (H, W, 3), changed in place; (H, W) bool
    "Fills a region in the colour and pattern of its kind, on a darkened ground."
    pixels[where] //= 2
    pixels[where & _pattern(kind, *where.shape)] = _rgb(COLOURS[kind])


def paint_lanes(
    pixels: np.ndarray,  # uint8 (H, W, 3) RGB, changed in place
    lane: np.ndarray,  # (h, w) bool: what the network calls lane
    truth: np.ndarray,
):  # (h, w) bool
    "Paints lane pixels that are found (full), missed (striped) and false (dotted)."
    lane, truth = (
        cv2.resize(m.astype(np.uint8), pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST).astype(bool)
        for m in (lane, truth)
    )
    for kind, where in dict(found=lane & truth, missed=truth & ~lane, false=lane & ~truth).items():
        paint(pixels, where, kind)


@functools.cache
def _font(size: int):
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _dashes(points: np.ndarray, dashes) -> list:  # (N, 2) pixels; on, off, on, off … -> short lines
    "Cuts a line into dashes."
    along = np.r_[0, np.hypot(*np.diff(points, axis=0).T).cumsum()]
    ends = np.r_[0, np.tile(dashes, int(along[-1] // sum(dashes)) + 1).cumsum()].clip(max=along[-1])
    at = np.stack([np.interp(ends, along, points[:, k]) for k in (0, 1)], -1)
    return [piece for piece in np.stack([at[:-1], at[1:]], 1)[::2]]


class Sheet:
    "A white page of pixels for pictures, lines and words."

    def __init__(self, height: int, width: int):
        self.pixels, self.words = np.full((height, width, 3), 255, np.uint8), []

    def paste(self, picture: np.ndarray, x: int, y: int):  # uint8 (h, w, 3), its left upper corner
        self.pixels[y : y + picture.shape[0], x : x + picture.shape[1]] = picture

    def line(self, points, colour: str = "#000000", dashes=None, width: int = 1):  # (N, 2) pixels
        points = np.asarray(points, np.float64)
        lines = [points] if dashes is None else _dashes(points, dashes)
        cv2.polylines(
            self.pixels, [np.round(16 * l).astype(np.int32) for l in lines], False, _rgb(colour), width, cv2.LINE_AA, 4
        )

    def text(
        self,
        words: str,
        x: float,
        y: float,
        size: int = 11,
        colour: str = "#000000",
        ground: str = "",
        anchor: str = "lb",
    ):
        "Words whose anchor (left, middle or right; top, middle or bottom: lt, mm, rb …) is at (x, y), on a coloured ground."
        if ground:
            cv2.rectangle(
                self.pixels,
                (int(x) - 1, int(y) - size - 2),
                (int(x + _font(size).getlength(words)) + 1, int(y)),
                _rgb(ground),
                -1,
            )
        self.words.append((words, x, y, size, colour, anchor))

    def finished(self) -> np.ndarray:  # uint8 (H, W, 3)
        "The pixels with all words on them."
        image = Image.fromarray(self.pixels)
        write = ImageDraw.Draw(image)
        for words, x, y, size, colour, anchor in self.words:
            write.text(
                (x, y), words, colour, _font(size), anchor=anchor[0] + {"b": "d", "t": "a"}.get(anchor[1], anchor[1])
            )
        return np.asarray(image)


def draw_box(sheet: Sheet, box, kind: str):  # x1, y1, x2, y2; found, missed, false or truth
    "A box in the colour and line of its kind."
    x1, y1, x2, y2 = box
    sides = [((x1, y1), (x2, y1)), ((x2, y1), (x2, y2)), ((x2, y2), (x1, y2)), ((x1, y2), (x1, y1))]
    if kind != "truth":
        sheet.line([s[0] for s in sides] + [sides[0][0]], width=3)
    for side in sides:
        sheet.line(side, COLOURS[kind], DASHES[kind], 1 if kind == "truth" else 2)


def label_boxes(
    sheet: Sheet, boxes: list, frame: tuple, size: int = 10
) -> list[str]:  # [(box, kind, text)], the most important first; x1, y1, x2, y2
    "Writes mark and text of each box where no earlier label stands: above it, below or inside; the mark alone where there is no room for more, nothing where there is none for that."
    taken, written = np.empty((0, 4)), []
    for (x1, y1, x2, y2), kind, text in boxes:
        for words in (f"{MARKS[kind]} {text}", MARKS[kind]):
            w, h = _font(size).getlength(words) + 2, size + 3
            spots = np.array([(x, y) for y in (y1 - 2 - h, y2 + 2, y1 + 2, y2 - 2 - h) for x in (x1, x2 - w)]).clip(
                (frame[0], frame[1]), (frame[2] - w, frame[3] - h)
            )
            places = np.hstack([spots, spots + (w, h)])
            free = [p for p in places if not ((taken[:, :2] < p[2:]) & (taken[:, 2:] > p[:2])).all(1).any()]
            if free:
                break
        else:
            continue
        sheet.text(words, free[0][0] + 1, free[0][3], size, ground=COLOURS[kind])
        taken = np.vstack([taken, free[0]])
        written.append(words)
    return written


class Photo(Picture):
    "A picture packed as JPEG: a photograph packed as PNG is larger and takes longer."

    format = "jpeg"

    def pack(self, page: np.ndarray) -> bytes:
        return _jpeg(page, 85)  # uint8 (H, W, 3)


def _jpeg(page: np.ndarray, quality: int = 45) -> bytes:
    return cv2.imencode(".jpg", page[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


IMAGES = dict(classification=86, detection=24, lane=24)  # pictures per task that are looked at unless told otherwise


class PredictionBrowser(Playable):
    """Leafs through pictures with what a network sees in them, next to the truth, while thresholds move.

    Without arguments: the trained network that is here (else one is trained for about a minute) on the test part of its data. Raises `UserError` for a missing checkpoint, for missing data, and for a path that does not exist or is no picture.
    """

    def __init__(
        self,
        model: MultiTaskModel | str | Path | None = None,  # or a checkpoint; None: `trained_model()`
        config: Config | None = None,  # image sizes and data; None: the model's own
        paths=None,  # pictures of one's own, or folders of them, instead of test pictures
        data: str | Path | None = None,  # another folder with gtsrb/, kitti/ and tusimple/
        images: int | None = None,  # of each task; None: IMAGES
        part: str = "test",  # or val, train
        progress: bool = True,
    ):
        self.model = (
            trained_model(progress=progress)
            if model is None
            else load_model(resolve(model), choose_device())
            if isinstance(model, (str, Path))
            else model
        )
        self.config = config or getattr(self.model, "config", None)
        if self.config is None:
            raise UserError(
                "this model carries no config: give PredictionBrowser(model, config) the one that it was made from"
            )
        if data is not None:
            self.config = self.config.replace(data_root=str(data))
        self.images, self.part, self.progress = images, part, progress
        self.tasks = self.all_tasks = tuple(t for t in TASKS if t in self.model.tasks)
        self.thresholds, self.own, self.message = dict(DEFAULTS), False, ""
        self.picture, self.controls = Photo(), {}
        self._make_controls()
        self._forget()
        if paths is not None:
            self.open(paths)
        else:
            self.show("detection" if "detection" in self.tasks else self.tasks[0], 0)

    def _forget(self):
        self.cases, self.orders, self.places, self.task = (
            {},
            {},
            {},
            None,
        )  # task -> pictures, their order, the place in it
        self.sorted_tasks = set()  # those whose worst picture comes first
        self._found, self._curves, self._pixels = {}, {}, (None, None)


@patch
def _load(self: PredictionBrowser, task: str):
    "Lets the network look at a task's test pictures, the first time that they are asked for."
    if task in self.cases:
        return
    prepare_data(self.config, self.progress)
    self.cases[task] = look(
        self.model, held_out_cases(self.config, task, self.images or IMAGES[task], self.part), self.progress
    )
    self.orders[task], self.places[task] = list(range(len(self.cases[task]))), 0


@patch
def show(
    self: PredictionBrowser, task: str | None = None, index: int | None = None
):  # None: as it is; from 0, in the present order
    "Shows a picture of a task; raises `UserError` for a task or place that is not there."
    task = task or self.task
    if task not in self.tasks:
        raise UserError(f"task is {task!r}: expected one of {', '.join(self.tasks)}")
    self._load(task)
    if index is not None and not (isinstance(index, int) and 0 <= index < len(self.cases[task])):
        raise UserError(
            f"index is {index}: expected 0 to {len(self.cases[task]) - 1}, there are {len(self.cases[task])} {task} pictures"
        )
    self.task = task
    if index is not None:
        self.places[task] = index
    return self._redraw()


@patch
def turn(self: PredictionBrowser, by: int):  # 1: the next picture, −1: the one before
    "Leafs on, round and round."
    return self.show(index=(self.places[self.task] + by) % len(self.cases[self.task]))


@patch
def set_thresholds(
    self: PredictionBrowser, score: float | None = None, nms: float | None = None, lane: float | None = None
):
    "Sets thresholds, each in 0..1, others stay; scores below 0.05 were never kept. Raises `UserError` for other values."
    self.thresholds |= {
        name: checked_number(name, value, FLOOR if name == "score" else 0, 1)
        for name, value in dict(score=score, nms=nms, lane=lane).items()
        if value is not None
    }
    return self._redraw()


@patch
def open(
    self: PredictionBrowser,
    paths,  # a picture, a folder of pictures, or several of them
    tasks: tuple | None = None,
):  # default: guessed from each picture's shape
    "Shows pictures of one's own; without truth there are boxes, lanes and signs but no scores."
    loaded = {}
    for case, pixels in own_cases(self.config, paths, self.all_tasks, tasks):
        loaded.setdefault(case.task, []).append((case, pixels))
    looked = {t: look(self.model, loaded[t], self.progress) for t in TASKS if t in loaded}
    self._forget()
    self.own, self.tasks = True, tuple(looked)
    for t, cases in looked.items():
        self.cases[t], self.orders[t], self.places[t] = cases, list(range(len(cases))), 0
    return self.show(self.tasks[0], 0)


@patch
def test_pictures(self: PredictionBrowser):
    "Back from one's own pictures to those of the data."
    if self.own:
        self._forget()
        self.own, self.tasks = False, self.all_tasks
    return self.show(self.task or ("detection" if "detection" in self.tasks else self.tasks[0]))


@patch
def sort_by_worst(self: PredictionBrowser, worst: bool = True):  # False: the order of the data
    "Orders the task's pictures by their score at the present thresholds, lowest first, and shows the first. The order stays while thresholds move; call again to sort anew."
    if self.own:
        raise UserError(
            "pictures of one's own have no truth, so none of them can be called worst: sorting is for test pictures"
        )
    image_scores = self.image_scores(self.task)
    self.orders[self.task] = (
        sorted(range(len(image_scores)), key=lambda i: image_scores[i]) if worst else list(range(len(image_scores)))
    )
    (self.sorted_tasks.add if worst else self.sorted_tasks.discard)(self.task)
    return self.show(index=0)


@patch
def image_scores(self: PredictionBrowser, task: str) -> list[float]:  # 0..1, one per picture
    "How good the prediction of each picture is at the present thresholds."
    cases, t = self.cases[task], self.thresholds
    if task == "classification":
        return [float(c.raw[c.truth]) for c in cases]
    if task == "lane":
        return [
            lane_curve(c.raw, c.truth, t["lane"]).iou.item() if c.truth.any() else float(not (c.raw > t["lane"]).any())
            for c in cases
        ]
    counts = [self.counts(c, f) for c, f in zip(cases, self.found())]
    return [2 * n["found"] / total if (total := 2 * n["found"] + n["missed"] + n["false"]) else 1.0 for n in counts]


@patch
def found(self: PredictionBrowser) -> list[Found]:
    "The detections of all pictures at the present NMS overlap."
    nms = self.thresholds["nms"]
    if nms not in self._found:
        self._found[nms] = find_boxes(self.model, self.cases["detection"], nms)
    return self._found[nms]


@patch
def counts(self: PredictionBrowser, case: Case, found: Found) -> dict:  # of boxes: found, missed, false, ignored
    "What happened to the objects and boxes of a picture at the present score threshold."
    match = found.match[found.scores >= self.thresholds["score"]]
    n = int((match >= 0).sum())
    return dict(
        found=n,
        missed=len(case.truth["labels"]) - n if case.truth else 0,
        false=int((match == -1).sum()),
        ignored=int((match == -2).sum()),
    )


@patch
def scores_at(
    self: PredictionBrowser, task: str, thresholds
) -> pd.DataFrame:  # of the slider that matters for the task
    "Scores over all pictures of a task, one row per threshold; without truth, how much is found."
    cases, levels = self.cases[task], np.atleast_1d(thresholds)
    if task == "detection":
        if not self.own:
            return detection_curve(self.found(), [c.truth for c in cases], levels)
        scores = np.concatenate([f.scores for f in self.found()])
        return pd.DataFrame(
            dict(boxes=[(scores >= t).sum() / len(cases) for t in levels]),
            index=pd.Index(levels, name="score threshold"),
        )
    raw = [c.raw for c in cases]
    if task == "lane":
        if not self.own:
            return lane_curve(np.stack(raw), np.stack([c.truth for c in cases]), levels)
        return pd.DataFrame(
            dict(lane_share=[np.mean([(p > t).mean() for p in raw]) for t in levels]),
            index=pd.Index(levels, name="lane threshold"),
        )
    curve = sign_curve(np.stack(raw), np.array([-1 if self.own else c.truth for c in cases]), levels)
    return curve[["answered"]] if self.own else curve


@patch
def curve(self: PredictionBrowser, task: str | None = None) -> pd.DataFrame:  # one row per LEVELS
    "`scores_at` over the whole range of the task's threshold, kept for each NMS overlap."
    task = task or self.task
    key = task, self.thresholds["nms"] if task == "detection" else None
    if key not in self._curves:
        self._curves[key] = self.scores_at(task, LEVELS)
    return self._curves[key]


@patch
def scores(self: PredictionBrowser) -> pd.DataFrame:  # index: metric; columns: now, default
    "The present task's scores at the present thresholds and at the default ones, over all pictures loaded."
    name = "lane" if self.task == "lane" else "score"
    now, at = self.scores_at(self.task, self.thresholds[name]).iloc[0], dict(self.thresholds)
    key = self.task, "default"
    if key not in self._curves:
        self.thresholds = dict(DEFAULTS)
        try:
            self._curves[key] = self.scores_at(self.task, DEFAULTS[name]).iloc[0]
        finally:
            self.thresholds = at
    return pd.DataFrame(dict(now=now, default=self._curves[key]))


_WIDE = dict(
    size=(500, 864), picture=(8, 26, 848, 258), curve=(54, 342, 420, 118)
)  # height, width; left, top, width, height
_TALL = dict(size=(376, 864), picture=(8, 26, 512, 300), curve=(580, 42, 270, 170))


@patch
def shown_case(self: PredictionBrowser) -> Case:
    "The case on the page."
    return self.cases[self.task][self.orders[self.task][self.places[self.task]]]


@patch
def _place(self: PredictionBrowser) -> tuple:  # left, top, width, height in pixels
    "Where the picture stands on the page."
    return {
        "detection": _WIDE["picture"],
        "lane": _TALL["picture"],
        "classification": (*_TALL["picture"][:2], 230, 230),
    }[self.task]


@patch
def _pixels_of(
    self: PredictionBrowser, case: Case, place: tuple
) -> np.ndarray:  # left, top, width, height -> uint8 (h, w, 3) of one's own
    "The picture's pixels, as large as fits the place; kept until another picture is shown."
    key = case.path, place
    if self._pixels[0] != key:
        image = read_image(case.path)[0].permute(1, 2, 0).numpy()
        scale = min(place[2] / image.shape[1], place[3] / image.shape[0])
        size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        self._pixels = key, cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return self._pixels[1].copy()


@patch
def page(self: PredictionBrowser) -> np.ndarray:  # uint8 (H, W, 3) RGB
    "The present picture with what the network sees in it, and the scores over the threshold."
    case, layout = self.shown_case(), _WIDE if self.task == "detection" else _TALL
    sheet = Sheet(*layout["size"])
    sheet.text(self._title(case), 8, 20, 12)
    {"detection": self._draw_detection, "lane": self._draw_lane, "classification": self._draw_sign}[case.task](
        sheet, self._place(), case
    )
    self._draw_curve(sheet, layout["curve"], beside=self.task == "detection")
    return sheet.finished()


def _legend(sheet, kinds: dict, x: int, y: int, boxes: bool):  # kind -> words; samples as boxes or as filled patches
    for kind, words in kinds.items():
        if kind == "truth":
            cv2.rectangle(sheet.pixels, (x - 2, y - 2), (x + 24, y + 12), (90, 90, 90), -1)  # white needs a dark ground
        if boxes:
            draw_box(sheet, (x, y, x + 22, y + 10), kind)
        else:
            paint(sheet.pixels[y : y + 11, x : x + 23], np.ones((11, 23), bool), kind)
        sheet.text(f"{MARKS[kind] if boxes else ''} {words}".strip(), x + 29, y + 10, 11)
        x += 50 + int(_font(11).getlength(words)) + 14


@patch
def _draw_detection(self: PredictionBrowser, sheet, place, case):
    found, pixels = self.found()[self.orders["detection"][self.places["detection"]]], self._pixels_of(case, place)
    (h, w), (x, y), shown = pixels.shape[:2], place[:2], found.scores >= self.thresholds["score"]
    scale, corner, frame = (
        np.array([w / case.size[1], h / case.size[0]] * 2),
        np.array([x, y] * 2),
        (x, y, x + w, y + h),
    )
    boxes, labels, scores, match = (
        found.boxes[shown] * scale,
        found.labels[shown],
        found.scores[shown],
        found.match[shown],
    )
    if case.truth is None:
        sheet.paste(draw_predictions(pixels, boxes, labels, scores), x, y)
        return
    for x1, y1, x2, y2 in (case.truth["ignore"] * scale).round().astype(int):
        grey = pixels[max(y1, 0) : y2, max(x1, 0) : x2]
        if grey.size:
            grey[_pattern("missed", *grey.shape[:2])] = 160
    sheet.paste(pixels, x, y)
    truths = [
        (box, "truth" if k in match else "missed", DETECTION_CLASSES[label - 1])
        for k, (box, label) in enumerate(zip(case.truth["boxes"] * scale + corner, case.truth["labels"]))
    ]
    said = [
        (box, "found" if m >= 0 else "false", f"{DETECTION_CLASSES[label - 1]} {100 * score:.0f}")
        for box, label, score, m in zip(boxes + corner, labels, scores, match)
        if m > -2
    ]
    for box, kind, _ in truths + said[::-1]:
        draw_box(sheet, box, kind)  # the surest on top
    label_boxes(sheet, [b for kind in ("found", "missed", "false") for b in truths + said if b[1] == kind], frame)
    _legend(
        sheet,
        dict(found="found", truth="true outline", missed="missed", false="false alarm"),
        x + 2,
        y + h + 8,
        boxes=True,
    )
    if len(case.truth["ignore"]):
        sheet.text("grey stripes: not judged", x + w, y + h + 18, 11, anchor="rb")


@patch
def _draw_lane(self: PredictionBrowser, sheet, place, case):
    lane, pixels = case.raw > self.thresholds["lane"], self._pixels_of(case, place)
    if case.truth is None:
        sheet.paste(draw_predictions(pixels, lane_mask=lane), *place[:2])
        return
    paint_lanes(pixels, lane, case.truth)
    sheet.paste(pixels, *place[:2])
    _legend(
        sheet,
        dict(found="found (full)", missed="missed (stripes)", false="false alarm (dots)"),
        place[0],
        place[1] + pixels.shape[0] + 8,
        boxes=False,
    )


@patch
def _draw_sign(self: PredictionBrowser, sheet, place, case):
    (x, y), order, t = place[:2], np.argsort(-case.raw)[:4], self.thresholds["score"]
    sheet.paste(self._pixels_of(case, place), x, y)
    answer, verdict = int(order[0]), "" if case.truth is None else "✓ " if order[0] == case.truth else "✗ "
    signs = {f"{verdict}answer" if case.raw[answer] >= t else "withheld": answer} | (
        {} if case.truth is None else {"truth": case.truth}
    )
    for k, (name, label) in enumerate(signs.items()):
        sheet.text(name, x + 256 + 110 * k, y + 12, 11)
        sheet.paste(plain_sign(label, 84), x + 256 + 110 * k, y + 16)
    for k, label in enumerate(order):
        top, kind = y + 130 + 36 * k, "found" if case.truth is None or label == case.truth else "false"
        sheet.text(
            f"{'' if case.truth is None else MARKS[kind]} {SIGN_NAMES[label]}: {100 * case.raw[label]:.0f} %".strip(),
            x + 256,
            top,
            11,
        )
        bar = sheet.pixels[top + 3 : top + 14, x + 256 : x + 257 + round(250 * float(case.raw[label]))]
        paint(bar, np.ones(bar.shape[:2], bool), kind)
    place_of_t = x + 256 + round(250 * t)
    sheet.line([(place_of_t, y + 118), (place_of_t, y + 256)], dashes=(4, 3))
    sheet.text("score threshold", place_of_t, y + 272, 10, anchor="mb")


def _axes(
    sheet: Sheet, place, top: float, label: str, title: str, percent: bool
) -> Callable:  # -> (threshold, value) to pixels
    "Axes from 0 to 1 across and from 0 to `top` upwards; returns the way from values to pixels."
    x, y, w, h = place
    at = lambda t, v: np.stack(
        np.broadcast_arrays(x + w * np.asarray(t, float), y + h - h * np.asarray(v, float) / top), -1
    )
    for k in range(6):
        sheet.line(at([0, 1], k * top / 5), "#E6E6E6")
        sheet.line(at([k / 5] * 2, [0, top]), "#E6E6E6")
        sheet.text(
            f"{100 * k * top / 5:.3g}%" if percent else f"{k * top / 5:.3g}", x - 5, y + h - h * k / 5, 10, anchor="rm"
        )
        sheet.text(f"{k / 5:.1f}", x + w * k / 5, y + h + 4, 10, anchor="mt")
    sheet.line(at([0, 0, 1], [top, 0, 0]))
    sheet.text(label, x + w / 2, y + h + 18, 11, anchor="mt")
    sheet.text(title, x, y - 8, 11)
    return at


@patch
def _draw_curve(self: PredictionBrowser, sheet, place, beside: bool):  # beside: legend to the right, else below
    "Scores over the threshold that matters for the task, with the present and the default place."
    curve, scores, name = self.curve(), self.scores(), "lane" if self.task == "lane" else "score"
    now, percent, largest = self.thresholds[name], "boxes" not in curve, np.nanmax(curve.to_numpy(), initial=0.05)
    top = next(k * 10.0**e for e in range(-3, 4) for k in (1, 2, 5) if k * 10.0**e >= largest)
    label = f"{curve.index.name}: {now:.2f}" + (
        "" if self.task != "detection" else f"     NMS overlap: {self.thresholds['nms']:.2f}"
    )
    at = _axes(sheet, place, top, label, f"all {len(self.cases[self.task])} pictures together", percent)
    sheet.line(at([DEFAULTS[name]] * 2, [0, top]), "#777777", (2, 4))
    sheet.line(at([now] * 2, [0, top]))
    x, y = (place[0] + place[2] + 24, place[1] + 16) if beside else (place[0], place[1] + place[3] + 50)
    for (metric, values), (dashes, colour) in zip(curve.items(), CURVE_LINES):
        there, value, usual = ~np.isnan(values.to_numpy()), scores.loc[metric, "now"], scores.loc[metric, "default"]
        sheet.line(at(curve.index[there], values[there]), colour, dashes, 2)
        if not np.isnan(value):
            cv2.circle(sheet.pixels, at(now, value).round().astype(int).tolist(), 4, _rgb(colour), -1, cv2.LINE_AA)
        sheet.line([(x, y - 4), (x + 40, y - 4)], colour, dashes, 2)
        sheet.text(
            f"{NAMES[metric]} {_words(value, percent)}"
            + ("" if self.thresholds == DEFAULTS else f"  (default: {_words(usual, percent)})"),
            x + 48,
            y,
            11,
        )
        y += 20


def _words(value: float, percent: bool) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.1f} %" if percent else f"{value:.1f}"


@patch
def _title(self: PredictionBrowser, case: Case) -> str:
    return (
        f"{TASK_LABELS[case.task]}, picture {self.places[self.task] + 1} of {len(self.cases[self.task])}: {case.name}"
    )


@patch
def state(self: PredictionBrowser) -> dict:
    "The task, the picture, the thresholds, what was found in the picture, and the scores over all pictures (now and at the default thresholds)."
    case = self.shown_case()
    out = dict(
        task=self.task,
        index=self.places[self.task],
        pictures=len(self.cases[self.task]),
        file=case.name,
        own=self.own,
        thresholds=dict(self.thresholds),
    )
    if self.task == "detection":
        out |= self.counts(case, self.found()[self.orders["detection"][self.places["detection"]]])
    if self.task == "classification":
        best = int(case.raw.argmax())
        out |= dict(
            answer=SIGN_NAMES[best],
            probability=float(case.raw[best]),
            withheld=bool(case.raw[best] < self.thresholds["score"]),
            truth=None if case.truth is None else SIGN_NAMES[case.truth],
        )
    if self.task == "lane":
        out |= dict(
            lane_share=float((case.raw > self.thresholds["lane"]).mean()),
            iou=None if self.own else lane_curve(case.raw, case.truth, self.thresholds["lane"]).iou.item(),
        )
    return out | dict(scores=self.scores().to_dict("index"))


@patch
def describe(self: PredictionBrowser) -> str:
    "The picture in a sentence."
    s, case = self.state(), self.shown_case()
    if s["task"] == "detection":
        what = (
            f"{s['found'] + s['false']} boxes"
            if self.own
            else f"{s['found']} of {s['found'] + s['missed']} objects found, {s['missed']} missed, {s['false']} false alarms"
        )
    elif s["task"] == "lane":
        what = f"{100 * s['lane_share']:.1f} % of the pixels are called lane" + (
            "" if self.own else f", IoU {100 * s['iou']:.1f} %"
        )
    else:
        verdict = "" if self.own else " (right)" if s["answer"] == s["truth"] else f" (wrong: it is {s['truth']})"
        what = f"{s['answer']}{verdict} with {100 * s['probability']:.0f} %" + (
            ", withheld because that is below the threshold" if s["withheld"] else ""
        )
    percent = "boxes" not in s["scores"]
    scores = ", ".join(
        f"{NAMES[k]} {_words(v['now'], percent)}"
        + ("" if self.thresholds == DEFAULTS else f" (default {_words(v['default'], percent)})")
        for k, v in s["scores"].items()
    )
    return f"{self._title(case)}. {what}. Over all {s['pictures']} pictures: {scores}."


@patch
def _make_controls(self: PredictionBrowser):
    "The controls; each calls a method of the browser."
    act = lambda method: lambda *args: self._on_control(method, *args)
    step = dict(step=0.05, width="20em")
    self.controls = c = dict(
        task=choice(
            "task", [(TASK_LABELS[t], t) for t in self.tasks], on_change=act(lambda t: self.show(t)), width="16em"
        ),
        index=slider("picture", 1, 2, 1, on_change=act(lambda k: self.show(index=k - 1)), width="16em"),
        previous=button("previous", act(lambda: self.turn(-1)), "the picture before"),
        next=button("next", act(lambda: self.turn(1)), "the next picture"),
        worst=tick("worst first", on_change=act(lambda on: self.sort_by_worst(on))),
        score=slider(
            "score threshold",
            0.05,
            0.95,
            self.thresholds["score"],
            on_change=act(lambda v: self.set_thresholds(score=v)),
            **step,
        ),
        nms=slider(
            "NMS overlap", 0.1, 0.9, self.thresholds["nms"], on_change=act(lambda v: self.set_thresholds(nms=v)), **step
        ),
        lane=slider(
            "lane threshold",
            0.05,
            0.95,
            self.thresholds["lane"],
            on_change=act(lambda v: self.set_thresholds(lane=v)),
            **step,
        ),
        defaults=button("default thresholds", act(lambda: self.set_thresholds(**DEFAULTS))),
        path=ipw.Text(
            description="your own picture or folder",
            placeholder="path",
            style={"description_width": "initial"},
            layout=ipw.Layout(width="32em"),
        ),
        open=button("open", act(lambda: self.open(c["path"].value.strip()))),
        back=button("test pictures", act(self.test_pictures), "back to the pictures of the data set"),
    )
    self.note = ipw.HTML()
    rows = (
        ("task", "index", "previous", "next", "worst"),
        ("score", "nms", "lane", "defaults"),
        ("path", "open", "back"),
    )
    self.box = ipw.VBox(
        [
            *(ipw.HBox([c[k] for k in row], layout=ipw.Layout(flex_flow="row wrap")) for row in rows),
            self.note,
            self.picture,
        ]
    )


@patch
def _on_control(self: PredictionBrowser, method, *args):
    "What a control does: a mistake of the user becomes a sentence below the controls."
    if self.quiet:
        return
    try:
        method(*args)
        self._say("")
    except UserError as e:
        self._say(str(e))
        self._follow()


@patch
def _say(self: PredictionBrowser, message: str):
    self.message = message
    self.note.value = f"<b>{html.escape(message)}</b>" if message else ""


@patch
def _follow(self: PredictionBrowser):
    "Sets the controls to what the browser shows, without their calling back."
    c = self.controls
    with self.callbacks_silenced():
        c["task"].options = [(TASK_LABELS[t], t) for t in self.tasks]
        c["task"].value = self.task
        c["index"].max = max(1, len(self.cases[self.task]))
        c["index"].value = self.places[self.task] + 1
        for name in DEFAULTS:
            c[name].value = self.thresholds[name]
        for name, tasks in dict(score=("classification", "detection"), nms=("detection",), lane=("lane",)).items():
            c[name].disabled = self.task not in tasks
        c["worst"].value = self.task in self.sorted_tasks
        c["worst"].disabled = self.own
        c["back"].disabled = not self.own


@patch
def to_jshtml(
    self: PredictionBrowser, pictures: int = 2, levels=(0.1, 0.3, 0.5, 0.7, 0.9), kilobytes: int = 290
) -> str:
    "The task's first pictures in the present order at several thresholds, as a page that needs no Python; of about the given size, if need be at less quality. The browser stays as it was."
    name, before, place = "lane" if self.task == "lane" else "score", dict(self.thresholds), self.places[self.task]
    pages, texts = [], []
    try:
        for k in range(min(pictures, len(self.cases[self.task]))):
            for level in levels:
                self.thresholds[name], self.places[self.task] = level, k
                self._pixels_of(self.shown_case(), self._place())
                self._pixels = (
                    self._pixels[0],
                    cv2.medianBlur(self._pixels[1], 5) if self.task != "classification" else self._pixels[1],
                )
                pages.append(self.page())
                texts.append(f"Threshold {level:g}. {self.describe()}")
    finally:
        self.thresholds, self.places[self.task], self._pixels = before, place, (None, None)
    room = 750 * (
        kilobytes - 40
    )  # bytes for all pictures: base64 makes four of three, the player itself takes the rest
    quality = next((q for q in (30, 20, 12, 6) if sum(len(to_webp(p, q)) for p in pages) * 3 // 4 < room), 3)
    return sweep_to_jshtml(pages, photo=quality, label=f"picture and {name} threshold", sentences=texts)


@patch
def _still(self: PredictionBrowser) -> bytes:
    return _jpeg(self.page())  # photographs in stored notebooks should be small


@patch
def _redraw(self: PredictionBrowser):
    "Draws the present state; returns the browser, so that calls can be chained."
    self._follow()
    self.picture.show(self.page(), self.describe())
    return self
