"""Writes the README's table of scores from result files, so that no number there is typed by hand.

python benchmarks/readme_tables.py
"""

import pandas as pd
from fastcore.script import call_parse
from mtl_course.core.errors import UserError
from mtl_course.core.files import resolve
from mtl_course.core.statistics import mean_and_interval
from readme_markers import write_between

START, END = "<!-- scores: python benchmarks/readme_tables.py -->", "<!-- end of scores -->"
ROWS = [
    ("classification", "accuracy", "signs: top-1 accuracy"),
    ("detection", "map50", "objects: mAP50"),
    ("detection", "map50_95", "objects: mAP50:95"),
    ("lane", "iou", "lanes: IoU"),
    ("lane", "f1", "lanes: F1"),
    ("all", "minutes", "minutes, the world included"),
    ("all", "peak_memory_gib", "memory of all processes together, GiB"),
]


def row(name: str, values: pd.Series, digits: int) -> str:  # one value a seed
    "A line of the table: the mean over seeds and its 95 % interval, where there is more than one."
    mean, low, high = mean_and_interval(values.dropna())
    interval = "one run" if pd.isna(low) else f"{low:.{digits}f} – {high:.{digits}f}"
    return f"| {name} | {mean:.{digits}f} | {interval} |"


def table() -> str:
    "The markdown table."
    rows = pd.read_csv(resolve("results/laptop_seeds.csv")).query("recipe == 'laptop'")
    if "config" not in rows or rows.config.nunique(dropna=False) != 1:
        raise UserError(
            "results/laptop_seeds.csv has rows of several configs: expected one laptop recipe (column config); "
            "run benchmarks/laptop_seeds.py again"
        )
    seeds = rows.pivot(index=["task", "metric"], columns="seed", values="value")
    lines = [f"| | mean of {len(seeds.columns)} seeds | 95 % interval |", "| --- | ---: | ---: |"]
    for task, metric, name in ROWS:
        lines.append(row(name, seeds.loc[(task, metric)], 1 if task == "all" else 3))
    return "\n".join(lines)


@call_parse
def main():
    "Puts the table into README.md."
    write_between(resolve("README.md"), START, END, table())
    print(table())
