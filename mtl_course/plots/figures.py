"""A figure is a function of result files. Nobody types a number into a picture."""

__all__ = ["style"]

import sys
from pathlib import Path
import cv2, matplotlib, numpy as np, pandas as pd, seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter
from ..config import DETECTION_CLASSES, TASK_COLOURS, TASK_LABELS, TASK_MARKERS, TASKS, Config, load_config
from ..core.errors import UserError
from ..core.statistics import wilson_interval
from ..core.files import atomic_write
from ..world.signs import SIGN_NAMES
from ..evaluation.results import RESULT_COLUMNS, read_table
from ..metrics.scores import PRIMARY_METRIC

PART_COLOURS = {"trunk": "#999999", **TASK_COLOURS}  # parts of the network: the trunk belongs to no task
METRIC_LABELS = {
    "accuracy": "top-1 accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "map50": "mAP50",
    "map50_95": "mAP50:95",
    "pixel_accuracy": "pixel accuracy",
    "iou": "IoU",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
}


def style():
    """The context in which every figure is drawn: `with style(): …`; small type for half a page of
    width.
    """
    base = sns.axes_style("ticks") | sns.plotting_context("paper")
    return matplotlib.rc_context(
        base
        | {
            "font.size": 8,
            "axes.titlesize": 8.5,
            "axes.labelsize": 8,
            "xtick.labelsize": 7,
            "ytick.labelsize": 7,
            "legend.fontsize": 7,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#e6e6e6",
            "grid.linewidth": 0.6,
            "lines.linewidth": 1.4,
            "figure.constrained_layout.use": True,
            "savefig.dpi": 200,
            "pdf.fonttype": 42,
            "svg.hashsalt": "mtl_course",
        }
    )  # without it each svg gets other names inside


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
    fig = Figure(figsize=(3.5, 1.35 * len(tasks) + 0.3))
    for ax, task in zip(fig.subplots(len(tasks), 1, sharex=True, squeeze=False)[:, 0], tasks):
        rows = log[log["task"] == task].sort_values("step")
        smooth = rows["loss"].rolling(max(1, len(rows) // 20), center=True, min_periods=1).median()
        ax.plot(rows["step"], rows["loss"], color=TASK_COLOURS[task], alpha=0.3, lw=0.6)
        ax.plot(rows["step"], smooth, color=TASK_COLOURS[task])
        if (rows["loss"] > 0).all():
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set(title=TASK_LABELS[task])
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
    fig = Figure(figsize=(3.5, 2.5))
    ax = fig.subplots()
    for task in _tasks_in(log):
        rows = log[(log["task"] == task) & (log["metric"] == PRIMARY_METRIC[task])].sort_values("epoch")
        ax.plot(
            rows["epoch"],
            rows["value"],
            marker=TASK_MARKERS[task],
            ms=3.5,
            color=TASK_COLOURS[task],
            label=f"{TASK_LABELS[task]}: {METRIC_LABELS[PRIMARY_METRIC[task]]}",
        )
        if len(rows):
            ax.annotate(
                f"{100 * rows['value'].iloc[-1]:.1f}",
                (rows["epoch"].iloc[-1], rows["value"].iloc[-1]),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color=TASK_COLOURS[task],
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
    return rows


def run_config(results_dir: str | Path) -> Config:
    "The config that a run left beside its results; raises `UserError` when it is missing."
    path = Path(results_dir) / "config.json"
    if not path.is_file():
        raise UserError(f"config.json: no such file in {results_dir}; `mtl_train` makes it")
    return load_config(path)


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
    fig = Figure(figsize=(3.5, 6.2))
    ax = fig.subplots()
    y, seen = np.arange(len(total)), (total["images"] > 0).to_numpy()
    share, n = total["accuracy"][seen], total["images"][seen]
    low, high = wilson_interval(share, n)
    ax.hlines(y[seen], low, high, color=TASK_COLOURS["classification"], alpha=0.45, lw=2)
    ax.plot(share, y[seen], "o", ms=3, color=TASK_COLOURS["classification"])
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


def evaluation_summary(results_dir: str | Path, **choice) -> Figure:  # reads evaluation_results.csv
    """The scores of every task, and the detector's AP50 per class; bars are means over seeds, lines
    their range (of one seed: its 95 % bootstrap interval).
    """
    rows = read_scores(results_dir, **choice)
    panels = [
        (
            t,
            rows[(rows["task"] == t) & (rows["class"] == "all")].assign(key=lambda r: r["metric"]),
            {
                m: METRIC_LABELS[m]
                for m in METRIC_LABELS
                if m in set(rows.loc[(rows["task"] == t) & (rows["class"] == "all"), "metric"])
            },
            TASK_LABELS[t],
        )
        for t in _tasks_in(rows)
    ]
    if any(t == "detection" for t, *_ in panels):
        each = rows[(rows["task"] == "detection") & (rows["metric"] == "ap50")].assign(key=lambda r: r["class"])
        panels.append(("detection", each, {c: c for c in DETECTION_CLASSES}, "detection: AP50 per class"))
    heights = [0.4 + 0.17 * len(labels) for *_, labels, _ in panels]
    fig = Figure(figsize=(3.5, sum(heights) + 0.3))
    axes = fig.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, (task, table, labels, title) in zip(axes, panels):
        _bars(ax, table, labels, TASK_COLOURS[task])
        ax.set_title(title)
    first, seeds = rows.iloc[0], rows["seed"].nunique()
    fig.suptitle(
        f"{first['model']} on {first['data_set']}, {first['split']} split, {seeds} seed{'s' * (seeds > 1)}", fontsize=8
    )
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
    fig = Figure(figsize=(3.5, 5.0))
    ax, side = fig.subplots(2, 1, height_ratios=[5, 3])
    side.axis("off")
    image = ax.imshow(share, cmap="Blues", norm=matplotlib.colors.PowerNorm(0.5, 0, 1))
    ax.set(xlabel="predicted class", ylabel="true class", xticks=range(0, 43, 5), yticks=range(0, 43, 5))
    ax.grid(False)
    bar = fig.colorbar(image, ax=ax, shrink=0.75, format=PercentFormatter(1, decimals=0))
    bar.set_label("share of the true class", fontsize=7)
    wrong = counts * (1 - np.eye(43))
    order = [i for i in np.argsort(-wrong, axis=None)[:top] if wrong.flat[i] > 0]
    lines = [
        f"{SIGN_NAMES[t]} ({t})\n   → {SIGN_NAMES[p]} ({p}): {int(counts[t, p])} of {int(counts[t].sum())}"
        for t, p in (divmod(i, 43) for i in order)
    ]
    side.text(
        0,
        1,
        "\n".join(["most frequent confusions", *lines] if lines else ["no confusion at all"]),
        transform=side.transAxes,
        va="top",
        fontsize=6,
        linespacing=1.4,
    )
    return fig


FIGURES = {
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
    figures: dict = FIGURES,  # file name -> function of the results folder
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
    if not files:
        raise UserError(f"no figure can be made: {next(iter(missing.values()))}")
    for name, e in missing.items():
        print(f"{name} is left out: {e}", file=sys.stderr)
    return files


CLASS_COLOURS = dict(
    zip(DETECTION_CLASSES, ("#56B4E9", "#E69F00", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#FFFFFF"))
)
LANE_COLOURS = ("#E69F00", "#56B4E9", "#CC79A7", "#F0E442", "#D55E00")


def _rgb(colour):
    return tuple(int(255 * v) for v in matplotlib.colors.to_rgb(colour))


def _text(picture, text, x, y, size, colour):
    """Black on a coloured ground (white if the ground is dark), the lower left corner at (x, y),
    kept inside the picture.
    """
    (w, h), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    x, y = max(0, min(int(x), picture.shape[1] - w - 2)), max(h + 2, min(int(y), picture.shape[0] - below))
    cv2.rectangle(picture, (x, y - h - 2), (x + w + 2, y + below), colour, -1)
    ink = (0, 0, 0) if np.dot(colour, (0.3, 0.59, 0.11)) > 110 else (255, 255, 255)
    cv2.putText(picture, text, (x + 1, y), cv2.FONT_HERSHEY_SIMPLEX, size, ink, 1, cv2.LINE_AA)


def draw_predictions(
    image: np.ndarray,  # uint8 (H, W, 3), RGB
    boxes=(),  # (N, 4) XYXY in pixels of `image`
    labels=(),  # (N,) 1..7
    scores=None,  # (N,) in 0..1; None for true boxes
    lanes=(),  # lists of x in pixels of `image`, negative where absent, one per h_samples
    h_samples=(),  # heights in pixels of `image`
    lane_mask=None,  # (h, w) probability or mask in 0..1, any size
    sign: str = "",  # the name of a sign, as a banner
    sign_score: float | None = None,  # its probability, 0..1
    ignore=(),  # (M, 4) regions to be ignored, drawn in grey
    min_score: float = 0.0,  # boxes below are left out
) -> np.ndarray:  # uint8 (H, W, 3), RGB, a new array
    "Draws boxes, lanes and a sign's name on a copy of an image."
    picture = np.ascontiguousarray(image).copy()
    height, width = picture.shape[:2]
    line, size = max(1, round(width / 500)), min(0.9, max(0.3, width / 1600))
    if lane_mask is not None:
        share = (
            0.55
            * cv2.resize(np.asarray(lane_mask, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
        )
        picture = (picture * (1 - share) + share * np.array(_rgb(TASK_COLOURS["lane"]))).astype(np.uint8)
    for k, lane in enumerate(lanes):
        points = [(round(16 * float(x)), round(16 * float(y))) for x, y in zip(lane, h_samples) if x >= 0]
        if len(points) > 1:
            cv2.polylines(
                picture,
                [np.array(points, np.int32)],
                False,
                _rgb(LANE_COLOURS[k % len(LANE_COLOURS)]),
                2 * line,
                cv2.LINE_AA,
                4,
            )
    for box in np.asarray(ignore, np.float64).reshape(-1, 4):
        _box(picture, box, (150, 150, 150), line)
    boxes, labels = np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(labels, np.int64).reshape(-1)
    shown = (
        range(len(boxes)) if scores is None else [k for k in np.argsort(scores) if scores[k] >= min_score]
    )  # the surest on top
    for k in shown:
        name = DETECTION_CLASSES[labels[k] - 1]
        colour = _rgb(CLASS_COLOURS[name])
        _box(picture, boxes[k], colour, line)
        _text(
            picture,
            name if scores is None else f"{name} {100 * float(scores[k]):.0f}",
            boxes[k][0],
            boxes[k][1] - 2,
            0.8 * size,
            colour,
        )
    if sign:
        _text(
            picture,
            sign if sign_score is None else f"{sign} {100 * sign_score:.0f} %",
            0,
            0,
            size,
            _rgb(TASK_COLOURS["classification"]),
        )
    return picture


def _box(picture, box, colour, line):
    x1, y1, x2, y2 = (int(round(v)) for v in box)
    cv2.rectangle(picture, (x1, y1), (x2, y2), (0, 0, 0), line + 2)
    cv2.rectangle(picture, (x1, y1), (x2, y2), colour, line)


def side_by_side(
    panels: dict,  # caption -> uint8 (H, W, 3) RGB, all of one size
    gap: int = 4,
) -> np.ndarray:  # uint8 RGB
    "Pictures in a row with captions: input, prediction, truth."
    pictures = list(panels.values())
    height = pictures[0].shape[0]
    size = max(0.35, min(0.8, pictures[0].shape[1] / 700))
    bar = round(34 * size)
    columns = []
    for caption, picture in panels.items():
        column = np.full((height + bar, picture.shape[1], 3), 255, np.uint8)
        column[bar:] = picture
        cv2.putText(
            column, caption, (2, bar - round(10 * size)), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 1, cv2.LINE_AA
        )
        columns += [column, np.full((height + bar, gap, 3), 255, np.uint8)]
    return np.hstack(columns[:-1])
