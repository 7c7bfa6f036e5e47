"""Scores, minutes and peak memory of the `laptop` recipe: each seed is one `mtl_train`, a process.

    python benchmarks/laptop_seeds.py --seeds 0,1,2

The rows "laptop of 800 steps" are of the recipe before, which the changes of
`recipes.FIRST_LAPTOP` bring back; with backbone_name=resnet18, steps_per_epoch=120 and
train_proposals=300 on top it is the deeper backbone in the same time.

Writes results/laptop_seeds.csv (one tidy row per seed × metric), results/laptop_objects.csv
(objects per class in the training split) and, of seed 0, results/laptop_log.csv (its
logs/training.csv). A seed that is there already is kept, so the command can be continued. The
column `config` is a short hash of the recipe's values: when they change, the rows of the old
recipe are dropped, so that a mean is always one of the same recipe. Memory is the sum over all
processes of the run (what they share is counted in each), sampled twice a second.
"""

import hashlib, json, shutil, subprocess, sys, time
from pathlib import Path
import numpy as np, pandas as pd, psutil
from fastcore.script import Param, call_parse, store_true
from mtl_course.config import DETECTION_CLASSES, Config, make_config
from mtl_course.core.files import atomic_write, resolve
from mtl_course.data.sources import make_reader, prepare_data

COLUMNS = ["recipe", "config", "seed", "task", "metric", "value"]
HEADLINES = [
    ("classification", "accuracy"),
    ("classification", "macro_f1"),
    ("detection", "map50"),
    ("detection", "map50_95"),
    ("lane", "iou"),
    ("lane", "f1"),
    ("lane", "pixel_accuracy"),
]


def changed(changes: str) -> dict:  # name=value,name=value -> fields of a config
    return dict(c.split("=") for c in changes.split(",") if c)


def recipe_hash(recipe: str, changes: str = "") -> str:  # 8 hex digits
    "A hash of a recipe's values, those left out that differ from seed to seed."
    defaults = Config().to_dict()  # a field that is added later, at its default, changes nothing
    values = {
        k: v
        for k, v in make_config(recipe, **changed(changes)).to_dict().items()
        if k not in ("seed", "results_dir") and v != defaults[k]
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def label(recipe: str, changes: str) -> str:  # in the column `recipe`
    return f"{recipe}, {changes}" if changes else recipe


def kept_rows(path: Path, recipe: str, changes: str = "") -> pd.DataFrame:  # with COLUMNS
    "The rows measured so far, without those of this recipe under other values; tells of those."
    table = (pd.read_csv(path, dtype={"config": str}) if path.exists() else pd.DataFrame()).reindex(columns=COLUMNS)
    old = (table.recipe == label(recipe, changes)) & (table.config != recipe_hash(recipe, changes))
    if old.any():
        print(
            f"{old.sum()} rows of seeds {', '.join(str(s) for s in sorted(set(table[old].seed)))} are dropped: "
            f"the recipe {recipe!r} had other values then"
        )
    return table[~old]


def run_watched(command: list) -> float:  # GiB
    """The most memory that a command and its processes held at once.

    Raises `CalledProcessError`.
    """
    process, peak = psutil.Popen(command), 0
    while process.poll() is None:
        try:
            peak = max(peak, sum(p.memory_info().rss for p in (process, *process.children(recursive=True))))
        except psutil.Error:
            pass  # one of them has just ended
        time.sleep(0.5)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return peak / 2**30


def run_seed(seed: int, recipe: str, changes: str = "", clock: bool = True) -> list[dict]:
    "Trains and evaluates one seed; returns its rows (without `clock` none for the minutes)."
    folder, world = resolve(f"results/seeds/{seed}"), resolve(make_config(recipe).data_root)
    if clock and world.name.startswith("world"):
        shutil.rmtree(world, ignore_errors=True)  # each run makes its world, as in a fresh clone
    began = time.perf_counter()
    options = [f"--{name}={value}" for name, value in changed(changes).items()]
    memory = run_watched(
        [
            Path(sys.executable).with_name("mtl_train"),
            "--recipe",
            recipe,
            "--seed",
            str(seed),
            "--results_dir",
            str(folder),
            "--overwrite",
            *options,
        ]
    )
    minutes = (time.perf_counter() - began) / 60
    table = pd.read_csv(folder / "evaluation_results.csv").query("split == 'test'")
    scores, detection = (
        table[table["class"] == "all"].drop_duplicates(["task", "metric"]).set_index(["task", "metric"]).value,
        table[(table.task == "detection") & (table.metric == "ap50")],
    )
    rows = (
        [dict(task=t, metric=m, value=scores[t, m]) for t, m in HEADLINES]
        + [dict(task="all", metric="minutes", value=minutes)] * clock
        + [dict(task="all", metric="peak_memory_gib", value=memory)]
    )
    rows += [dict(task="detection", metric=f"ap50 {c}", value=v) for c, v in zip(detection["class"], detection.value)]
    return [dict(recipe=label(recipe, changes), config=recipe_hash(recipe, changes), seed=seed, **r) for r in rows]


def objects_of(recipe: str) -> pd.DataFrame:  # one row per class
    "How many objects of each class the training split holds, and their width in the input, pixels."
    prepare_data(make_config(recipe))
    reader = make_reader(make_config(recipe), "detection", "train")
    samples = [reader[i] for i in range(len(reader))]
    kinds = np.concatenate([np.array(sample["labels"].tolist()) for sample in samples])
    boxes = np.concatenate([np.array(sample["boxes"].tolist()).reshape(-1, 4) for sample in samples])
    widths = boxes[:, 2] - boxes[:, 0]
    return pd.DataFrame(
        [
            dict(
                object=name,
                train_objects=int((kinds == k).sum()),
                median_width=float(np.median(widths[kinds == k])) if (kinds == k).any() else float("nan"),
            )
            for k, name in enumerate(DETECTION_CLASSES, 1)
        ]
    )


@call_parse
def main(
    seeds: Param("seeds, comma-separated", str) = "0,1,2",
    recipe: Param("recipe to train", str) = "laptop",
    changes: Param("fields that differ from it, name=value,name=value", str) = "",
    no_clock: Param("leave out the minutes: other work shares the machine", store_true) = False,
):
    "Trains a recipe with several seeds and tabulates the scores on the test part."
    path, name = resolve("results/laptop_seeds.csv"), label(recipe, changes)
    table = kept_rows(path, recipe, changes)
    for seed in map(int, seeds.split(",")):
        if ((table.recipe == name) & (table.seed == seed)).any():
            print(f"seed {seed}: measured already")
            continue
        new = pd.DataFrame(run_seed(seed, recipe, changes, not no_clock))
        table = pd.concat([table, new] if len(table) else [new], ignore_index=True)
        with atomic_write(path) as t:
            table.to_csv(t, index=False)
        if seed == 0 and name == "laptop":
            with atomic_write(resolve("results/laptop_log.csv")) as t:
                shutil.copyfile(resolve("results/seeds/0/logs/training.csv"), t)
    if name == "laptop":
        with atomic_write(resolve("results/laptop_objects.csv")) as t:
            objects_of(recipe).to_csv(t, index=False)
    shown = (
        table[table.recipe == name]
        .groupby(["task", "metric"], sort=False)
        .value.agg(["mean", "std", "min", "max", "count"])
    )
    print(shown.round(4).to_string())
