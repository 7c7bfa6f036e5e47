"""What one shared network costs beside three: parameters, time, operations, memory."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from ..config import Config
from ..core.colours import OKABE_ITO
from ..core.errors import UserError
from ..core.task import TASKS
from ..evaluation.results import read_table
from .style import WIDTH, part_colours

__all__ = []

EFFICIENCY_COLUMNS = (
    "device backbone detection_neck what model part size batch precision mode metric value low high"
).split()
COMMAND = "python benchmarks/efficiency.py"


def read_efficiency(
    results_dir: str | Path,
    config: Config | None = None,  # None: the network measured last
) -> pd.DataFrame:
    """Rows of efficiency.csv of one network on the device measured last; raises `UserError` with
    the command when there are none.
    """
    command = COMMAND
    if config:
        command += f" --backbone {config.backbone_name} --neck {config.detection_neck}"
    table = read_table(Path(results_dir) / "efficiency.csv", EFFICIENCY_COLUMNS, command)
    table = table[table["what"] != "quality"]  # of the study's network, for reading beside the costs
    if config:
        table = table[(table["backbone"] == config.backbone_name) & (table["detection_neck"] == config.detection_neck)]
    if table.empty:
        raise UserError(
            f"efficiency.csv in {results_dir} has no row of the network in config.json; `{command}` makes them"
        )
    same = ["device", "backbone", "detection_neck"]
    return table[(table[same] == table[same].iloc[-1]).all(axis=1)]


def count_parameters(table: pd.DataFrame) -> dict:  # rows of efficiency.csv -> {way: {part: millions}}
    """Millions of parameters of each part, of three networks and of the shared one."""
    rows = table[table["what"] == "parameters"]
    if rows.empty:
        raise UserError(f"efficiency.csv has no parameters; `{COMMAND}` writes them")
    millions = {}
    for name, models in (("three networks", TASKS), ("shared network", ("shared",))):
        of_models = rows[rows["model"].isin(models)]
        millions[name] = {part: of_models[of_models["part"] == part]["value"].sum() / 1e6 for part in part_colours()}
    return millions


def draw_parameters(ax, table: pd.DataFrame):  # rows of efficiency.csv
    """Millions of parameters by part, of the shared network and of three."""
    millions = count_parameters(table)
    colours = part_colours()
    for y, parts in enumerate(millions.values()):
        left = 0
        for part, n in parts.items():
            ax.barh(y, n, left=left, color=colours[part], height=0.6, label=part if y == 0 else None)
            left += n
        ax.text(left, y, f" {left:.1f}", va="center", fontsize=6.5)
    ax.set(yticks=[0, 1], yticklabels=list(millions), xlabel="parameters (millions)", xlim=(0, 1.22 * ax.dataLim.x1))
    ax.grid(axis="y", visible=False)
    place = dict(loc="lower left", bbox_to_anchor=(-0.35, 1))
    ax.legend(ncol=4, frameon=False, fontsize=6, columnspacing=0.8, handlelength=1, **place)


def _quartiles(rows, unit: float = 1):
    "Lengths of the whiskers below and above, (2, N)."
    return np.abs(rows[["low", "high"]].to_numpy().T - rows["value"].to_numpy()) / unit


def _draw_by_batch(
    ax,
    rows: pd.DataFrame,  # of efficiency.csv, one metric
    names: dict,  # model -> its name in the legend
    label: str,  # of the vertical axis
    unit: float = 1,  # what the values are divided by
):
    "Value against batch size, one line per way, with quartiles where they are."
    looks = ((OKABE_ITO["black"], "o"), (OKABE_ITO["orange"], "D"))
    for (model, name), (colour, marker) in zip(names.items(), looks):
        line = rows[rows["model"] == model].sort_values("batch")
        error = None if line["low"].isna().all() else _quartiles(line, unit)
        batch = line["batch"].astype(int).astype(str)
        ax.errorbar(batch, line["value"] / unit, error, color=colour, marker=marker, ms=3, lw=1, label=name)
    size = rows["size"].iloc[0] if len(rows) else ""
    ax.set(xlabel=f"images per task ({size})", ylabel=label)
    ax.set_ylim(bottom=0)


def _draw_latency(ax, table: pd.DataFrame):  # rows of efficiency.csv
    "How many times as long three passes take as one, with quartiles."
    rows = table[(table["what"] == "latency") & (table["model"] == "ratio")]
    names = []
    for row in rows.itertuples():
        compiled = ", compiled" if row.mode == "compiled" else ""
        names.append(f"{row.size}, {int(row.batch)}×, {row.precision}{compiled}")
    black = OKABE_ITO["black"]
    ax.errorbar(rows["value"], range(len(rows)), xerr=_quartiles(rows), fmt="o", ms=3, color=black, lw=1)
    ax.axvline(1, color="#999999", lw=0.8, ls="--")
    ax.set(
        yticks=range(len(rows)),
        ylim=(len(rows) - 0.4, -0.6),
        xlabel="time of three passes / time of one",
        xlim=(0.8, None),
    )
    ax.set_yticklabels(names, fontsize=5.5)


def _draw_operations(ax, table: pd.DataFrame):  # rows of efficiency.csv
    "Operations of one pass and of three at each image size."
    rows = table[table["what"] == "operations"]
    sizes = list(dict.fromkeys(rows["size"]))
    for k, (model, colour) in enumerate((("three passes", OKABE_ITO["orange"]), ("one pass", OKABE_ITO["black"]))):
        values = rows[rows["model"] == model].set_index("size")["value"].reindex(sizes) / 1e9
        places = np.arange(len(sizes)) + 0.36 * (k - 0.5)
        ax.bar(places, values, 0.34, color=colour)
        for x, value in zip(places, values):
            ax.text(x, value, f"{value:.3g}", ha="center", va="bottom", fontsize=5.5)
    ax.set(
        xticks=range(len(sizes)),
        ylabel="operations (billions)",
        xlabel="image size",
        yscale="log",
        ylim=(None, 2 * rows["value"].max() / 1e9),
    )
    ax.set_xticklabels(sizes, fontsize=5.5)
    ax.grid(axis="x", visible=False)
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def efficiency_analysis(results_dir: str | Path) -> Figure:  # reads efficiency.csv
    """Parameters, latency, operations, seconds and memory of a training step: one shared network
    against three.
    """
    table = read_efficiency(results_dir)
    ratios = ((table["what"] == "latency") & (table["model"] == "ratio")).sum()
    fig = Figure(figsize=(WIDTH, 4.6 + 0.15 * ratios))
    axes = fig.subplot_mosaic("pp;ll;ot;mm", height_ratios=[1, max(1, 0.17 * ratios), 1.4, 1.2])
    draw_parameters(axes["p"], table)
    _draw_latency(axes["l"], table)
    _draw_operations(axes["o"], table)
    names = {"shared": "one shared network", "three single": "three networks"}
    steps = table[(table["what"] == "training step") & table["model"].isin(names)]
    _draw_by_batch(axes["t"], steps, names, "seconds per step")
    _draw_by_batch(axes["m"], table[table["what"] == "training memory"], names, "peak memory (GiB)", 2**30)
    axes["m"].legend(frameon=False, loc="upper left")
    network = table.iloc[0]
    title = f"{network['backbone']}, {network['detection_neck']} detection neck, on {network['device']}"
    fig.suptitle(title, fontsize=8)
    return fig
