"""Scores are made once, on data that took no part in any decision, and written where every table and figure finds them."""

__all__ = [
    "RUN_COLUMNS",
    "RESULT_COLUMNS",
    "evaluation_mode",
    "decode",
    "predict_task",
    "Predictions",
    "TaskResult",
    "evaluate_task",
    "bootstrap_intervals",
    "score_task",
    "evaluate_model",
    "format_scores",
    "model_label",
    "results_table",
    "read_table",
    "write_predictions",
    "official_scores",
    "write_results",
]

import contextlib, json, time, warnings
from dataclasses import dataclass, field
from pathlib import Path
import numpy as np, pandas as pd, torch
from tqdm.auto import tqdm
from ..config import TASKS, Config
from ..core.errors import UserError
from ..core.files import atomic_write
from ..data.kitti import LABELS
from ..data.images import image_size
from ..world.signs import SIGN_NAMES
from ..metrics.intervals import (
    RESAMPLES,
    bootstrap_coco,
    bootstrap_sums,
    interval,
    lane_score_rows,
    sign_counts,
    sign_score_rows,
    COCO_LIMITS,
)
from ..metrics.scores import PRIMARY_METRIC, make_metric
from ..models.lane_decoding import mask_to_lanes
from .submissions import (
    SCORE_COLUMNS,
    kitti_lines,
    score_kitti,
    score_tusimple,
    to_original,
    write_gtsrb,
    write_kitti,
    write_tusimple,
)


def _autocast(device: str, precision: str):
    "The autocast context of a Lightning Fabric precision such as bf16-mixed; none for 32-true."
    kinds = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    if precision not in kinds:
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, dtype=kinds[precision])


@contextlib.contextmanager
def evaluation_mode(model: torch.nn.Module):
    "Evaluation mode inside the block; each part of the model goes back to the mode it had."
    modes = {m: m.training for m in model.modules()}
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
    "Logits (B, K), lane probability (B, H, W), or a list of {boxes, labels, scores}; floats in float32."
    if task == "classification":
        return output.float()
    if task == "lane":  # with two classes the softmax is a sigmoid of the difference
        return torch.sigmoid(output[:, 1].float() - output[:, 0].float())
    return [
        {k: v.float() if v.is_floating_point() else v for k, v in p.items()} for p in model.decode_detections(output)
    ]


def predict_task(
    model,  # model(images, task=t) gives the output of that head
    loader,  # yields batches that hold `task`
    task: str,  # one of TASKS
    device: str = "cpu",
    precision: str = "32-true",  # a Lightning Fabric precision
    progress: str = "",  # title of a progress bar; none when empty
    seconds: list | None = None,
):  # the time of network and decoding is appended for each batch
    "Yields (decoded predictions, batch) for every batch of `loader`, without gradients and in evaluation mode."
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
            yield prediction, batch  # outside of both modes: what the consumer computes is its own affair


def _reader_of(loader, task):
    "The task's reader behind a loader, or None."
    reader = getattr(getattr(loader, "dataset", None), "datasets", {}).get(task)
    reader = getattr(reader, "reader", reader)  # InMemory holds one
    return reader if hasattr(reader, "record") and hasattr(reader, "path") else None


@dataclass
class Predictions:
    "What is kept of a task's predictions, image by image in the order of the loader."

    task: str
    reader: object = None  # of the task's data; None: unknown, no files can be written
    files: list = field(default_factory=list)  # names of the images, relative to the data root
    truth: list = field(default_factory=list)  # class, or {"boxes", "labels", "ignore"} in the network's pixels
    found: list = field(
        default_factory=list
    )  # class, {"boxes", "labels", "scores"} in the network's pixels, or lanes (list of x at the frame's heights)
    counts: list = field(default_factory=list)  # lanes: tp, fp, fn, tn
    size: tuple = ()  # (height, width) of the network's input
    run_time: list = field(default_factory=list)  # milliseconds per image, one for each batch

    def __post_init__(self):
        self.where = {} if self.reader is None else {str(f): i for i, f in enumerate(self.reader.files)}

    def index(self):  # number of each image in the reader
        return [self.where[str(f)] for f in self.files]

    def groups(self):  # (images,) what was filmed together; -1: alone
        if self.task != "classification" or not hasattr(self.reader, "tracks"):
            return None
        return np.asarray(self.reader.tracks)[self.index()]


def _numpy(item):
    return {k: np.asarray(torch.as_tensor(v).detach().cpu()).copy() for k, v in item.items()}


def _keep(kept: Predictions, prediction, batch, seconds: float):
    "Adds a batch to what is kept."
    truth, start = batch[kept.task], time.perf_counter()
    files = batch.get("files", {}).get(kept.task) or [""] * len(truth)
    kept.size = tuple(batch["images"][kept.task].shape[-2:])
    if kept.task == "classification":
        kept.truth += torch.as_tensor(truth).tolist()
        kept.found += prediction.argmax(1).tolist()
    elif kept.task == "detection":
        kept.truth += [_numpy(t) for t in truth]
        kept.found += [_numpy(p) for p in prediction]
    else:
        lane, real = prediction > 0.5, truth.to(prediction.device) == 1
        kept.counts += torch.stack(
            [(a & b).sum((1, 2)) for a, b in ((lane, real), (lane, ~real), (~lane, real), (~lane, ~real))], 1
        ).tolist()
        if kept.reader is not None:
            records = [kept.reader.record(kept.where[str(f)]) for f in files]
            start = time.perf_counter()  # reading the labels is no part of finding lanes
            kept.found += [
                mask_to_lanes(p, r.h_samples, r.image_size) for p, r in zip(prediction.cpu().numpy(), records)
            ]
    kept.files += files
    kept.run_time.append(1000 * (seconds + time.perf_counter() - start) / max(len(files), 1))


@dataclass
class TaskResult:
    "What the evaluation of one task on one split gives."

    task: str
    images: int  # number of images
    scores: dict  # metric -> value, in 0..1
    per_class: pd.DataFrame  # one row per class, index = class name
    confusion: np.ndarray | None = None  # (K, K) counts, rows = truth; classification only
    seconds: float = 0.0  # wall time, data loading included
    intervals: dict = field(default_factory=dict)  # (metric, class or "all") -> (low, high), 95 %, bootstrap
    predictions: Predictions | None = None  # what prediction files are written from


def evaluate_task(
    model,  # model(images, task=t) gives the output of that head
    loader,  # yields batches {"images": {task: (B, 3, H, W)}, task: its labels, "files": {task: names}}
    task: str,  # one of TASKS
    device: str = "cpu",
    precision: str = "32-true",  # a Lightning Fabric precision
    progress: str = "",  # title of a progress bar; none when empty
    resamples: int = 0,  # of the bootstrap; 0: no intervals and no prediction files
) -> TaskResult:
    "Runs one task over a split; raises `UserError` when the split is empty."
    metric, images, start = make_metric(task), 0, time.perf_counter()
    kept, seconds = Predictions(task, _reader_of(loader, task)), []
    for prediction, batch in predict_task(
        model, loader, task, device, precision, progress, seconds if resamples else None
    ):
        metric.update(prediction, batch[task])
        images += len(batch["images"][task])
        if resamples:
            _keep(kept, prediction, batch, seconds[-1])
    if not images:
        raise UserError(f"there is no {task} image to evaluate: check data_root and the split")
    per_class = metric.per_class()
    if task == "classification":
        per_class.index = list(SIGN_NAMES)
    scores = metric.summary(per_class) if task == "detection" else metric.compute()
    result = TaskResult(task, images, scores, per_class, getattr(metric, "confusion", None))
    if resamples:
        result.intervals, result.predictions = bootstrap_intervals(kept, per_class, scores, resamples), kept
    result.seconds = time.perf_counter() - start
    return result


def bootstrap_intervals(
    kept: Predictions,
    per_class: pd.DataFrame,  # scores of each class, index = class names
    scores: dict,  # metric -> value, of the whole sample
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict:  # (metric, class or "all") -> (low, high)
    """95 % bootstrap intervals: over tracks for signs (over images where tracks are unknown), over images for boxes and lanes.

    mAP50:95 takes ten times the work of mAP50, so it is computed on a fifth of the resamples. A class whose AP of the sample itself, computed here, is not the reported one gets no interval, and a warning is given.
    """
    if kept.task == "classification":
        whole, each = sign_score_rows(
            bootstrap_sums(sign_counts(np.array(kept.truth), np.array(kept.found)), kept.groups(), resamples, seed)
        )
    elif kept.task == "lane":
        whole = lane_score_rows(bootstrap_sums(np.array(kept.counts), None, resamples, seed))
        each = {k: v[:, None] for k, v in whole.items() if k in per_class}
    else:
        each = dict(
            ap50=bootstrap_coco(kept.found, kept.truth, resamples, seed),
            ap50_95=bootstrap_coco(kept.found, kept.truth, max(resamples // 5, 2), seed, COCO_LIMITS),
        )
        for name, values in each.items():
            off = ~np.isclose(values[0], per_class[name], atol=1e-5, equal_nan=True)
            if off.any():
                warnings.warn(
                    f"no intervals of {name} for {', '.join(per_class.index[off])} and the mean: computed here it is {values[0][off]}, reported {per_class[name].to_numpy()[off]}"
                )
                values[:, off] = np.nan
        agree = {name: np.array_equal(np.isnan(v[0]), per_class[name].isna()) for name, v in each.items()}
        each = {name: values[1:] for name, values in each.items()}
        with np.errstate(invalid="ignore"):  # a resample without any object has no score
            whole = {f"m{name}": np.nansum(v, 1) / (~np.isnan(v)).sum(1) for name, v in each.items() if agree[name]}
    out = {(metric, "all"): interval(values) for metric, values in whole.items() if metric in scores}
    return out | {
        (metric, name): interval(v[:, k]) for metric, v in each.items() for k, name in enumerate(per_class.index)
    }


def score_task(
    model,  # model(images, task=t) gives the output of that head
    loader,  # yields batches that hold `task`
    task: str,  # one of TASKS
    device: str = "cpu",
    precision: str = "32-true",  # a Lightning Fabric precision
) -> dict[str, float]:  # metric -> value, in 0..1
    "The scores of one task on one split, as the training loop wants them after each epoch."
    return evaluate_task(model, loader, task, device, precision).scores


def evaluate_model(
    model,  # a MultiTaskModel, or anything that is called like one
    loaders: dict,  # task -> loader of the split to evaluate
    device: str = "cpu",
    precision: str = "32-true",  # a Lightning Fabric precision
    progress: bool = True,  # show progress bars
    resamples: int = RESAMPLES,  # of the bootstrap; 0: no intervals and no prediction files
) -> dict[str, TaskResult]:  # task -> result, in the order of TASKS
    "Evaluates every task that has a loader, with 95 % intervals; `write_results` then writes prediction files and adds the official scores."
    unknown = set(loaders) - set(TASKS)
    if unknown:
        raise ValueError(f"unknown tasks {sorted(unknown)}: expected some of {', '.join(TASKS)}")
    return {
        t: evaluate_task(model, loaders[t], t, device, precision, f"evaluating {t}" if progress else "", resamples)
        for t in TASKS
        if t in loaders
    }


_SHOWN = (
    ("classification", "sign top-1 accuracy", "accuracy"),
    ("classification", "macro F1", "macro_f1"),
    ("detection", "mAP50", "map50"),
    ("detection", "mAP50:95", "map50_95"),
    ("lane", "lane IoU", "iou"),
    ("lane", "lane F1", "f1"),
)


def format_scores(
    results: dict,  # task -> TaskResult, or task -> {metric: value}
) -> str:
    "The main scores of each task as an aligned table, in per cent, with 95 % intervals where they were computed."
    rows = [("task", "score", "value", "95 % interval", "images")]
    for task, label, metric in _SHOWN:
        if task not in results:
            continue
        scores, images = (
            (results[task], "")
            if isinstance(results[task], dict)
            else (results[task].scores, str(results[task].images))
        )
        value, (low, high) = (
            scores.get(metric, float("nan")),
            getattr(results[task], "intervals", {}).get((metric, "all"), (np.nan, np.nan)),
        )
        first = not any(row[0] == task for row in rows)
        rows.append(
            (
                task if first else "",
                label,
                "–" if np.isnan(value) else f"{100 * value:.1f} %",
                "" if np.isnan(low) else f"{100 * low:.1f} – {100 * high:.1f}",
                images if first else "",
            )
        )
    shown = [k for k in range(5) if k != 3 or any(row[3] for row in rows[1:])]  # no empty column
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    lines = [
        "  ".join(f"{row[k]:<{widths[k]}}" if k < 2 else f"{row[k]:>{widths[k]}}" for k in shown).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


RUN_COLUMNS = ["model", "seed", "data_set", "split"]  # they name the run and the data
RESULT_COLUMNS = RUN_COLUMNS + [
    "task",
    "metric",
    "class",
    "difficulty",
    "value",
    "low",
    "high",
]  # class is "all" for a score of the whole task
_LATER_COLUMNS = {"difficulty": "all", "low": np.nan, "high": np.nan}  # tables of earlier versions lack them


def model_label(config: Config) -> str:  # multi_task, or single_<task> for a baseline trained on one task
    "The name of a run's model in the results."
    return "multi_task" if len(config.tasks) > 1 else f"single_{config.tasks[0]}"


def _run(table, run):
    "`table` with the columns that name the run put first."
    for k, name in enumerate(RUN_COLUMNS):
        table.insert(k, name, run[name])
    return table


def results_table(
    results: dict, run: dict, official: dict = {}
) -> pd.DataFrame:  # task -> TaskResult; values of RUN_COLUMNS; task -> SCORE_COLUMNS -> RESULT_COLUMNS
    "The results as tidy rows: scores of each task, its number of images, every per-class score, and the official scores."
    tables = []
    for task, result in results.items():
        rows = [(metric, "all", value) for metric, value in dict(result.scores, images=result.images).items()]
        wide = result.per_class.dropna(how="all")  # a class without images has its count only
        rows += [
            (metric, name, value) for metric in wide for name, value in wide[metric].items() if not np.isnan(value)
        ]
        rows = [(task, m, c, "all", v, *result.intervals.get((m, c), (np.nan, np.nan))) for m, c, v in rows]
        tables.append(pd.DataFrame(rows, columns=RESULT_COLUMNS[4:]))
        if task in official:
            tables.append(official[task].dropna(subset="value").assign(task=task)[RESULT_COLUMNS[4:]])
    return _run(pd.concat([t for t in tables if len(t)], ignore_index=True), run)


def _confusion_table(result: TaskResult, run: dict) -> pd.DataFrame:
    "The confusion matrix as rows truth, predicted, count; cells with 0 left out."
    t, p = np.nonzero(result.confusion)
    names = np.asarray(result.per_class.index)
    return _run(pd.DataFrame(dict(truth=names[t], predicted=names[p], count=result.confusion[t, p])), run)


def _replace_rows(path: Path, new: pd.DataFrame, keys: list) -> Path:
    "Writes `new` behind the rows of `path` that belong to other values of `keys`."
    if path.exists():
        old = read_table(path, [c for c in new if not c.endswith(("_low", "_high"))])
        same = pd.MultiIndex.from_frame(old[keys].astype(str)).isin(pd.MultiIndex.from_frame(new[keys].astype(str)))
        if not same.all():
            new = pd.concat([old[~same], new], ignore_index=True)
    with atomic_write(path) as temporary:
        new.to_csv(temporary, index=False)
    return path


def read_table(path: str | Path, columns: list = (), made_by: str = "make train") -> pd.DataFrame:
    "Reads a csv of results; raises `UserError` when it is missing, cannot be parsed or lacks one of `columns`."
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path.name}: no such file in {path.parent}; `{made_by}` makes it")
    try:
        table = pd.read_csv(path)
    except (ValueError, pd.errors.ParserError) as e:
        raise UserError(f"{path}: not a csv table ({e}); delete it and let `{made_by}` make it anew") from None
    for name in set(columns) - set(table) if "value" in table else ():  # written before the column was thought of
        if name in _LATER_COLUMNS:
            table[name] = _LATER_COLUMNS[name]
    missing = [c for c in columns if c not in table]
    if missing:
        raise UserError(f"{path}: column {missing[0]!r} is missing; delete the file and let `{made_by}` make it anew")
    return table


_FOLDERS = {"classification": "gtsrb", "detection": "kitti", "lane": "tusimple"}


def write_predictions(
    kept: Predictions,  # with a reader
    folder: str | Path,  # gets gtsrb/, kitti/ or tusimple/
) -> Path:  # the folder written
    "Writes the predictions of one task, and their truth, in the format of its benchmark."
    folder, reader, index = Path(folder) / _FOLDERS[kept.task], kept.reader, kept.index()
    if kept.task == "classification":
        official = [int(reader.tracks[i]) < 0 for i in index]  # images of the official test set have no class folder
        write_gtsrb(
            folder,
            [Path(f).name if o else "/".join(Path(f).parts[-2:]) for f, o in zip(kept.files, official)],
            kept.found,
            kept.truth,
        )
    elif kept.task == "detection":
        labels = [reader.data_root / LABELS / f"{Path(f).stem}.txt" for f in kept.files]
        sizes = [image_size(reader.path(i), str(reader.files[i])) for i in index]
        write_kitti(
            folder,
            labels,
            [
                kitti_lines(p["labels"], to_original(p["boxes"], kept.size, size), p["scores"])
                for p, size in zip(kept.found, sizes)
            ],
        )
    else:
        time_per_frame = float(np.median(kept.run_time))
        if time_per_frame > 200:
            warnings.warn(
                f"a lane frame took {time_per_frame:.0f} ms here; the official TuSimple accuracy of frames above 200 ms is 0"
            )
        write_tusimple(folder, [reader.record(i) for i in index], kept.found, time_per_frame)
    return folder


def official_scores(
    task: str,
    folder: str | Path,  # what `write_predictions` returned
    resamples: int = RESAMPLES,
) -> pd.DataFrame:  # SCORE_COLUMNS
    "The benchmark's scores from the files; GTSRB's are the accuracies that the table has anyway."
    if task == "classification":
        return pd.DataFrame(columns=SCORE_COLUMNS)
    return (score_kitti if task == "detection" else score_tusimple)(folder, resamples)


def _wide(result: TaskResult, run: dict) -> pd.DataFrame:
    "The per-class table for reading, each score with the ends of its interval behind it."
    table = result.per_class.rename_axis("class").reset_index()
    for metric in result.per_class:
        ends = [result.intervals.get((metric, name)) for name in result.per_class.index]
        if not any(ends):
            continue
        for k, end in enumerate(("low", "high")):
            table.insert(
                table.columns.get_loc(metric) + 1 + k, f"{metric}_{end}", [e[k] if e else np.nan for e in ends]
            )
    return _run(table, run)


def write_results(
    results: dict,  # task -> TaskResult
    results_dir: str | Path,  # folder for the tables
    model: str = "multi_task",
    seed: int = 0,
    data_set: str = "world",  # a name for the data, such as the folder's
    split: str = "test",
) -> list[Path]:  # the files written
    """Writes evaluation_results.csv, per_class_<task>.csv and confusion_matrix.csv; rows of other runs in them are kept.

    Where the predictions were kept, they are written to predictions/<split>/ in the official formats, scored from there, and the scores added.
    """
    folder, run, official = Path(results_dir), dict(model=model, seed=seed, data_set=data_set, split=split), {}
    for task, result in results.items():
        if result.predictions is None or result.predictions.reader is None:
            continue
        written = write_predictions(result.predictions, folder / "predictions" / split)
        (written / "run.json").write_text(
            json.dumps(run | dict(images=result.images), indent=1) + "\n", encoding="utf-8"
        )
        official[task] = official_scores(task, written)
    files = [
        _replace_rows(folder / "evaluation_results.csv", results_table(results, run, official), RUN_COLUMNS + ["task"])
    ]
    for task, result in results.items():
        files.append(_replace_rows(folder / f"per_class_{task}.csv", _wide(result, run), RUN_COLUMNS))
        if result.confusion is not None:
            files.append(_replace_rows(folder / "confusion_matrix.csv", _confusion_table(result, run), RUN_COLUMNS))
    return files
