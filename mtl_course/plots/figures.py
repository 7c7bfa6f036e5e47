"""A figure is a function of result files. Nobody types a number into a picture."""

import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter

from ..config import DETECTION_CLASSES, Config
from ..core.errors import UserError
from ..core.files import atomic_write
from ..core.statistics import wilson_interval
from ..core.task import TASKS
from ..evaluation.results import RESULT_COLUMNS, read_table
from ..world.signs import SIGN_NAMES
from .style import METRIC_LABELS, WIDTH, primary_label, style

__all__ = ["make_figures"]

LOG_FIELDS = ["kind", "epoch", "step", "task", "loss", "metric", "value"]  # of training.csv, those that figures use


def _read_log(results_dir, kind):
    "Rows of one kind of logs/training.csv; raises `UserError` when there are none."
    path = Path(results_dir) / "logs" / "training.csv"
    table = read_table(path, LOG_FIELDS)
    table = table[table["kind"] == kind]
    if table.empty:
        raise UserError(f"{path} has no row of kind {kind!r} yet; `make train` writes them")
    return table


def _tasks_in(table):
    return [t for t in TASKS if t in set(table["task"])]


def figure_1_loss_convergence(results_dir: str | Path) -> Figure:  # reads logs/training.csv
    """Loss against step, one panel per task on its own logarithmic scale: every step, and a running
    median over a twentieth of the run.
    """
    log = _read_log(results_dir, "step")
    tasks = _tasks_in(log)
    fig = Figure(figsize=(WIDTH, 1.35 * len(tasks) + 0.3))
    for ax, task in zip(fig.subplots(len(tasks), 1, sharex=True, squeeze=False)[:, 0], tasks):
        rows = log[log["task"] == task].sort_values("step")
        smooth = rows["loss"].rolling(max(1, len(rows) // 20), center=True, min_periods=1).median()
        ax.plot(rows["step"], rows["loss"], color=TASKS[task].colour, alpha=0.3, lw=0.6)
        ax.plot(rows["step"], smooth, color=TASKS[task].colour)
        if (rows["loss"] > 0).all():
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set(title=TASKS[task].title)
        ax.annotate(
            f"{smooth.iloc[-1]:.2f}",
            (rows["step"].iloc[-1], smooth.iloc[-1]),
            xytext=(0, 6),
            textcoords="offset points",
            ha="right",
            fontsize=7,
        )
    fig.axes[-1].set_xlabel("step")
    fig.supylabel("training loss (unweighted)", fontsize=8)
    return fig


def figure_2_accuracy_progression(results_dir: str | Path) -> Figure:  # reads logs/training.csv
    "Validation headline score of each task against epoch, in per cent."
    log = _read_log(results_dir, "epoch")
    fig = Figure(figsize=(WIDTH, 2.5))
    ax = fig.subplots()
    for task in _tasks_in(log):
        rows = log[(log["task"] == task) & (log["metric"] == TASKS[task].primary_metric)].sort_values("epoch")
        ax.plot(
            rows["epoch"],
            rows["value"],
            marker=TASKS[task].marker,
            ms=3.5,
            color=TASKS[task].colour,
            label=f"{TASKS[task].title}: {primary_label(task)}",
        )
        if len(rows):
            ax.annotate(
                f"{100 * rows['value'].iloc[-1]:.1f}",
                (rows["epoch"].iloc[-1], rows["value"].iloc[-1]),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color=TASKS[task].colour,
            )
    ax.set(xlabel="epoch", ylabel="validation score", ylim=(0, 1.02))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    fig.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncol=1, frameon=False)
    return fig


def select_run(
    table: pd.DataFrame,  # has the columns model, data_set, split
    model: str | None = None,  # None: multi_task when it is there, else the last one written
    data_set: str | None = None,  # None: the one written last
    split: str = "test",
) -> pd.DataFrame:
    """The rows of one model on one split of one data set, all seeds; raises `UserError` when there
    are none.
    """
    rows = table[table["split"] == split]
    if model is None and len(rows):
        model = "multi_task" if (rows["model"] == "multi_task").any() else rows["model"].iloc[-1]
    rows = rows[rows["model"] == model]
    if data_set is None and len(rows):
        data_set = rows["data_set"].iloc[-1]
    rows = rows[rows["data_set"] == data_set]
    if rows.empty:
        raise UserError(
            f"the results hold no row for model {model!r}, data set {data_set!r}, split {split!r}; "
            "`mtl_evaluate` writes them"
        )
    return _latest_evaluation(rows)


def _latest_evaluation(rows: pd.DataFrame) -> pd.DataFrame:
    "Of data roots of one name, and of a seed's checkpoints, those that were written last."
    if "data_root" in rows:
        root = rows["data_root"].astype(object).fillna("")
        rows = rows[root == root.iloc[-1]]
    if "checkpoint" in rows:
        checkpoint = rows["checkpoint"].astype(object).fillna("")
        rows = rows[checkpoint == checkpoint.groupby(rows["seed"]).transform("last")]
    return rows


def run_config(results_dir: str | Path) -> Config:
    "The config that a run left beside its results; raises `UserError` when it is missing."
    path = Path(results_dir) / "config.json"
    if not path.is_file():
        raise UserError(f"config.json: no such file in {results_dir}; `mtl_train` makes it")
    return Config.load(path)


def read_scores(
    results_dir: str | Path, made_by: str = "mtl_evaluate", **choice
) -> pd.DataFrame:  # choice: see `select_run`
    """Rows of one run in evaluation_results.csv; raises `UserError` with the command when there are
    none.
    """
    return select_run(read_table(Path(results_dir) / "evaluation_results.csv", RESULT_COLUMNS, made_by), **choice)


def _task_rows(table, task):
    rows = table[table["task"] == task]
    if rows.empty:
        raise UserError(f"the results hold no {task} scores; evaluate a model that was trained on {task}")
    return rows


def figure_4_per_class_accuracy(results_dir: str | Path, **choice) -> Figure:  # reads evaluation_results.csv
    """Accuracy of each of the 43 signs, mean over seeds, with the 95 % Wilson interval and number
    of the images (of one seed: all seeds see the same).
    """
    rows = _task_rows(read_scores(results_dir, **choice), "classification")
    wide = (
        rows[rows["class"] != "all"]
        .pivot_table(index=["class", "seed"], columns="metric", values="value")
        .reset_index()
    )
    total = wide.groupby("class")[["accuracy", "images"]].mean().reindex(SIGN_NAMES).fillna(0)
    fig = Figure(figsize=(WIDTH, 6.2))
    ax = fig.subplots()
    y, seen = np.arange(len(total)), (total["images"] > 0).to_numpy()
    share, n = total["accuracy"][seen], total["images"][seen]
    low, high = wilson_interval(share, n)
    ax.hlines(y[seen], low, high, color=TASKS["classification"].colour, alpha=0.45, lw=2)
    ax.plot(share, y[seen], "o", ms=3, color=TASKS["classification"].colour)
    for k in y:
        ax.text(1.03, k, f"{int(total['images'].iloc[k])}", fontsize=5.5, va="center", color="#666666")
    ax.text(1.03, -1.6, "images", fontsize=5.5, color="#666666")
    ax.set(
        yticks=y,
        ylim=(len(total) - 0.5, -0.7),
        xlim=(min(0.9, max(0, low.min() - 0.05)), 1.005),
        xlabel="accuracy (95 % interval)",
    )
    ax.set_yticklabels([f"{name}  {k}" for k, name in enumerate(SIGN_NAMES)], fontsize=5.5)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return fig


def _bars(ax, table, labels, colour):
    """Horizontal bars of `value`, one per row of labels {key: text}, with the range over the seeds,
    or one seed's bootstrap interval where there is one.
    """
    groups = [table[(table["key"] == key) & table["value"].notna()] for key in labels]
    for k, rows in enumerate(groups):
        if rows.empty:
            ax.text(0.01, k, "none in the split", va="center", fontsize=6, color="#666666")
            continue
        values = rows["value"]
        ends = (
            rows.reindex(columns=["low", "high"]).iloc[0] if len(rows) == 1 else pd.Series([values.min(), values.max()])
        )
        ax.barh(k, values.mean(), color=colour, height=0.65, alpha=0.85)
        if ends.notna().all():
            ax.hlines(k, *ends, color="black", lw=1)
        ax.text(
            max(values.max(), ends.fillna(0).max()) + 0.02, k, f"{100 * values.mean():.1f}", va="center", fontsize=6.5
        )
    ax.set(
        yticks=range(len(labels)),
        yticklabels=list(labels.values()),
        ylim=(len(labels) - 0.5, -0.5),
        xlim=(0, 1.15),
        xticks=[0, 0.25, 0.5, 0.75, 1],
    )
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.grid(axis="y", visible=False)


class _Panel(NamedTuple):
    """The bars of one task."""

    task: str
    table: pd.DataFrame  # has the columns key and value
    labels: dict  # key -> what stands beside its bar
    title: str


def _score_panels(rows: pd.DataFrame) -> list[_Panel]:  # RESULT_COLUMNS
    "A panel per task, and one with the detector's AP50 of each class."
    panels = []
    for task in _tasks_in(rows):
        table = rows[(rows["task"] == task) & (rows["class"] == "all")]
        names = METRIC_LABELS | {k: v for k, v in TASKS[task].metrics.items() if k not in METRIC_LABELS}
        labels = {metric: label for metric, label in names.items() if metric in set(table["metric"])}
        panels.append(_Panel(task, table.assign(key=table["metric"]), labels, TASKS[task].title))
    if "detection" in _tasks_in(rows):
        table = rows[(rows["task"] == "detection") & (rows["metric"] == "ap50")]
        labels = {name: name for name in DETECTION_CLASSES}
        panels.append(_Panel("detection", table.assign(key=table["class"]), labels, "detection: AP50 per class"))
    return panels


def evaluation_summary(results_dir: str | Path, **choice) -> Figure:  # reads evaluation_results.csv
    """The scores of every task, and the detector's AP50 per class; bars are means over seeds, lines
    their range (of one seed: its 95 % bootstrap interval).
    """
    rows = read_scores(results_dir, **choice)
    panels = _score_panels(rows)
    heights = [0.4 + 0.17 * len(panel.labels) for panel in panels]
    fig = Figure(figsize=(WIDTH, sum(heights) + 0.3))
    axes = fig.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, panel in zip(axes, panels):
        _bars(ax, panel.table, panel.labels, TASKS[panel.task].colour)
        ax.set_title(panel.title)
    run = rows.iloc[0]
    seeds = rows["seed"].nunique()
    title = f"{run['model']} on {run['data_set']}, {run['split']} split, {seeds} seed{'s' * (seeds > 1)}"
    fig.suptitle(title, fontsize=8)
    return fig


def confusion_matrix_figure(
    results_dir: str | Path, top: int = 8, **choice
) -> Figure:  # reads confusion_matrix.csv; confusions to name
    """The 43×43 confusion matrix as shares of each true class, with its largest confusions named
    (all seeds together).
    """
    columns = ["model", "data_set", "split", "truth", "predicted", "count"]
    rows = select_run(read_table(Path(results_dir) / "confusion_matrix.csv", columns, "mtl_evaluate"), **choice)
    counts = (
        rows.pivot_table(index="truth", columns="predicted", values="count", aggfunc="sum")
        .reindex(index=SIGN_NAMES, columns=SIGN_NAMES)
        .fillna(0)
        .to_numpy()
    )
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    fig = Figure(figsize=(WIDTH, 5.0))
    ax, side = fig.subplots(2, 1, height_ratios=[5, 3])
    side.axis("off")
    image = ax.imshow(share, cmap="Blues", norm=matplotlib.colors.PowerNorm(0.5, 0, 1))
    ax.set(xlabel="predicted class", ylabel="true class", xticks=range(0, 43, 5), yticks=range(0, 43, 5))
    ax.grid(False)
    bar = fig.colorbar(image, ax=ax, shrink=0.75, format=PercentFormatter(1, decimals=0))
    bar.set_label("share of the true class", fontsize=7)
    text = "\n".join(_largest_confusions(counts, top))
    side.text(0, 1, text, transform=side.transAxes, va="top", fontsize=6, linespacing=1.4)
    return fig


def _largest_confusions(counts: np.ndarray, top: int) -> list[str]:  # (43, 43), true class by predicted one
    "Lines that name the most frequent confusions."
    wrong = counts * (1 - np.eye(43))
    order = [i for i in np.argsort(-wrong, axis=None)[:top] if wrong.flat[i] > 0]
    if not order:
        return ["no confusion at all"]
    lines = ["most frequent confusions"]
    for true, predicted in (divmod(i, 43) for i in order):
        share = f"{int(counts[true, predicted])} of {int(counts[true].sum())}"
        lines.append(f"{SIGN_NAMES[true]} ({true})\n   → {SIGN_NAMES[predicted]} ({predicted}): {share}")
    return lines


RUN_FIGURES = {
    "figure_1_loss_convergence": figure_1_loss_convergence,
    "figure_2_accuracy_progression": figure_2_accuracy_progression,
    "figure_4_per_class_accuracy": figure_4_per_class_accuracy,
    "evaluation_summary": evaluation_summary,
    "confusion_matrix": confusion_matrix_figure,
}  # file name -> function of the results folder


def save_figure(figure: Figure, path: Path) -> Path:
    """Writes a figure; the ending of `path` chooses the format (png, pdf, svg). The same figure
    gives the same bytes.
    """
    metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(path.suffix[1:])
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], metadata=metadata)
    return path


def make_figures(
    results_dir: str | Path = "results",  # holds logs/ and the tables; figures are written here
    format: str = "png",  # png, pdf or svg
    names: list | None = None,  # some of `figures`; None: all whose input is there
    figures: dict = RUN_FIGURES,  # file name -> function of the results folder
) -> list[Path]:  # the files written
    """Draws figures from result files; raises `UserError` for an unknown name or format, and for
    missing input of a named figure (or of all).
    """
    if format not in ("png", "pdf", "svg"):
        raise UserError(f"unknown figure format {format!r}: expected png, pdf or svg")
    for name in names or ():
        if name not in figures:
            raise UserError(f"unknown figure {name!r}: expected one of {', '.join(figures)}")
    files, missing = [], {}
    for name in names or figures:
        try:
            with style():
                files.append(save_figure(figures[name](results_dir), Path(results_dir) / f"{name}.{format}"))
        except UserError as e:
            if names:
                raise
            missing[name] = e
        except (ValueError, TypeError, KeyError, IndexError) as e:  # a table of a form that nobody thought of
            error = UserError(f"its tables are not as they were written ({type(e).__name__}: {e}): make them anew")
            if names:
                raise error from e
            missing[name] = error
    if not files:
        raise UserError(f"no figure can be made: {next(iter(missing.values()))}")
    for name, e in missing.items():
        print(f"{name} is left out: {e}", file=sys.stderr)
    return files
