"""Is the shared network worth it? Quality and cost, side by side, each with its uncertainty."""

__all__ = []

from pathlib import Path
import numpy as np, pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter, StrMethodFormatter
from ..config import TASKS, Config
from ..core.errors import UserError
from ..core.files import atomic_write, project_root, resolve
from ..data.loaders import make_reader
from ..evaluation.results import RESULT_COLUMNS, read_table
from ..studies.sharing import relative_change
from ..config import OKABE_ITO
from .figures import METRIC_LABELS, PART_COLOURS, TASK_COLOURS, TASK_LABELS, read_scores, run_config, select_run
from ..metrics.kitti_frames import KITTI_CLASSES
from ..metrics.scores import PRIMARY_METRIC, checkpoint_score

COUNT_COLUMNS = ["part", "task", "class", "unit", "count"]


def count_data(config: Config) -> pd.DataFrame:  # COUNT_COLUMNS
    """Images of each part and task, and signs, objects and lane pixels (at the size the network
    sees) of each class, from the labels of a run's data.
    """
    rows = []
    for part in ("train", "val", "test") if config.split_rule == "held_out" else ("train", "val"):
        for task in config.tasks:
            reader = make_reader(config, task, part)
            rows.append((part, task, "all", "images", len(reader)))
            unit, counts = TASKS[task].count_classes(reader, config.image_size_of(task))
            rows += [(part, task, name, unit, int(n)) for name, n in counts.items()]
    return pd.DataFrame(rows, columns=COUNT_COLUMNS)


def write_data_counts(results_dir: str | Path) -> Path:  # its config.json names the data -> data_counts.csv in it
    "Counts the data of a run; raises `UserError` when its config or its data is missing."
    results_dir, config = Path(results_dir), run_config(results_dir)
    root = resolve(config.data_root)
    if not root.is_dir():
        raise UserError(f"{root.name}: the data of the run is not there; `mtl_data make` or `mtl_data get` brings it")
    with atomic_write(results_dir / "data_counts.csv") as t:
        count_data(config).to_csv(t, index=False)
    return results_dir / "data_counts.csv"


def _count_bars(ax, counts, colour, title, label):
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


def _sign_bars(ax, counts):
    ax.bar(range(len(counts)), counts, color=TASK_COLOURS["classification"], width=0.85)
    rare = counts[counts > 0]
    ax.set(xlabel="sign classes, most frequent first", ylabel="images", xticks=[], xlim=(-0.7, len(counts) - 0.3))
    ax.grid(axis="x", visible=False)
    ratio = f" (max / min = {rare.iloc[0] / rare.iloc[-1]:.3g})" if len(rare) else ""
    ax.set_title(f"images per sign{ratio}", loc="left")


def data_counts_figure(results_dir: str | Path) -> Figure:  # reads data_counts.csv
    """Training images of each task, images of each sign, objects of each class, and the share of
    lane pixels.
    """
    table = read_table(
        Path(results_dir) / "data_counts.csv",
        COUNT_COLUMNS,
        "mtl_figures, where the run's config.json and its data are,",
    )
    table = table[table["part"] == "train"]
    tasks = [t for t in TASKS if t in set(table["task"])]
    each = {
        t: table[(table["task"] == t) & (table["class"] != "all")]
        .set_index("class")["count"]
        .sort_values(ascending=False, kind="stable")
        for t in tasks
    }
    fig = Figure(figsize=(3.5, 1.5 * (1 + len(tasks)) + 0.1))
    axes = fig.subplots(
        1 + len(tasks),
        1,
        height_ratios=[0.8] + [dict(classification=1, detection=1.4, lane=0.45).get(t, 1) for t in tasks],
    )
    images = table[table["class"] == "all"].set_index("task")["count"].reindex(tasks)
    _count_bars(
        axes[0],
        images.rename(index=TASK_LABELS),
        [TASK_COLOURS[t] for t in tasks],
        "training images per task",
        "images",
    )
    for ax, task in zip(axes[1:], tasks):
        if len(each[task]) > 12:
            _sign_bars(ax, each[task])
        elif "lane" not in each[task]:
            _count_bars(ax, each[task], TASK_COLOURS[task], "objects per class", "objects")
        else:
            share = each[task]["lane"] / each[task].sum()
            ax.barh([0, 0], [share, 1 - share], left=[0, share], color=[TASK_COLOURS[task], "#d9d9d9"], height=0.6)
            ax.set(yticks=[], xlim=(0, 1), xlabel="share of all pixels")
            ax.grid(visible=False)
            ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            ax.set_title(f"lanes cover {100 * share:.1f} % of the pixels", loc="left")
    return fig


SCORES = [(t, PRIMARY_METRIC[t], "all", "all", f"{METRIC_LABELS[PRIMARY_METRIC[t]]}") for t in TASKS]
SCORES[2:2] = [("detection", "kitti_ap_r40", name, "moderate", f"KITTI AP, {name}") for name in KITTI_CLASSES]
SCORES.append(("lane", "tusimple_accuracy", "all", "all", "TuSimple accuracy"))


def pick_score(
    rows: pd.DataFrame, task: str, metric: str, name: str = "all", difficulty: str = "all"
):  # RESULT_COLUMNS of one run -> (value, low, high), or None
    """One score: its 95 % interval with one seed, mean and range with several; NaN where there is
    no interval.
    """
    found = rows[
        (rows["task"] == task)
        & (rows["metric"] == metric)
        & (rows["class"] == name)
        & (rows["difficulty"] == difficulty)
    ].dropna(subset="value")
    if found.empty:
        return None
    if len(found) > 1:
        return found["value"].mean(), found["value"].min(), found["value"].max()
    return tuple(found[["value", "low", "high"]].iloc[0])


def score_figure(
    series: dict, note: str
) -> Figure:  # name -> {(task, metric, class, difficulty, label): (value, low, high)}
    """Dots with intervals, one row per score, one kind of dot per series: the first hollow, the
    last filled.
    """
    keys = [s for s in SCORES if any(s in found for found in series.values())]
    fig = Figure(figsize=(3.5, 0.9 + 0.27 * len(keys)))
    ax = fig.subplots()
    for k, (name, found) in enumerate(series.items()):
        last = k == len(series) - 1
        for y, key in enumerate(keys):
            if key not in found:
                continue
            (value, low, high), colour, at = found[key], TASK_COLOURS[key[0]], y + 0.17 * (2 * k - 1)
            ax.plot(
                [value],
                [at],
                "o" if last else "D",
                ms=4 if last else 3.5,
                mfc=colour if last else "white",
                mec=colour,
                zorder=3,
                clip_on=False,
            )
            if not np.isnan(low):
                ax.hlines(at, low, high, color=colour, lw=1, alpha=0.7)
            ax.text(
                1.03,
                at,
                f"{100 * value:.1f}",
                fontsize=5.5,
                va="center",
                color=colour,
                transform=ax.get_yaxis_transform(),
            )
        ax.plot(
            [],
            [],
            "o" if last else "D",
            ms=4 if last else 3.5,
            mfc="#444444" if last else "white",
            mec="#444444",
            ls="",
            label=name,
        )
    ax.set(yticks=range(len(keys)), ylim=(len(keys) - 0.45, -0.55), xlim=(0, 1), xlabel=f"score ({note})")
    ax.grid(axis="y", visible=False)
    ax.set_yticklabels([key[4] for key in keys])
    for tick, key in zip(ax.get_yticklabels(), keys):
        tick.set_color(TASK_COLOURS[key[0]])
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    fig.legend(loc="outside upper center", ncol=len(series), frameon=False)
    return fig


def _note(*tables):
    return "line: range over seeds" if max(t["seed"].nunique() for t in tables) > 1 else "line: 95 % interval"


def _run_rows(results_dir, **choice):
    return read_scores(results_dir, "mtl_train", **choice)


def _all_scores(rows):
    return {s: found for s in SCORES if (found := pick_score(rows, *s[:4])) is not None}


def _logged_scores(results_dir):
    """Validation scores of the log's best epoch (the mean of the headline scores decides, as in
    training).
    """
    log = read_table(Path(results_dir) / "logs" / "training.csv", ["kind", "epoch", "task", "metric", "value"])
    wide = log[(log["kind"] == "epoch")].pivot_table(index="epoch", columns=["task", "metric"], values="value")
    wide = wide[[(t, PRIMARY_METRIC[t]) for t in TASKS if (t, PRIMARY_METRIC[t]) in wide]]

    def score(epoch):
        return checkpoint_score({t: {metric: value} for (t, metric), value in wide.loc[epoch].items()})

    best = wide.loc[max(wide.index, key=score)].fillna(0) if len(wide) else {}
    return {s: (best[s[0], s[1]], np.nan, np.nan) for s in SCORES if (s[0], s[1]) in best}


def evaluation_comparison(
    results_dir: str | Path,
) -> Figure:  # reads evaluation_results.csv, and logs/training.csv where there are no validation rows
    "Validation and test scores of every task with their intervals, the official metrics beside."
    test = _run_rows(results_dir, split="test")
    try:
        val = _run_rows(results_dir, split="val", model=test["model"].iloc[0], data_set=test["data_set"].iloc[0])
    except UserError:
        return score_figure(
            {"validation (log, best epoch)": _logged_scores(results_dir), "test": _all_scores(test)}, _note(test)
        )
    return score_figure({"validation": _all_scores(val), "test": _all_scores(test)}, _note(test, val))


def _shown(path):
    path = Path(path)
    return path.relative_to(project_root()) if path.is_relative_to(project_root()) else path


def single_rows(
    results_dir: str | Path, shared: pd.DataFrame
) -> pd.DataFrame:  # results folder, rows of the shared network -> rows of the single-task ones
    """Scores of the single-task runs in single/<task>/ on the same data as the shared network's;
    raises `UserError` naming the command for a missing one.
    """
    tables = []
    for task in (t for t in TASKS if t in set(shared["task"])):
        place = Path(results_dir) / "single" / task
        table = read_table(
            place / "evaluation_results.csv", RESULT_COLUMNS, f"mtl_train --tasks {task} --results_dir {_shown(place)}"
        )
        rows = select_run(
            table, model=f"single_{task}", data_set=shared["data_set"].iloc[0], split=shared["split"].iloc[0]
        )
        tables.append(rows[rows["task"] == task])
    return pd.concat(tables, ignore_index=True)


def compare_single_runs(
    results_dir: str | Path,
) -> Figure:  # reads evaluation_results.csv here and in single/<task>/
    "Test scores of the shared network and of one network per task."
    shared = _run_rows(results_dir, model="multi_task", split="test")
    single = single_rows(results_dir, shared)
    return score_figure(
        {"one network per task": _all_scores(single), "shared network": _all_scores(shared)}, _note(shared, single)
    )


EFFICIENCY_COLUMNS = [
    "device",
    "backbone",
    "detection_neck",
    "what",
    "model",
    "part",
    "size",
    "batch",
    "precision",
    "mode",
    "metric",
    "value",
    "low",
    "high",
]


def read_efficiency(
    results_dir: str | Path, config: Config | None = None
) -> pd.DataFrame:  # None: the network measured last
    """Rows of efficiency.csv of one network on the device measured last; raises `UserError` with
    the command when there are none.
    """
    command = "python benchmarks/efficiency.py" + (
        f" --backbone {config.backbone_name} --neck {config.detection_neck}" if config else ""
    )
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


def _parameters(table):  # -> {way: {part: millions}}
    rows = table[table["what"] == "parameters"]
    if rows.empty:
        raise UserError("efficiency.csv has no parameters; `python benchmarks/efficiency.py` writes them")

    def count(part, models):
        return rows[(rows["part"] == part) & rows["model"].isin(models)]["value"].sum() / 1e6

    return {
        name: {p: count(p, models) for p in PART_COLOURS}
        for name, models in (("three networks", TASKS), ("shared network", ("shared",)))
    }


def parameter_bars(ax, table: pd.DataFrame):  # rows of efficiency.csv
    "Millions of parameters by part, of the shared network and of three."
    for y, (name, parts) in enumerate(_parameters(table).items()):
        left = 0
        for part, n in parts.items():
            ax.barh(y, n, left=left, color=PART_COLOURS[part], height=0.6, label=part if y == 0 else None)
            left += n
        ax.text(left, y, f" {left:.1f}", va="center", fontsize=6.5)
    ax.set(
        yticks=[0, 1],
        yticklabels=list(_parameters(table)),
        xlabel="parameters (millions)",
        xlim=(0, 1.22 * ax.dataLim.x1),
    )
    ax.grid(axis="y", visible=False)
    ax.legend(
        ncol=4,
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(-0.35, 1),
        fontsize=6,
        columnspacing=0.8,
        handlelength=1,
    )


def lines_by_batch(
    ax,
    rows: pd.DataFrame,  # of efficiency.csv, one metric
    names: dict,
    label: str,  # model -> its name in the legend; y axis
    unit: float = 1,
):  # what the values are divided by
    "Value against batch size, one line per way, with quartiles where they are."
    for (model, name), colour, marker in zip(names.items(), (OKABE_ITO["black"], OKABE_ITO["orange"]), "oD"):
        r = rows[rows["model"] == model].sort_values("batch")
        error = (
            None if r["low"].isna().all() else np.abs(r[["low", "high"]].to_numpy().T - r["value"].to_numpy()) / unit
        )
        ax.errorbar(
            r["batch"].astype(int).astype(str),
            r["value"] / unit,
            error,
            color=colour,
            marker=marker,
            ms=3,
            lw=1,
            label=name,
        )
    size = rows["size"].iloc[0] if len(rows) else ""
    ax.set(xlabel=f"images per task ({size})", ylabel=label)
    ax.set_ylim(bottom=0)


def latency_bars(ax, table: pd.DataFrame):  # rows of efficiency.csv
    "How many times as long three passes take as one, with quartiles."
    rows = table[(table["what"] == "latency") & (table["model"] == "ratio")]
    names = [
        f"{s}, {int(b)}×, {p}{', compiled' * (m == 'compiled')}"
        for s, b, p, m in zip(rows["size"], rows["batch"], rows["precision"], rows["mode"])
    ]
    ax.errorbar(
        rows["value"],
        range(len(rows)),
        xerr=np.abs(rows[["low", "high"]].to_numpy().T - rows["value"].to_numpy()),
        fmt="o",
        ms=3,
        color=OKABE_ITO["black"],
        lw=1,
    )
    ax.axvline(1, color="#999999", lw=0.8, ls="--")
    ax.set(
        yticks=range(len(rows)),
        ylim=(len(rows) - 0.4, -0.6),
        xlabel="time of three passes / time of one",
        xlim=(0.8, None),
    )
    ax.set_yticklabels(names, fontsize=5.5)


def operation_bars(ax, table: pd.DataFrame):  # rows of efficiency.csv
    "Operations of one pass and of three at each image size."
    rows = table[table["what"] == "operations"]
    sizes = list(dict.fromkeys(rows["size"]))
    for k, (model, colour) in enumerate((("three passes", OKABE_ITO["orange"]), ("one pass", OKABE_ITO["black"]))):
        values = rows[rows["model"] == model].set_index("size")["value"].reindex(sizes) / 1e9
        ax.bar(np.arange(len(sizes)) + 0.36 * (k - 0.5), values, 0.34, color=colour)
        for x, v in enumerate(values):
            ax.text(x + 0.36 * (k - 0.5), v, f"{v:.3g}", ha="center", va="bottom", fontsize=5.5)
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
    shown = table[(table["what"] == "latency") & (table["model"] == "ratio")]
    fig = Figure(figsize=(3.5, 4.6 + 0.15 * len(shown)))
    axes = fig.subplot_mosaic("pp;ll;ot;mm", height_ratios=[1, max(1, 0.17 * len(shown)), 1.4, 1.2])
    parameter_bars(axes["p"], table)
    latency_bars(axes["l"], table)
    operation_bars(axes["o"], table)
    names = {"shared": "one shared network", "three single": "three networks"}
    lines_by_batch(
        axes["t"], table[(table["what"] == "training step") & table["model"].isin(names)], names, "seconds per step"
    )
    lines_by_batch(axes["m"], table[table["what"] == "training memory"], names, "peak memory (GiB)", 2**30)
    axes["m"].legend(frameon=False, loc="upper left")
    fig.suptitle(
        "{}, {} detection neck, on {}".format(*table[["backbone", "detection_neck", "device"]].iloc[0]), fontsize=8
    )
    return fig


def benefit_figure(
    changes: dict,  # task -> (value, low, high): shares of the single-task score, NaN where unknown
    mean: tuple,  # Δm with its interval, or with NaN
    table: pd.DataFrame | None,  # rows of efficiency.csv with the parameters; None: without that panel
    note: str = "",
) -> Figure:  # above the figure
    """Relative change of every task's headline score against its single-task network, their mean
    Δm, and the parameters that sharing saves.
    """
    fig = Figure(figsize=(3.5, 3.2 if table is not None else 2.2))
    top, *bottom = fig.subplots(
        1 if table is None else 2, 1, height_ratios=[2, 1][: 1 if table is None else 2], squeeze=False
    )[:, 0]
    for y, (name, (value, low, high)) in enumerate([*changes.items(), ("mean", mean)]):
        top.barh(
            y, value, color=TASK_COLOURS.get(name, OKABE_ITO["black"]), height=0.6, alpha=0.85 if name in TASKS else 0.6
        )
        if not np.isnan(low):
            top.hlines(y, low, high, color="black", lw=1)
        top.text(
            1.02,
            y,
            "–" if np.isnan(value) else f"{100 * value:+.1f} %",
            transform=top.get_yaxis_transform(),
            va="center",
            fontsize=6.5,
        )
    top.axvline(0, color="black", lw=0.8)
    top.set(
        yticks=range(len(changes) + 1),
        yticklabels=[f"{TASK_LABELS[t]}\n({METRIC_LABELS[PRIMARY_METRIC[t]]})" for t in changes] + ["mean (Δm)"],
        ylim=(len(changes) + 0.5, -0.5),
        xlabel="change against a network of its own",
    )
    top.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:+.3g} %" if v else "0"))
    top.grid(axis="y", visible=False)
    top.xaxis.get_major_locator().set_params(nbins=5)
    if note:
        fig.suptitle(note, fontsize=7)
    for ax in bottom:
        parameter_bars(ax, table)
        three, one = [sum(parts.values()) for parts in _parameters(table).values()]
        ax.set_xlabel(f"parameters (millions): sharing saves {100 * (1 - one / three):.0f} %")
    return fig


def benefits_of_single_runs(
    results_dir: str | Path,
) -> Figure:  # reads config.json, efficiency.csv, evaluation_results.csv here and in single/<task>/
    """Gain and saving of the run in a results folder; raises `UserError` naming the command for
    what is missing.
    """
    shared = _run_rows(results_dir, model="multi_task", split="test")
    single, table = single_rows(results_dir, shared), read_efficiency(results_dir, run_config(results_dir))
    changes = {
        t: relative_change(pick_score(shared, t, PRIMARY_METRIC[t]), pick_score(single, t, PRIMARY_METRIC[t]))
        for t in TASKS
        if t in set(shared["task"])
    }
    return benefit_figure(changes, (np.mean([c[0] for c in changes.values()]), np.nan, np.nan), table)


COMPARISON_FIGURES = {
    "data_counts": data_counts_figure,
    "evaluation_comparison": evaluation_comparison,
    "efficiency_analysis": efficiency_analysis,
}  # file name -> function of the results folder
