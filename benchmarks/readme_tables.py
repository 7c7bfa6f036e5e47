"""Writes the README's table of scores from result files, so that no number there is typed by hand.

python benchmarks/readme_tables.py
"""

import pandas as pd
from fastcore.script import call_parse
from mtl_course.core.errors import UserError
from mtl_course.core.files import resolve
from readme_markers import write_between

START, END = "<!-- scores: python benchmarks/readme_tables.py -->", "<!-- end of scores -->"
ROWS = [
    ("classification", "accuracy", "sign top-1 accuracy", 0.95),
    ("detection", "map50", "detection mAP50", 0.60),
    ("detection", "map50_95", "detection mAP50:95", None),
    ("lane", "iou", "lane IoU", 0.70),
    ("lane", "f1", "lane F1", 0.82),
    ("all", "minutes", "minutes, the world included", 12),
    ("all", "peak_memory_gib", "memory of all processes together, GiB", 6),
]


def table() -> str:
    "The markdown table."
    rows = pd.read_csv(resolve("results/laptop_seeds.csv")).query("recipe == 'laptop'")
    if "config" not in rows or rows.config.nunique(dropna=False) != 1:
        raise UserError(
            "results/laptop_seeds.csv: expected rows of one laptop recipe (column config): run benchmarks/laptop_seeds.py again"
        )
    seeds = rows.pivot(index=["task", "metric"], columns="seed", values="value")
    lines = [
        "| | target | mean | " + " | ".join(f"seed {s}" for s in seeds) + " |",
        "| --- | ---: " + "| ---: " * (1 + len(seeds.columns)) + "|",
    ]
    for task, metric, name, target in ROWS:
        values, form = (
            seeds.loc[(task, metric)],
            lambda v: "–" if pd.isna(v) else f"{v:.1f}" if task == "all" else f"{v:.3f}",
        )
        wanted = (
            ""
            if target is None
            else f"{'≤' if task == 'all' else '≥'} {target:g}"
            if task == "all"
            else f"≥ {target:.2f}"
        )
        lines.append(f"| {name} | {wanted} | {form(values.mean())} | " + " | ".join(form(v) for v in values) + " |")
    return "\n".join(lines)


@call_parse
def main():
    "Puts the table into README.md."
    write_between(resolve("README.md"), START, END, table())
    print(table())
