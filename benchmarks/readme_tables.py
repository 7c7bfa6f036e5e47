"""Writes the README's scores and costs from result files, so that no number there is typed by hand.

python benchmarks/readme_tables.py
"""

import pandas as pd
from fastcore.script import call_parse
from mtl_course.core.errors import UserError
from mtl_course.core.files import resolve
from mtl_course.core.statistics import mean_and_interval
from readme_markers import write_between

START, END = "<!-- scores: python benchmarks/readme_tables.py -->", "<!-- end of scores -->"
BOX_START, BOX_END = "<!-- box: python benchmarks/readme_tables.py -->", "<!-- end of box -->"
COST_START, COST_END = "<!-- cost: python benchmarks/readme_tables.py -->", "<!-- end of cost -->"
COST_WAYS = {  # whose images -> way of benchmarks/balancing_cost.py -> its name here, the nearest rival first
    "own": {
        "separate": "one backward pass per loss",
        "streamed": "streamed",
        "autogram": "TorchJD's autogram engine",
        "torchjd_saving": "its `mtl_backward`",
    },
    "shared": {
        "separate": "one backward pass per loss",
        "shared_input": "`shared_input_backward`, approximate weights",
        "autogram": "autogram",
        "torchjd_saving": "`mtl_backward`",
    },
}
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


def box_table() -> str:
    "Scores of the network in the box, a column for each kind of pictures."
    rows = pd.read_csv(resolve("results/evening.csv"))
    whole = rows[(rows["class"] == "all") & (rows.difficulty == "all")]
    rows = whole.drop_duplicates(["data", "task", "metric"]).set_index(["data", "task", "metric"])
    places = {"world-evening": "its own world, held out", "world": "`make train`'s world, held out"}
    lines = [f"| | {' | '.join(places.values())} |", "| --- | ---: | ---: |"]
    for task, metric, name in ROWS:
        if task != "all":
            cells = [rows.loc[(place, task, metric)] for place in places]
            shown = " | ".join(f"{cell.value:.3f} ({cell.low:.3f} – {cell.high:.3f})" for cell in cells)
            lines.append(f"| {name} | {shown} |")
    return "\n".join(lines)


def costs() -> str:
    "Costs of a step by the way its gradients are made, over all tasks and threads."
    path = "results/balancing_cost_96.csv"
    table = pd.read_csv(resolve(path))
    if "images" not in table:
        raise UserError(
            f"{path} has no column images: expected today's table of benchmarks/balancing_cost.py; run it again"
        )
    size = f"{table.batch.iloc[0]} images of {table['size'].iloc[0]}×{table['size'].iloc[0]} for each task"
    own = f"Times a summed step's time (memory), {size}: {_costs_of(table, 'own')}."
    return f"{own} Where each image has all labels: {_costs_of(table, 'shared')}."


def _costs_of(table, images) -> str:
    parts = []
    for way, name in COST_WAYS[images].items():
        rows = table[(table.images == images) & (table.way == way)]
        if len(rows):
            parts.append(f"{name} {_range(rows.time_ratio)} ({_range(rows.memory_ratio)})")
    return "; ".join(parts)


def _range(values) -> str:
    low = f"{values.min():.2f}"
    high = f"{values.max():.2f}"
    return low if low == high else f"{low}–{high}"


@call_parse
def main():
    "Puts tables and costs into README.md, and that of the network in the box into its card, too."
    write_between(resolve("README.md"), START, END, table())
    print(table())
    for page in ("README.md", "mtl_course/weights/README.md"):
        write_between(resolve(page), BOX_START, BOX_END, box_table())
    print(box_table())
    try:
        cell = costs()
    except UserError as e:
        raise SystemExit(str(e)) from None
    write_between(resolve("README.md"), COST_START, COST_END, cell, inline=True)
    print(cell)
