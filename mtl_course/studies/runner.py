"""A comparison is only as fair as its bookkeeping: same budget, same data, same seeds, and every run in the table, the bad ones included."""

__all__ = [
    "SINGLE_TASK_RUNS",
    "STUDY_COLUMNS",
    "ENOUGH_SEEDS",
    "as_trainings",
    "run_configs",
    "config_hash",
    "head_tail_recall",
    "train_and_score",
    "train_run",
    "train_run_apart",
    "read_study",
    "missing_runs",
    "run_study",
    "headline_scores",
    "delta_m",
    "study_summary",
    "pareto_front",
]

import concurrent.futures, hashlib, json, os, sys, tempfile, time
from pathlib import Path
import numpy as np, pandas as pd, torch
from tqdm.auto import tqdm
from ..config import RENAMED_FIELDS, TASKS, Config, make_config
from ..core.errors import UserError
from ..core.files import atomic_write, resolve
from ..core.process import peak_memory, run_in_subprocess
from ..core.statistics import mean_and_interval
from ..data.loaders import evaluation_loader, prepare_data
from ..data.sampling import long_tail
from ..evaluation.evaluate import evaluate_task
from ..metrics.scores import PRIMARY_METRIC
from ..training.loop import train

SINGLE_TASK_RUNS = [dict(tasks=(t,)) for t in TASKS]  # the single-task baselines: three trainings
STUDY_COLUMNS = ["run", "config", "seed", "steps", "part", "task", "metric", "value"]


def as_trainings(fields: dict | list) -> list[dict]:  # one dictionary of fields for each training
    "A run's trainings: one, or several where a list is given."
    return list(fields) if isinstance(fields, (list, tuple)) else [fields]


def run_configs(fields: dict | list, seed: int, recipe: str = "study") -> list[Config]:  # one for each training
    "The configs of one run; raises `UserError` for a field that does not exist."
    return [make_config(recipe, **f | dict(seed=seed)) for f in as_trainings(fields)]


def config_hash(configs: list[Config]) -> str:  # 8 hex digits
    "A hash of what the trainings are about: of the values that differ from the defaults, without folders and machine."
    defaults, skip = (
        Config().to_dict(),
        {
            "recipe",
            "results_dir",
            "num_workers",
            "cache_images",
            "seed",
            "device",
            "checkpoint_every",
            "evaluate_every",
        },
    )
    old_names = {new: old for old, new in RENAMED_FIELDS.items()}  # hashes in stored tables were made with these
    values = []
    for config in configs:
        changed = {name: v for name, v in config.to_dict().items() if name not in skip and v != defaults.get(name)}
        values.append({old_names.get(name, name): v for name, v in changed.items()})
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def head_tail_recall(
    per_class: pd.DataFrame,
) -> dict[str, float]:  # one row per class, with `recall` -> metric -> value
    "Mean recall of the third of the classes that `class_skew` makes rarest and of the third that it leaves most frequent; classes without an image are left out."
    order = np.argsort(long_tail(len(per_class), 2.0))  # rarest first, whatever the skew
    third = len(order) // 3
    return {
        f"recall_{name}_third": float(per_class["recall"].iloc[part].mean())
        for name, part in (("rarest", order[:third]), ("most_frequent", order[len(order) - third :]))
    }


def train_and_score(config: Config) -> list[dict]:  # rows with part, task, metric, value
    "One training in this process and its scores after the last step; seconds, seconds per step and peak memory stand under the task `all`."
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run = train(
            make_config(
                **config.to_dict() | dict(results_dir=folder, evaluate_every=config.epochs, checkpoint_every=0)
            ),
            progress=False,
        )
        log, trained = pd.read_csv(f"{folder}/logs/training.csv"), time.perf_counter() - began
    last, device, precision = (
        log[(log.kind == "epoch") & (log.epoch == config.epochs)],
        next(run.model.parameters()).device.type,
        run.precision.precision,
    )
    memory = peak_memory(device) / 2**30
    results = {
        t: evaluate_task(run.model, evaluation_loader(config, "test", (t,)), t, device, precision) for t in config.tasks
    }
    test = {t: r.scores | (head_tail_recall(r.per_class) if t == "classification" else {}) for t, r in results.items()}
    step_seconds = log[log.kind == "step"].drop_duplicates("step").seconds.diff().median()
    return (
        [dict(part="val", task=r.task, metric=r.metric, value=r.value) for r in last.itertuples()]
        + [dict(part="test", task=t, metric=m, value=v) for t, scores in test.items() for m, v in scores.items()]
        + [
            dict(part="train", task="all", metric=m, value=v)
            for m, v in (("seconds", trained), ("step_seconds", step_seconds), ("peak_memory_gib", memory))
        ]
    )


def train_run(configs: list[Config]) -> list[dict]:  # rows of all its trainings
    "All trainings of one run, one after another; times are added, of memory the largest counts (in one process it can only grow)."
    rows = pd.DataFrame([r for c in configs for r in train_and_score(c)])
    together = rows[rows.task == "all"].groupby("metric", sort=False).value
    sums, most = together.sum(), together.max()
    ends = [
        dict(part="train", task="all", metric=m, value=most[m] if m == "peak_memory_gib" else sums[m])
        for m in sums.index
    ]
    return rows[rows.task != "all"].to_dict("records") + ends


def _train_fields(configs: list[dict]):
    return train_run([make_config(**c) for c in configs])


def train_run_apart(configs: list[Config]) -> list[dict]:  # as train_run
    "`train_run` in a process of its own, on one thread; raises `UserError` with the last line of what went wrong there."
    return run_in_subprocess(
        "mtl_course.studies.runner:_train_fields", dict(configs=[c.to_dict() for c in configs]), threads=1
    )


def read_study(path: str | Path) -> pd.DataFrame:  # with STUDY_COLUMNS
    "A study's table; empty when there is none yet."
    path = resolve(path)
    table = pd.read_csv(path, dtype={"config": str}) if path.exists() else pd.DataFrame()
    return table.reindex(columns=STUDY_COLUMNS)


def _write_study(path, table):
    with atomic_write(path) as t:
        table.to_csv(t, index=False, float_format="%.6g")


def missing_runs(
    table: pd.DataFrame, runs: dict, seeds: list[int], recipe: str
) -> list[tuple]:  # [(run, seed, configs)]
    "What is still to be done, seed by seed."
    done = set(zip(table.run, table.config, table.seed))
    todo = [(name, seed, run_configs(fields, seed, recipe)) for seed in seeds for name, fields in runs.items()]
    return [(name, seed, configs) for name, seed, configs in todo if (name, config_hash(configs), seed) not in done]


def _made_under_another_name(table, name, seed, configs):
    "The scores of a run with the same fields and seed that stands in the table under another name, or None."
    same = table[(table.config == config_hash(configs)) & (table.seed == seed) & (table.run != name)]
    return same[same.run == same.run.iloc[0]][["part", "task", "metric", "value"]] if len(same) else None


def _add_rows(table, name, seed, configs, rows):
    "The table with a run's rows in the place of older ones."
    steps = configs[0].epochs * configs[0].steps_per_epoch
    new = pd.DataFrame(rows).assign(run=name, config=config_hash(configs), seed=seed, steps=steps)[STUDY_COLUMNS]
    old = table[~((table.run == name) & (table.seed == seed))]
    return pd.concat([old, new], ignore_index=True) if len(old) else new


def run_study(
    path: str | Path,  # of the csv that holds the table
    runs: dict[str, dict | list],  # name -> fields that differ from the recipe, or a list of such
    seeds: list[int],
    recipe: str = "study",
    workers: int | None = None,  # processes side by side, each on one thread; None: one per core, or one on the GPU
    progress: bool = True,
) -> pd.DataFrame:  # the table, with STUDY_COLUMNS
    """Makes the runs that are missing in the table; raises `UserError` for a field that does not exist. A run that fails is named, and the others go on.

    A run with the fields of another that is in the table already is not trained again: its rows are written under both names."""
    path, table = resolve(path), read_study(path)
    todo = missing_runs(table, runs, seeds, recipe)
    for name, seed, configs in list(todo):
        if (rows := _made_under_another_name(table, name, seed, configs)) is None:
            continue
        table = _add_rows(table, name, seed, configs, rows)
        todo.remove((name, seed, configs))
        _write_study(path, table)
    for root in dict.fromkeys(c.data_root for _, _, configs in todo for c in configs):
        prepare_data(make_config(recipe, data_root=root), progress)
    workers, failed = workers or (1 if torch.cuda.is_available() else os.cpu_count() or 1), []
    with (
        concurrent.futures.ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(todo), desc=path.stem, unit="run", disable=not progress) as bar,
    ):
        waiting = {pool.submit(train_run_apart, configs): (name, seed, configs) for name, seed, configs in todo}
        for future in concurrent.futures.as_completed(waiting):
            name, seed, configs = waiting[future]
            try:
                table = _add_rows(table, name, seed, configs, future.result())
            except UserError as e:
                failed.append(f"{name}, seed {seed}: {e}")
            else:
                _write_study(path, table)
            bar.update()
            bar.set_postfix_str(f"{name}, seed {seed}")
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return table


def headline_scores(table: pd.DataFrame, part: str) -> pd.DataFrame:  # index (run, seed), one column per task
    "Accuracy, mAP50 and lane IoU of each run and seed."
    rows = table[(table.part == part) & (table.metric == table.task.map(PRIMARY_METRIC))]
    wide = rows.pivot_table(index=["run", "seed"], columns="task", values="value", sort=False)
    return wide[[t for t in TASKS if t in wide]]


def delta_m(
    table: pd.DataFrame, part: str = "test", baseline: str = "alone"
) -> pd.Series:  # index (run, seed), in percent
    """Mean over tasks of the change against the single-task baselines, as a part of their mean (Maninis et al. 2019, equation 3).

    Differences are taken from the baselines with the same seed, so their scatter is in the result; seeds without them are left out. Raises `UserError` when there are none."""
    scores = headline_scores(table, part)
    if baseline not in scores.index.get_level_values("run"):
        raise UserError(
            f"the table has no run {baseline!r} to compare with: run the study with its single-task baselines"
        )
    alone = scores.loc[baseline]
    same_seed = alone.reindex(scores.index.get_level_values("seed")).to_numpy()
    return 100 * ((scores - same_seed) / alone.mean()).mean(axis=1, skipna=False).dropna()


ENOUGH_SEEDS = 3  # below this no verdict is given: an interval over two has a factor of 12.7 instead of 4.3


def study_summary(
    table: pd.DataFrame, part: str = "test", baseline: str = "alone"
) -> pd.DataFrame:  # one row per run, sorted by Δm
    "Per run: seeds, mean headline scores, Δm in percent with its interval (NaN for a run without all tasks, last), seconds per step and peak memory."
    scores, change = headline_scores(table, part), delta_m(table, part, baseline)
    rows = []
    for run, own in scores.groupby(level="run", sort=False):
        mean, low, high = mean_and_interval(change[change.index.get_level_values("run") == run])
        cost = table[(table.run == run) & (table.task == "all")].groupby("metric").value.median()
        rows.append(
            dict(
                run=run,
                seeds=len(own),
                **own.mean(),
                delta_m=mean,
                low=low,
                high=high,
                step_seconds=cost.get("step_seconds"),
                peak_memory_gib=cost.get("peak_memory_gib"),
            )
        )
    return pd.DataFrame(rows).sort_values("delta_m", ascending=False, ignore_index=True)


def pareto_front(scores: np.ndarray) -> np.ndarray:  # (N, T), more is better -> (N,) bool
    "Which rows no other row dominates."
    scores = np.asarray(scores, float)
    no_worse, better = (
        (scores[None] >= scores[:, None]).all(2),
        (scores[None] > scores[:, None]).any(2),
    )  # [i, j]: j against i
    return ~(no_worse & better).any(1)
