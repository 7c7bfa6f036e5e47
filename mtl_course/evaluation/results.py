"""Tables of results, written where every table and figure finds them."""

import contextlib
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from ..config import Config
from ..core.errors import UserError
from ..core.files import atomic_write, locked, replaced_folder
from ..core.inputs import parse_json
from ..core.task import TASKS
from ..metrics.intervals import RESAMPLES
from .evaluate import TaskResult

__all__ = ["RESULT_COLUMNS", "check_numbers", "format_scores", "model_label", "read_table", "write_results"]

_RUN_COLUMNS = ["model", "seed", "data_set", "split"]  # they name the run and the data
_IDENTITY = ["checkpoint", "data_root"]  # where both lie; empty or missing where that is not known
# `class` is "all" for a score of the whole task
RESULT_COLUMNS = _RUN_COLUMNS + ["task", "metric", "class", "difficulty", "value", "low", "high"]
_SCORE_COLUMNS = RESULT_COLUMNS[4:]
_LATER_COLUMNS = {"difficulty": "all", "low": np.nan, "high": np.nan}  # tables of earlier versions lack them
_NO_INTERVAL = (np.nan, np.nan)
_NUMBERS = {  # columns of any table in which a word is a mistake
    *("value", "low", "high", "loss", "weight", "learning_rate", "seconds", "images_per_second", "data_wait"),
    *("step", "epoch", "seed", "count", "norm", "share", "cosine", "ratio"),
}


def format_scores(
    results: dict,  # task -> TaskResult, or task -> {metric: value}
) -> str:
    """The main scores of each task as an aligned table, in per cent.

    95 % intervals stand beside them where they were computed.
    """
    rows = [("task", "score", "value", "95 % interval", "images")]
    for name, task in TASKS.items():
        if name in results:
            rows += _task_rows(name, task.metrics, results[name])
    has_intervals = any(row[3] for row in rows[1:])
    columns = range(5) if has_intervals else (0, 1, 2, 4)
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        cells = [row[k].ljust(widths[k]) if k < 2 else row[k].rjust(widths[k]) for k in columns]
        lines.append("  ".join(cells).rstrip())
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:]])


def _task_rows(task: str, metrics: dict, result: TaskResult | dict) -> list[tuple]:
    if isinstance(result, dict):
        result = TaskResult(task, "", result, pd.DataFrame())
    rows = []
    for metric, label in metrics.items():
        value = result.scores.get(metric, np.nan)
        low, high = result.intervals.get((metric, "all"), _NO_INTERVAL)
        percent = "–" if np.isnan(value) else f"{100 * value:.1f} %"
        interval = "" if np.isnan(low) else f"{100 * low:.1f} – {100 * high:.1f}"
        rows.append((task, label, percent, interval, str(result.images)))
        task = ""  # said once
    return [rows[0], *((*row[:4], "") for row in rows[1:])]


def model_label(config: Config) -> str:  # multi_task, or single_<task> for a baseline trained on one task
    "The name of a run's model in the results."
    return "multi_task" if len(config.tasks) > 1 else f"single_{config.tasks[0]}"


def results_table(
    results: dict,  # task -> TaskResult
    run: dict,  # values of the columns that name the run
    official: dict | None = None,  # task -> table of its official scores
) -> pd.DataFrame:  # RESULT_COLUMNS
    """The results as tidy rows.

    They are the scores of each task, its number of images, per-class and official scores.
    """
    tables = []
    for task, result in results.items():
        rows = [(metric, "all", value) for metric, value in result.scores.items()]
        rows.append(("images", "all", result.images))
        per_class = result.per_class.dropna(how="all")  # a class without images has its count only
        for metric in per_class:
            scores = per_class[metric].dropna()
            rows += [(metric, name, value) for name, value in scores.items()]
        records = []
        for metric, name, value in rows:
            interval = result.intervals.get((metric, name), _NO_INTERVAL)
            records.append((task, metric, name, "all", value, *interval))
        tables.append(pd.DataFrame(records, columns=_SCORE_COLUMNS))
        if official and official.get(task) is not None:
            tables.append(official[task].dropna(subset="value").assign(task=task)[_SCORE_COLUMNS])
    table = pd.concat([t for t in tables if len(t)], ignore_index=True)
    return _with_run(table, run)


def _with_run(table: pd.DataFrame, run: dict) -> pd.DataFrame:
    "The table with the columns that name the run put first."
    for k, name in enumerate(_RUN_COLUMNS):
        table.insert(k, name, run[name])
    return table.assign(**{name: run[name] for name in _IDENTITY if name in run})


def _confusion_table(result: TaskResult, run: dict) -> pd.DataFrame:
    "The confusion matrix as rows truth, predicted, count; cells with 0 left out."
    target, predicted = np.nonzero(result.confusion)
    names = np.asarray(result.per_class.index)
    counts = result.confusion[target, predicted]
    return _with_run(pd.DataFrame(dict(truth=names[target], predicted=names[predicted], count=counts)), run)


def _per_class_table(result: TaskResult, run: dict) -> pd.DataFrame:
    "The per-class table for reading, each score with the ends of its interval behind it."
    table = result.per_class.rename_axis("class").reset_index()
    for metric in result.per_class:
        intervals = [result.intervals.get((metric, name)) for name in result.per_class.index]
        if not any(intervals):
            continue
        ends = [interval or _NO_INTERVAL for interval in intervals]
        column = table.columns.get_loc(metric)
        table.insert(column + 1, f"{metric}_low", [low for low, _ in ends])
        table.insert(column + 2, f"{metric}_high", [high for _, high in ends])
    return _with_run(table, run)


def _replace_rows(path: Path, new: pd.DataFrame, keys: list = ()) -> Path:
    """Writes `new` behind the rows of `path` that other evaluations have made.

    An evaluation is that of a checkpoint on a split of a data root; where a table does not say
    these, as those of earlier versions, it is that of a model and seed on a data set. `keys` are
    further columns by which rows are told apart.
    """
    with locked(path):
        if path.exists():
            needed = [name for name in new if not name.endswith(("_low", "_high")) and name not in _IDENTITY]
            old = read_table(path, needed)
            replaced = _is_same_evaluation(old, new, list(keys)) | _is_of_another_model(old, new)
            if not replaced.all():
                new = pd.concat([old[~replaced], new], ignore_index=True)
        with atomic_write(path) as temporary:
            new.to_csv(temporary, index=False)
    return path


def _is_of_another_model(old: pd.DataFrame, new: pd.DataFrame) -> np.ndarray:  # (rows of old,) bool
    "Rows of a checkpoint that a new run has overwritten since: another model or seed at its path."
    if "checkpoint" not in old or "checkpoint" not in new:
        return np.zeros(len(old), bool)
    same_path = old.checkpoint.astype(object) == new.checkpoint.iloc[0]
    other_model = old.model != new.model.iloc[0]
    other_seed = pd.to_numeric(old.seed, errors="coerce") != float(new.seed.iloc[0])
    return (same_path & (other_model | other_seed)).to_numpy()


def _is_same_evaluation(old: pd.DataFrame, new: pd.DataFrame, keys: list) -> np.ndarray:  # (rows of old,) bool
    places = [table.reindex(columns=_IDENTITY).astype(object).fillna("") for table in (old, new)]
    known = (places[0] != "").all(axis=1) & (places[1] != "").all(axis=None)
    same = {}
    for name, columns in (("place", [*_IDENTITY, "split", *keys]), ("run", [*_RUN_COLUMNS, *keys])):
        tables = [table.assign(**place)[columns].astype(str) for table, place in zip((old, new), places)]
        same[name] = pd.MultiIndex.from_frame(tables[0]).isin(pd.MultiIndex.from_frame(tables[1]))
    return np.where(known, same["place"], same["run"])


def read_table(
    path: str | Path,
    columns: list = (),  # that it must have
    made_by: str = "make train",  # the command that makes the file
) -> pd.DataFrame:
    """Reads a csv of results.

    Raises `UserError` when it is missing, cannot be parsed or lacks one of `columns`.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path.name}: no such file in {path.parent}; `{made_by}` makes it")
    remedy = f"delete the file and let `{made_by}` make it anew"
    try:
        table = pd.read_csv(path)
    except (ValueError, pd.errors.ParserError) as e:
        raise UserError(f"{path}: not a csv table ({e}); {remedy}") from None
    if "value" in table:
        for name, value in _LATER_COLUMNS.items():
            if name in columns and name not in table:
                table[name] = value
    missing = [column for column in columns if column not in table]
    if missing:
        raise UserError(f"{path}: column {missing[0]!r} is missing; {remedy}")
    check_numbers(table, path, remedy)
    return table


def check_numbers(
    table: pd.DataFrame,
    path: Path,  # where it comes from, for the error
    remedy: str,
):
    "Raises `UserError` for a word where a table of results has numbers."
    for name in _NUMBERS.intersection(table.columns):
        if pd.api.types.is_numeric_dtype(table[name]):
            continue
        words = table[name].notna() & pd.to_numeric(table[name], errors="coerce").isna()
        if words.any():
            row = int(words.to_numpy().argmax())
            raise UserError(f"{path}, line {row + 2}: {name} is {table[name].iloc[row]!r}: expected a number; {remedy}")


def _prediction_folder(predictions: Path, benchmark: str, run: dict, own: bool) -> Path:
    "predictions/<split>/<benchmark>; where another evaluation has that, one with a hash in it."
    place = predictions / run["split"] / benchmark
    try:
        holder = parse_json((place / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return place
    if not isinstance(holder, dict) or all(holder.get(name) in (None, run.get(name)) for name in _IDENTITY):
        return place
    beside = predictions / f"{run['split']}-{_hash_of(holder if own else run)}" / benchmark
    if not own:
        return beside
    shutil.rmtree(beside, ignore_errors=True)
    beside.parent.mkdir(parents=True, exist_ok=True)
    place.rename(beside)
    return place


def _hash_of(run: dict) -> str:  # 8 hex digits
    places = [str(run.get(name)) for name in _IDENTITY]
    return hashlib.sha256(json.dumps(places).encode()).hexdigest()[:8]


class _NothingWritten(Exception):
    "A task has no official format."


def _write_submission(result: TaskResult, folder: Path, run: dict) -> bool:  # False: there is no official format
    "Writes predictions and run.json, which says whose they are: the folder appears with both."
    with contextlib.suppress(_NothingWritten), replaced_folder(folder) as new:
        inner = new / folder.name
        if not TASKS[result.task].write_predictions(result.predictions, inner):
            raise _NothingWritten
        for file in list(inner.iterdir()):
            file.rename(new / file.name)
        inner.rmdir()
        record = json.dumps(run | dict(images=result.images), indent=1)
        (new / "run.json").write_text(record + "\n", encoding="utf-8")
        return True
    return False


def write_results(
    results: dict,  # task -> TaskResult
    results_dir: str | Path,  # folder for the tables
    model: str = "multi_task",
    seed: int = 0,
    data_set: str = "world",  # a name for the data, such as the folder's
    split: str = "test",
    identity: dict | None = None,  # checkpoint and data_root, where they lie; None: not known
    own: bool = False,  # the run of this folder, on its data: it has predictions/<split> for itself
) -> list[Path]:  # the files written
    """Writes evaluation_results.csv, per_class_<task>.csv and confusion_matrix.csv.

    Rows of other evaluations in them stay. Where the predictions were kept, they are written to
    predictions/<split>/ in the official formats, scored from there, and the scores added; a second
    evaluation, of another checkpoint or on other data, writes into a folder beside.
    """
    folder = Path(results_dir)
    run = dict(model=model, seed=seed, data_set=data_set, split=split) | (identity or {})
    official = {}
    for task, result in results.items():
        if result.predictions is None or result.predictions.reader is None:
            continue
        submission = _prediction_folder(folder / "predictions", TASKS[task].folder, run, own)
        if _write_submission(result, submission, run):
            official[task] = TASKS[task].official_scores(submission, RESAMPLES)
    table = results_table(results, run, official)
    files = [_replace_rows(folder / "evaluation_results.csv", table, ["task"])]
    for task, result in results.items():
        files.append(_replace_rows(folder / f"per_class_{task}.csv", _per_class_table(result, run)))
        if result.confusion is not None:
            confusion = _confusion_table(result, run)
            files.append(_replace_rows(folder / "confusion_matrix.csv", confusion))
    return files
