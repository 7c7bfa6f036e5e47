"""How much data each task has, and how unequal its classes are."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ..config import Config
from ..core.errors import UserError
from ..core.files import atomic_write, resolve
from ..core.task import TASKS
from ..data.sources import make_reader
from ..evaluation.results import read_table
from .figures import run_config
from .style import WIDTH

__all__ = ["COUNT_COLUMNS", "count_data", "write_data_counts"]

COUNT_COLUMNS = ["part", "task", "class", "unit", "count"]
MANY_CLASSES = 12  # more have no room for their names


def count_data(config: Config) -> pd.DataFrame:  # COUNT_COLUMNS
    """Images of each split and task, and signs, objects and lane pixels (at the size the network
    sees) of each class, from the labels of a run's data.
    """
    splits = ("train", "val", "test") if config.split_rule == "held_out" else ("train", "val")
    rows = []
    for split in splits:
        for task in config.tasks:
            reader = make_reader(config, task, split)
            rows.append((split, task, "all", "images", len(reader)))
            unit, counts = TASKS[task].count_classes(reader, config.image_size_of(task))
            rows += [(split, task, name, unit, int(n)) for name, n in counts.items()]
    return pd.DataFrame(rows, columns=COUNT_COLUMNS)


def write_data_counts(
    results_dir: str | Path,  # its config.json names the data
) -> Path:  # data_counts.csv in it
    """Counts the data of a run; raises `UserError` when its config or its data is missing."""
    results_dir = Path(results_dir)
    config = run_config(results_dir)
    root = resolve(config.data_root)
    if not root.is_dir():
        raise UserError(f"{root.name}: the data of the run is not there; `mtl_data make` or `mtl_data get` brings it")
    with atomic_write(results_dir / "data_counts.csv") as temporary:
        count_data(config).to_csv(temporary, index=False)
    return results_dir / "data_counts.csv"


def _draw_counts(ax, counts, colour, title, label):
    "Horizontal bars with their numbers, the most frequent on top."
    ax.barh(range(len(counts)), counts, color=colour, height=0.75)
    for k, n in enumerate(counts):
        ax.text(n, k, f" {n:,}", va="center", fontsize=6)
    ax.set(
        yticks=range(len(counts)),
        yticklabels=list(counts.index),
        ylim=(len(counts) - 0.4, -0.6),
        xlim=(0, max(1, counts.max()) * 1.3),
        xlabel=label,
    )
    ax.set_title(title, loc="left")
    ax.grid(axis="y", visible=False)
    ax.xaxis.get_major_locator().set_params(nbins=4)


def _draw_long_tail(ax, counts, colour):
    "Bars of many classes without their names, and how unequal they are."
    ax.bar(range(len(counts)), counts, color=colour, width=0.85)
    rare = counts[counts > 0]
    ax.set(xlabel="sign classes, most frequent first", ylabel="images", xticks=[], xlim=(-0.7, len(counts) - 0.3))
    ax.grid(axis="x", visible=False)
    ratio = f" (max / min = {rare.iloc[0] / rare.iloc[-1]:.3g})" if len(rare) else ""
    ax.set_title(f"images per sign{ratio}", loc="left")


def _draw_lane_share(ax, counts, colour):
    "One bar: which share of the pixels is a lane."
    share = counts["lane"] / counts.sum()
    ax.barh([0, 0], [share, 1 - share], left=[0, share], color=[colour, "#d9d9d9"], height=0.6)
    ax.set(yticks=[], xlim=(0, 1), xlabel="share of all pixels")
    ax.grid(visible=False)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_title(f"lanes cover {100 * share:.1f} % of the pixels", loc="left")


def _panel_height(counts) -> float:  # relative to the others
    "The room that the panel of a task needs: by the number of its classes."
    if len(counts) > MANY_CLASSES:
        return 1.0
    return 0.45 if "lane" in counts else len(counts) / 5


def _draw_classes(ax, counts, colour):
    "The classes of one task, in the way that suits their number."
    if len(counts) > MANY_CLASSES:
        _draw_long_tail(ax, counts, colour)
    elif "lane" in counts:
        _draw_lane_share(ax, counts, colour)
    else:
        _draw_counts(ax, counts, colour, "objects per class", "objects")


def data_counts_figure(results_dir: str | Path) -> Figure:  # reads data_counts.csv
    """Training images of each task, images of each sign, objects of each class, and the share of
    lane pixels.
    """
    made_by = "mtl_figures, where the run's config.json and its data are,"
    table = read_table(Path(results_dir) / "data_counts.csv", COUNT_COLUMNS, made_by)
    table = table[table["part"] == "train"]
    tasks = [t for t in TASKS if t in set(table["task"])]
    classes = {}
    for task in tasks:
        rows = table[(table["task"] == task) & (table["class"] != "all")]
        classes[task] = rows.set_index("class")["count"].sort_values(ascending=False, kind="stable")
    fig = Figure(figsize=(WIDTH, 1.5 * (1 + len(tasks)) + 0.1))
    heights = [0.8, *map(_panel_height, classes.values())]
    axes = fig.subplots(1 + len(tasks), 1, height_ratios=heights)
    images = table[table["class"] == "all"].set_index("task")["count"].reindex(tasks)
    titles = {task: TASKS[task].title for task in tasks}
    colours = [TASKS[task].colour for task in tasks]
    _draw_counts(axes[0], images.rename(index=titles), colours, "training images per task", "images")
    for ax, task in zip(axes[1:], tasks):
        _draw_classes(ax, classes[task], TASKS[task].colour)
    return fig
