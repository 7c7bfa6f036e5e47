"""A comparison is only as fair as its bookkeeping: same budget, same data, same seeds, every run in
the table.
"""

import concurrent.futures
import hashlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from tqdm.auto import tqdm

from ..config import RENAMED_FIELDS, TASKS, Config, make_config
from ..core.errors import UserError
from ..core.files import atomic_write, locked, resolve, temporary_folder
from ..core.process import peak_memory, run_in_subprocess
from ..data.loaders import evaluation_loader
from ..data.sources import prepare_data
from ..evaluation.evaluate import evaluate_task
from ..evaluation.results import check_numbers
from ..training.loop import train

__all__ = ["STUDY_COLUMNS", "read_study"]

SINGLE_TASK_RUNS = [dict(tasks=(t,)) for t in TASKS]  # the single-task baselines: three trainings
STUDY_COLUMNS = ["run", "config", "seed", "steps", "part", "task", "metric", "value"]  # part: train, val or test
_NOT_HASHED = {  # fields that say where and how a run is made, not what it is about
    "recipe",
    "results_dir",
    "num_workers",
    "cache_images",
    "seed",
    "device",
    "checkpoint_every",
    "evaluate_every",
}


def run_configs(
    fields: dict | list,  # what differs from the recipe; a list: several trainings
    seed: int,
    recipe: str = "study",
) -> list[Config]:  # one for each training
    """The configs of one run. Raises `UserError` for a field that does not exist."""
    trainings = fields if isinstance(fields, (list, tuple)) else [fields]
    return [make_config(recipe, **each | dict(seed=seed)) for each in trainings]


def config_hash(configs: list[Config]) -> str:  # 8 hex digits
    """A hash of what the trainings are about: the values that differ from the defaults, without
    folders and machine.
    """
    defaults = Config().to_dict()
    old_names = {new: old for old, new in RENAMED_FIELDS.items()}  # hashes in stored tables were made with these
    values = []
    for config in configs:
        fields = config.to_dict().items()
        changed = {name: v for name, v in fields if name not in _NOT_HASHED and v != defaults.get(name)}
        values.append({old_names.get(name, name): v for name, v in changed.items()})
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


# one run


def train_and_score(config: Config) -> list[dict]:  # rows with part, task, metric, value
    """One training in this process and its scores after the last step.

    Seconds, seconds per step and peak memory stand under the task `all`.
    """
    with temporary_folder() as folder:
        began = time.perf_counter()
        fields = dict(results_dir=str(folder), evaluate_every=config.epochs, checkpoint_every=0)
        run = train(make_config(**config.to_dict() | fields), progress=False)
        log = pd.read_csv(f"{folder}/logs/training.csv")
        seconds = time.perf_counter() - began
    last = log[(log.kind == "epoch") & (log.epoch == config.epochs)]
    rows = [dict(part="val", task=r.task, metric=r.metric, value=r.value) for r in last.itertuples()]
    device = next(run.model.parameters()).device.type
    memory = peak_memory(device) / 2**30
    for task in config.tasks:
        loader = evaluation_loader(config, "test", (task,))
        result = evaluate_task(run.model, loader, task, device, run.precision.precision)
        scores = result.scores | TASKS[task].extra_scores(result.per_class)
        rows += [dict(part="test", task=task, metric=m, value=v) for m, v in scores.items()]
    step_seconds = log[log.kind == "step"].drop_duplicates("step").seconds.diff().median()
    costs = dict(seconds=seconds, step_seconds=step_seconds, peak_memory_gib=memory)
    return rows + [dict(part="train", task="all", metric=m, value=v) for m, v in costs.items()]


def _train_run(configs: list[Config]) -> list[dict]:  # rows of all its trainings
    """All trainings of one run, one after another.

    Times are added; of memory the largest counts, since in one process it can only grow.
    """
    tables = [pd.DataFrame(train_and_score(config)) for config in configs]
    rows = pd.concat(tables, ignore_index=True)
    costs = rows[rows.task.isin(["all"])].groupby("metric", sort=False).value
    total = costs.sum()
    if "peak_memory_gib" in total:
        total["peak_memory_gib"] = costs.max()["peak_memory_gib"]
    ends = [dict(part="train", task="all", metric=m, value=v) for m, v in total.items()]
    return rows[~rows.task.isin(["all"])].to_dict("records") + ends


def _train_fields(configs: list[dict]) -> list[dict]:
    return _train_run([make_config(**fields) for fields in configs])


def train_run_apart(
    configs: list[Config],
    stop: threading.Event | None = None,  # when it is set, the process is ended
) -> list[dict]:  # rows of all its trainings
    """All trainings of one run in a process of its own, on one thread.

    Raises `UserError` with the last line of what went wrong there.
    """
    fields = [config.to_dict() for config in configs]
    return run_in_subprocess("mtl_course.studies.runner:_train_fields", dict(configs=fields), threads=1, stop=stop)


# many runs in one table


class _Job(NamedTuple):
    "A run with one seed that is still to be made."

    run: str
    seed: int
    configs: list[Config]


def read_study(path: str | Path) -> pd.DataFrame:  # STUDY_COLUMNS
    """A study's table; empty when there is none yet. Raises `UserError` for one that is none."""
    path = resolve(path)
    if not path.exists():
        return pd.DataFrame(columns=STUDY_COLUMNS)
    remedy = "mend the line, or delete it and make the run again"
    try:
        table = pd.read_csv(path, dtype={"config": str})
    except ValueError as e:
        raise UserError(f"{path}: not a csv table ({e}): expected that of a study; {remedy}") from None
    check_numbers(table, path, remedy)
    return table.reindex(columns=STUDY_COLUMNS)


def _store_rows(path: Path, job: _Job, rows):
    "Adds a run's rows to the table on the disk, to which another study may have added others."
    with locked(path):
        table = _add_rows(read_study(path), job, rows)
        with atomic_write(path) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")


def missing_runs(
    table: pd.DataFrame,  # STUDY_COLUMNS
    runs: dict,  # name -> fields that differ from the recipe
    seeds: list[int],
    recipe: str,
) -> list[_Job]:  # (run, seed, configs) each
    """What is still to be done, seed by seed."""
    done = set(zip(table.run, table.config, table.seed))
    jobs = []
    for seed in seeds:
        for name, fields in runs.items():
            configs = run_configs(fields, seed, recipe)
            if (name, config_hash(configs), seed) not in done:
                jobs.append(_Job(name, seed, configs))
    return jobs


def _rows_of_same_run(table: pd.DataFrame, job: _Job) -> pd.DataFrame | None:
    """The scores of a run with the same fields and seed that stands in the table under another
    name, or None.
    """
    same = table[(table.config == config_hash(job.configs)) & (table.seed == job.seed) & (table.run != job.run)]
    if same.empty:
        return None
    return same[same.run == same.run.iloc[0]][["part", "task", "metric", "value"]]


def _add_rows(table: pd.DataFrame, job: _Job, rows) -> pd.DataFrame:
    "The table with a run's rows in the place of older ones."
    steps = job.configs[0].epochs * job.configs[0].steps_per_epoch
    new = pd.DataFrame(rows).assign(run=job.run, config=config_hash(job.configs), seed=job.seed, steps=steps)
    old = table[~((table.run == job.run) & (table.seed == job.seed))]
    new = new[STUDY_COLUMNS]
    return pd.concat([old, new], ignore_index=True) if len(old) else new


def _copy_same_runs(path: Path, table: pd.DataFrame, jobs: list[_Job]) -> tuple[pd.DataFrame, list[_Job]]:
    """Writes runs that are in the table under another name, too; the table and what is left to
    train.
    """
    left = []
    for job in jobs:
        rows = _rows_of_same_run(table, job)
        if rows is None:
            left.append(job)
            continue
        table = _add_rows(table, job, rows)
        _store_rows(path, job, rows)
    return table, left


def _prepare_all_data(jobs: list[_Job], recipe: str, progress: bool):
    roots = {}
    for job in jobs:
        roots.update(dict.fromkeys(config.data_root for config in job.configs))
    for root in roots:
        prepare_data(make_config(recipe, data_root=root), progress)


def run_study(
    path: str | Path,  # of the csv that holds the table
    runs: dict[str, dict | list],  # name -> fields that differ from the recipe, or a list of such
    seeds: list[int],
    recipe: str = "study",
    workers: int | None = None,  # processes side by side, each on one thread; None: one per core, or one on the GPU
    progress: bool = True,
) -> pd.DataFrame:  # the table, with STUDY_COLUMNS
    """Makes the runs that are missing in the table. A run that fails is named, and the others go
    on.

    A run with the fields of another that is in the table already is not trained again: its rows are
    written
    under both names. Raises `UserError` for a field that does not exist. After Ctrl-C nothing new
    starts, the trainings end, and what was finished is in the table.
    """
    path = resolve(path)
    table = read_study(path)
    table, jobs = _copy_same_runs(path, table, missing_runs(table, runs, seeds, recipe))
    _prepare_all_data(jobs, recipe, progress)
    workers = workers or (1 if torch.cuda.is_available() else os.cpu_count() or 1)
    failures = []
    stored = set()
    stop = threading.Event()
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    running = {}
    try:
        for job in jobs:
            running[pool.submit(train_run_apart, job.configs, stop)] = job
        for future in tqdm(
            concurrent.futures.as_completed(running), path.stem, len(jobs), unit="run", disable=not progress
        ):
            job = running[future]
            if isinstance(future.exception(), UserError):
                failures.append(f"{job.run}, seed {job.seed}: {future.exception()}")
                continue
            table = _add_rows(table, job, future.result())
            _store_rows(path, job, future.result())
            stored.add(future)
    finally:  # after Ctrl-C, too
        stop.set()
        pool.shutdown(cancel_futures=True)
        for future in running.keys() - stored:
            if not future.cancelled() and future.exception() is None:
                _store_rows(path, running[future], future.result())
    for line in failures:
        print(f"failed: {line}", file=sys.stderr)
    return table
