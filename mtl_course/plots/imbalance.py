"""The same table must give the picture and the words below it, or one of them will be wrong some day."""

__all__ = [
    "FLOOR",
    "GROUPS",
    "LABELS",
    "UNDISTURBED",
    "SHARE_WEIGHTS",
    "IMBALANCE_FIGURES",
    "find_result",
    "with_other_names",
    "read_runs",
    "scores_of",
    "paired_series",
    "paired_change",
    "constant_seeds",
    "lane_share",
    "verdict",
    "change_text",
    "seeds_text",
    "run_label",
    "control_of",
    "cause_table",
    "gain_difference",
    "remedy_table",
    "read_gramians",
    "step_shares",
    "update_shares",
    "share_text",
    "floor_text",
    "cause_sentences",
    "remedy_sentences",
    "drowned_sentence",
    "training_images",
    "imbalance_figure",
    "figure_12_data_imbalance",
    "curve_table",
    "curve_sentence",
    "learning_curves_figure",
    "learning_curves",
]

from collections.abc import Iterator
from pathlib import Path
import numpy as np, pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, PercentFormatter
from .comparison import COUNT_COLUMNS
from .comparison import figure_12_data_imbalance as data_counts_figure
from ..config import TASKS
from ..core.errors import UserError
from ..evaluation.results import read_table
from ..core.statistics import mean_and_interval, mean_p_value
from ..studies.runner import STUDY_COLUMNS
from ..training.recording import read_recording
from .figures import METRIC_LABELS, TASK_COLOURS, TASK_LABELS, TASK_MARKERS
from ..metrics.scores import PRIMARY_METRIC
from ..studies.plans import CURVE_RUNS, IMBALANCE_RUNS, SIZES, curve_name, not_in, study_command


def find_result(results_dir: str | Path, name: str) -> Path:  # of a run's folder, or of the folder that holds it
    "A result file in a folder or in the one above (a run's results lie in results/NAME, the studies in results); it need not exist."
    folder = Path(results_dir).resolve()
    return next((f / name for f in (folder, folder.parent) if (f / name).is_file()), folder / name)


def with_other_names(table: pd.DataFrame) -> pd.DataFrame:  # STUDY_COLUMNS
    "The table with runs of the study `imbalance` under the names that `learning_curves` has for the same fields, too (`few lanes` is `65 lane, shared`), unless they are there."
    same = [
        (a, c)
        for a, fields in IMBALANCE_RUNS.items()
        for c in CURVE_RUNS
        if a != c and CURVE_RUNS[c] == fields and c not in set(table["run"])
    ]
    return pd.concat([table, *(table[table["run"] == a].assign(run=c) for a, c in same)], ignore_index=True)


def read_runs(results_dir: str | Path, runs: dict, study: str) -> pd.DataFrame:  # STUDY_COLUMNS
    "The rows of a study's runs; raises `UserError` with the command when there are none."
    path = find_result(results_dir, "studies.csv")
    table = with_other_names(read_table(path, STUDY_COLUMNS, study_command(study)))
    table = table[table["run"].isin(runs)]
    if table.empty:
        raise UserError(
            f"{path.name} in {path.parent.name} has no run of the study {study!r} yet; `{study_command(study)}` makes them"
        )
    return table


def scores_of(
    table: pd.DataFrame, run: str, task: str, metric: str | None = None, part: str = "test"
) -> pd.Series:  # index seed
    "A run's score of one task for each seed, the headline metric unless another is named; empty when there is none."
    rows = table[
        (table["run"] == run)
        & (table["task"] == task)
        & (table["metric"] == (metric or PRIMARY_METRIC[task]))
        & (table["part"] == part)
    ]
    return rows.drop_duplicates("seed", keep="last").set_index("seed")["value"].dropna().sort_index()


def paired_series(run: pd.Series, control: pd.Series) -> dict | None:  # values by seed
    "What `paired_change` returns, for any two quantities."
    both = pd.concat([run, control], axis=1, keys=["run", "control"]).dropna()
    if both.empty:
        return None
    d = both["run"] - both["control"]
    mean, low, high = mean_and_interval(d)
    return dict(
        run=both["run"].mean(),
        control=both["control"].mean(),
        change=mean,
        low=low,
        high=high,
        p=mean_p_value(d),
        same=int((d * mean > 0).sum()),
        seeds=len(both),
    )


def paired_change(
    table: pd.DataFrame, run: str, control: str, task: str, metric: str | None = None, part: str = "test"
) -> dict | None:
    """Means of a run and its control over the seeds that both have, the mean of the differences with its 95 % interval and p-value (NaN for one seed), how many of the seeds differ in
    the `same` direction as the mean, and in how many both predict a constant (`floor`, lanes only); None when they have no seed in common."""
    change = paired_series(*(scores_of(table, r, task, metric, part) for r in (run, control)))
    if change and task == "lane":
        change["floor"] = len(set(constant_seeds(table, run, part)) & set(constant_seeds(table, control, part)))
    return change


def _lane_scores(table, run, part):
    "IoU, recall, precision and pixel accuracy of a run, a row per seed; without rows where one of them was not kept."
    return pd.concat(
        {m: scores_of(table, run, "lane", m, part) for m in ("iou", "recall", "precision", "pixel_accuracy")}, axis=1
    ).dropna()


def constant_seeds(
    table: pd.DataFrame, run: str, part: str = "test"
) -> dict[int, str]:  # seed -> nothing or everything
    "The seeds in which a run calls (next to) no pixel lane, or every pixel."
    nothing = scores_of(table, run, "lane", "iou", part)
    found = {s: "nothing" for s in nothing.index[nothing < 5e-4]}  # an IoU that is 0.000 in a table
    return found | {
        r.Index: "everything"
        for r in _lane_scores(table, run, part).itertuples()
        if r.recall == 1 and np.isclose(r.iou, r.pixel_accuracy, atol=1e-5)
    }


def lane_share(table: pd.DataFrame, part: str = "test") -> float | None:  # in 0..1
    "The share of lane pixels, from the scores: wrong pixels are p(1 − recall) misses and p·recall·(1/precision − 1) false alarms; None when they were not kept."
    rows = pd.concat([pd.DataFrame(), *(_lane_scores(table, r, part) for r in table["run"].unique())])
    rows = rows[(rows["recall"] > 0.1) & (rows["precision"] > 0.01)] if len(rows) else rows
    if rows.empty:
        return None
    return float(
        ((1 - rows["pixel_accuracy"]) / (1 - rows["recall"] + rows["recall"] * (1 / rows["precision"] - 1))).median()
    )


FLOOR = "at the floor: cannot be told"


def verdict(change: dict) -> str:  # of `paired_change`
    "`higher`, `lower`, `undecided` (the interval contains zero), `one seed`, or FLOOR when both runs predict a constant in every seed."
    if change.get("floor", 0) == change["seeds"]:
        return FLOOR
    if change["seeds"] < 2 or not np.isfinite(change["low"]):
        return "one seed"
    return "lower" if change["high"] < 0 else "higher" if change["low"] > 0 else "undecided"


def _signed(v: float) -> str:
    return f"{v:+.3f}".replace("-", "−")


def change_text(change: dict | None) -> str:  # of `paired_change`
    "A difference in words, such as −0.120 (−0.140 to −0.100, 3 seeds: lower)."
    if change is None:
        return "not measured"
    if verdict(change) == FLOOR:
        return FLOOR
    if change["seeds"] < 2 or not np.isfinite(change["low"]):
        return f"{_signed(change['change'])} (one seed, no interval)"
    return f"{_signed(change['change'])} ({_signed(change['low'])} to {_signed(change['high'])}, {change['seeds']} seeds: {verdict(change)})"


def seeds_text(change: dict) -> str:  # of `paired_change`
    "In how many of the seeds the difference has the sign of its mean, such as: lower in 3 of 3 seeds."
    return f"{'lower' if change['change'] < 0 else 'higher'} in {change['same']} of {change['seeds']} seed{'s' if change['seeds'] > 1 else ''}"


GROUPS = {  # what is disturbed -> the run, its victim, the controls in order of preference, remedies
    "nothing": ("equal", "lane", (), ("boosted lanes", "imtl_g", "uncertainty", "alone")),
    "few images": (
        "few lanes",
        "lane",
        ("equal",),
        (
            "few lanes, boosted",
            "few lanes, augmented",
            "few lanes, uncertainty",
            "few lanes, imtl_g",
            "few lanes, alone",
        ),
    ),
    "drawn rarely": (
        "rare lanes",
        "lane",
        ("drawn alike", "equal"),
        ("rare lanes, boosted", "rare lanes, temperature 5", "drawn alike"),
    ),
    "a small loss": (
        "small lane loss",
        "lane",
        ("equal",),
        ("small lane loss, uncertainty", "small lane loss, imtl_g"),
    ),
    "skewed classes": (
        "skewed signs",
        "classification",
        ("as many signs, balanced", "equal"),
        (
            "skewed signs, class-balanced",
            "skewed signs, smaller loss",
            "skewed signs, focal",
            "as many signs, balanced",
        ),
    ),
    "all at once": ("regime", "lane", ("drawn alike", "equal"), ("regime, boosted", "regime, temperature 5")),
}
LABELS = {
    "equal": "undisturbed",
    "boosted lanes": "+ weight ×30",
    "alone": "+ each task alone",
    "few lanes": "65 lane images",
    "rare lanes": "drawn in proportion",
    "small lane loss": "lane loss × 1/30",
    "drawn alike": "+ drawn alike",
    "skewed signs": "signs 10 : 1",
    "as many signs, balanced": "+ as many, balanced",
    "regime": "78 : 12 : 0.8 %, drawn so",
}
_REMEDIES = {
    "boosted": "weight ×30",
    "augmented": "augmentation",
    "uncertainty": "uncertainty",
    "imtl_g": "IMTL-G",
    "alone": "lanes alone",
    "temperature 5": "temperature 5",
    "class-balanced": "class-balanced loss",
    "smaller loss": "loss as small (control)",
    "focal": "focal loss",
}


def run_label(run: str) -> str:  # a key of IMBALANCE_RUNS
    "A run in a few words; remedies begin with +."
    return LABELS[run] if run in LABELS else f"+ {_REMEDIES[run.rpartition(', ')[2]]}"


UNDISTURBED = {
    "boosted": "boosted lanes",
    "imtl_g": "imtl_g",
    "uncertainty": "uncertainty",
    "alone": "alone",
}  # a remedy -> the run with the remedy and no cause


def control_of(table: pd.DataFrame, group: str) -> str | None:  # a key of GROUPS
    "The best control of a group that the table has; None without one."
    return next((c for c in GROUPS[group][2] if c in set(table["run"])), None)


def _causes(
    table: pd.DataFrame, part: str
) -> Iterator[tuple]:  # (group, run, victim, remedies, control, what the cause changes)
    "Every group with the best control that the table has and the `paired_change` against it; both None where nothing can be compared."
    for group, (run, victim, _, remedies) in GROUPS.items():
        control = control_of(table, group)
        yield (
            group,
            run,
            victim,
            remedies,
            control,
            paired_change(table, run, control, victim, part=part) if control else None,
        )


def cause_table(table: pd.DataFrame, part: str = "test") -> pd.DataFrame:  # one row per cause that was measured
    "What each cause does to its victim's headline score, against its control: columns group, victim, cause, against, control, run, change, low, high, p, same, floor, seeds."
    rows = [
        dict(group=group, victim=victim, cause=run, against=control) | taken
        for group, run, victim, _, control, taken in _causes(table, part)
        if taken
    ]
    return pd.DataFrame(
        rows,
        columns=[
            "group",
            "victim",
            "cause",
            "against",
            "control",
            "run",
            "change",
            "low",
            "high",
            "p",
            "same",
            "floor",
            "seeds",
        ],
    )


def gain_difference(
    table: pd.DataFrame, remedy: str, cause: str, control: str | None, task: str, part: str = "test"
) -> dict | None:  # as of `paired_change`: run and control are the two gains
    "A remedy's gain with the cause against its gain in the undisturbed run; None where it was not tried there."
    alone = UNDISTURBED.get(remedy.rpartition(", ")[2])
    if control != "equal" or alone is None:
        return None
    with_it, without, there, equal = (scores_of(table, r, task, part=part) for r in (remedy, cause, alone, "equal"))
    return paired_series(with_it - without, there - equal)


def remedy_table(table: pd.DataFrame, part: str = "test") -> pd.DataFrame:  # one row per remedy that was measured
    """What a remedy gives the victim (`change` with its interval, `repaired`: as a part of what the cause took, NaN unless the seeds tell that loss from nothing) and what it does to the other tasks,
    against the run with the cause alone; `undisturbed`: its gain where nothing is wrong, `more`: the `gain_difference`, or None."""
    rows = []
    for group, run, victim, remedies, control, taken in _causes(table, part):
        for remedy in remedies:
            change = paired_change(table, remedy, run, victim, part=part)
            if change is None or remedy == control:
                continue
            lost = -taken["change"] if taken and verdict(taken) == "lower" else np.nan
            others = {f"{t} change": paired_change(table, remedy, run, t, part=part) for t in TASKS if t != victim}
            more = gain_difference(table, remedy, run, control, victim, part)
            rows.append(
                dict(group=group, cause=run, remedy=remedy, victim=victim)
                | change
                | dict(undisturbed=more["control"] if more else np.nan, more=more)
                | dict(repaired=change["change"] / lost if lost > 0 and verdict(change) != FLOOR else np.nan)
                | {k: v["change"] if v else np.nan for k, v in others.items()}
                | {k.replace("change", "verdict"): verdict(v) if v else "not measured" for k, v in others.items()}
            )
    return pd.DataFrame(rows)


def read_gramians(
    results_dir: str | Path,
) -> tuple:  # (steps [S], (S, 3, 3) Gramians of the trunk in the order of TASKS)
    "The recorded Gramians of the whole trunk; raises `UserError` with the command when there are none."
    path = find_result(results_dir, "gradient_recording.json")
    recording = read_recording(path)
    try:
        return recording.steps, recording.gramians_of("trunk", TASKS)
    except ValueError as e:
        raise UserError(f"{path.name} is no recording of all tasks ({e}): expected {', '.join(TASKS)}") from None


def step_shares(
    gramians: np.ndarray,  # (S, T, T)
    weights: np.ndarray,  # (T,) task weights, times the probability of being drawn
) -> np.ndarray:  # (S, T), their sum over the tasks is 1; below zero: the sum runs against the task
    "Each task's part wₜ⟨gₜ, d⟩/‖d‖² of the summed gradient d = Σ wₜgₜ, before clipping and Adam (see `gradient_flow`), at each recorded step."
    parts = weights * (gramians @ weights)
    return parts / parts.sum(-1, keepdims=True)


def update_shares(gramians: np.ndarray, weights: np.ndarray) -> np.ndarray:  # (S, T, T), (T,) -> (T,)
    "The mean of `step_shares` over the recorded steps."
    return step_shares(gramians, weights).mean(0)


def share_text(shares: np.ndarray) -> str:  # (S,) of one task
    "A mean share with its range over the steps, no more exact than the steps allow: a bound where they do not even agree on the sign."
    low, high = shares.min(), shares.max()
    number = lambda v: f"{100 * v:.2g}".replace("-", "−")
    if len(shares) == 1:
        return f"{number(shares[0])} %"
    if low < 0 < high:
        return f"under {next(b for b in (0.1, 0.5, 1, 2, 5, 10, 20, 50, 1000) if 100 * max(-low, high) < b):g} % ({number(low)} to {number(high)} %)"
    return f"{number(shares.mean())} % ({number(low)} to {number(high)} %)"


def floor_text(table: pd.DataFrame, run: str, part: str = "test") -> str:  # a sentence, or nothing
    "In how many seeds a run predicts a constant."
    constant = list(constant_seeds(table, run, part).values())
    said = " and ".join(f"{w} is lane in {constant.count(w)}" for w in ("nothing", "everything") if w in constant)
    return (
        f" (Of {len(scores_of(table, run, 'lane', part=part))} seeds, {said}: a constant prediction.)"
        if constant
        else ""
    )


def cause_sentences(table: pd.DataFrame, part: str = "test") -> list[str]:
    "One sentence for each measured cause, and one that says which of those that touch the lane task alone costs most."
    causes, sentences = cause_table(table, part), []
    for r in causes.itertuples():
        score = f"{METRIC_LABELS[PRIMARY_METRIC[r.victim]]} of the {r.victim} task"
        sentences.append(
            f"{r.group} ({run_label(r.cause)}, against “{run_label(r.against).lstrip('+ ')}”): the {score} is {r.run:.3f} instead of {r.control:.3f}, {change_text(r._asdict())}, {seeds_text(r._asdict())}.{floor_text(table, r.cause, part)}"
        )
    single = causes[causes["group"].isin(["few images", "drawn rarely", "a small loss"])].sort_values("change")
    worse = [r for r in single.itertuples() if verdict(r._asdict()) == "lower"]
    if len(single) < 2:
        return sentences
    if not worse:
        return [
            *sentences,
            f"None of the {len(single)} causes lowers the lane score by more than the seeds scatter; the largest mean change is {_signed(single['change'].iloc[0])}, from “{single['group'].iloc[0]}”, {seeds_text(single.iloc[0])}.",
        ]
    rest = [r.group for r in single.itertuples() if verdict(r._asdict()) != "lower"]
    most = f"Of the {len(single)} causes measured one at a time “{worse[0].group}” costs the lane task most"
    return [
        *sentences,
        most
        + (
            f"; {' and '.join(f'“{g}”' for g in rest)} {'do' if len(rest) > 1 else 'does'} not lower it by more than the seeds scatter."
            if rest
            else "; each of them lowers it by more than the seeds scatter."
        ),
    ]


def _more_text(r: dict) -> str:  # a row of `remedy_table`
    "How the remedy's gain compares with that in the undisturbed run, as a sentence; empty where that cannot be told."
    if not r["more"]:
        return ""
    return f" Where nothing is wrong it gives {_signed(r['undisturbed'])}; difference of the two gains {change_text(r['more'])}."


def remedy_sentences(table: pd.DataFrame, part: str = "test") -> list[str]:
    "One sentence for each measured remedy: what it repairs and what the other tasks pay."
    sentences = []
    for r in remedy_table(table, part).to_dict("records"):
        part_of = (
            f", {r['repaired']:.0%} of what the cause took".replace("-", "−")
            if np.isfinite(r["repaired"]) and r["group"] != "nothing" and verdict(r) == "higher"
            else ""
        )
        others = [
            f"{t} {r[f'{t} change']:+.3f} ({r[f'{t} verdict']})"
            for t in TASKS
            if np.isfinite(r.get(f"{t} change", np.nan))
        ]
        cost = (
            f" Other tasks: {', '.join(others)}.".replace("-", "−")
            if others
            else " The other tasks are not trained in this run."
        )
        both = (
            f" In {r['floor']:.0f} of {r['seeds']} seeds the run and its control both predict a constant."
            if r.get("floor", 0) > 0
            else ""
        )
        sentences.append(
            f"{'undisturbed run' if r['group'] == 'nothing' else r['group']}, {run_label(r['remedy']).lstrip('+ ')}: {r['victim']} {change_text(r)}{part_of}.{_more_text(r)}{cost}{both}"
        )
    return sentences


def drowned_sentence(results_dir: str | Path) -> str:  # reads gradient_recording.json
    "How much of the summed gradient is the lane task's at equal weights and at ×30; raises `UserError` when nothing was recorded."
    steps, gramians = read_gramians(results_dir)
    norms = np.sqrt(np.diagonal(gramians, axis1=1, axis2=2))
    equal, boosted = (share_text(step_shares(gramians, np.array([1.0, 1.0, w]))[:, 2]) for w in (1, 30))
    lengths = (norms / norms.sum(1, keepdims=True)).mean(0)[2]
    return f"At equal weights the lane task's gradient is {lengths:.1%} of the three lengths (mean over {len(steps)} recorded steps) and {equal} of the summed gradient; with ×30 it is {boosted}. In brackets: smallest and largest step."


def _rows(table: pd.DataFrame) -> list[tuple]:  # (y, run, is a remedy) and (y, group, None) for titles
    "Where each run that the table has is drawn; groups without a run are left out."
    found, rows, y = set(table["run"]), [], 0.0
    for group, (cause, _, _, remedies) in GROUPS.items():
        there = [r for r in (cause, *remedies) if r in found]
        if not there:
            continue
        rows.append((y, group, None))
        y += 0.85
        for run in there:
            rows.append((y, run, run != cause))
            y += 1
        y += 0.15
    return rows


def _forest(ax, table: pd.DataFrame, task: str, rows: list, part: str):
    "Scores of one task, a row per run."
    colour, marker = TASK_COLOURS[task], TASK_MARKERS[task]
    for y, run, remedy in rows:
        values = scores_of(table, run, task, part=part) if remedy is not None else []
        if not len(values):
            continue
        mean, low, high = mean_and_interval(values)
        if np.isfinite(low):
            ax.plot([low, high], [y, y], color=colour, lw=1)
        ax.plot(values, [y] * len(values), "|", color=colour, ms=3, mew=0.6)
        ax.plot(mean, y, marker, color=colour, mfc="white" if remedy else colour, ms=4, mew=1)
    reference = scores_of(table, "equal", task, part=part)
    if len(reference):
        ax.axvline(reference.mean(), color="#555555", ls="--", lw=0.7, zorder=0)
    floor = lane_share(table, part) if task == "lane" else None
    if floor:
        ax.axvline(floor, color="#555555", ls=":", lw=0.9, zorder=0)
    seen = pd.concat(
        [scores_of(table, r, task, part=part) for _, r, remedy in rows if remedy is not None]
        or [pd.Series(dtype=float)]
    )
    if len(seen):  # wide intervals of few seeds must not squeeze the means together
        room = max(0.02, 0.35 * np.ptp(seen))
        ax.set_xlim(max(0, seen.min() - room), min(1, seen.max() + room))
    ax.set_title(
        f"{TASK_LABELS[task].replace(' ', chr(10))}\n{METRIC_LABELS[PRIMARY_METRIC[task]]}", color=colour, fontsize=7
    )
    ax.tick_params(axis="y", length=0, labelleft=False)
    ax.grid(axis="y", visible=False)
    ax.xaxis.get_major_locator().set_params(nbins=2)
    ax.tick_params(axis="x", labelsize=6)


def _image_bars(ax, counts: pd.Series):  # task -> training images
    ax.barh(range(len(counts)), counts, color=[TASK_COLOURS[t] for t in counts.index], height=0.75)
    for k, n in enumerate(counts):
        ax.text(n, k, f" {n:,} ({n / counts.sum():.1%})", va="center", fontsize=6)
    ax.set(
        yticks=range(len(counts)),
        yticklabels=[TASK_LABELS[t] for t in counts.index],
        ylim=(len(counts) - 0.5, -0.5),
        xlim=(0, 1.35 * counts.max()),
    )
    ax.xaxis.get_major_locator().set_params(nbins=3)
    ax.tick_params(axis="x", labelsize=6, pad=1)
    ax.tick_params(axis="y", length=0, labelsize=6)
    ax.grid(axis="y", visible=False)
    ax.set_title("training images", loc="left", fontsize=7)


def _share_bars(ax, gramians: np.ndarray, weights: dict):  # label -> (3,) weights
    "Stacked bars of the parts of the summed gradient; hatches besides colours."
    for k, w in enumerate(weights.values()):
        each = step_shares(gramians, np.asarray(w, float))
        left, shares = 0.0, np.clip(each.mean(0), 0, None)
        shares = shares / shares.sum()
        for task, share, hatch in zip(TASKS, shares, ("", "////", "....")):
            ax.barh(k, share, left=left, color=TASK_COLOURS[task], hatch=hatch, edgecolor="white", lw=0.3, height=0.72)
            left += share
        ax.text(1.01, k, f"lane {share_text(each[:, 2]).partition(' (')[0]}", va="center", fontsize=6)
    ax.set(yticks=range(len(weights)), yticklabels=list(weights), ylim=(len(weights) - 0.5, -0.5), xlim=(0, 1))
    ax.grid(visible=False)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.tick_params(axis="x", labelsize=6, pad=1)
    ax.tick_params(axis="y", length=0, labelsize=6)
    ax.set_title(
        "parts of the summed gradient, before clipping and Adam\n(plain: signs, lines: objects, dots: lanes)",
        fontsize=6,
    )


def _optional(read, *args):
    "What `read` gives, or None where its file is missing: a panel that is left out."
    try:
        return read(*args)
    except UserError:
        return None


def training_images(results_dir: str | Path) -> pd.Series:  # task -> images
    "Training images of each task, of a run's data_counts.csv or of the studies' study_data.csv; raises `UserError` when both are missing."
    path = next(
        (p for p in (find_result(results_dir, n) for n in ("data_counts.csv", "study_data.csv")) if p.is_file()),
        find_result(results_dir, "study_data.csv"),
    )
    table = read_table(path, COUNT_COLUMNS, "python benchmarks/study_data.py")
    counts = table[(table["part"] == "train") & (table["class"] == "all")].set_index("task")["count"]
    return counts.reindex([t for t in TASKS if t in counts.index]).astype(int)


SHARE_WEIGHTS = {
    "weights 1 : 1 : 1": (1, 1, 1),
    "lane × 1/30": (1, 1, 1 / 30),
    "lane × 30": (1, 1, 30),
}  # signs, objects, lanes


def _note(table: pd.DataFrame, part: str) -> str:  # below the figure
    seeds, missing = table.groupby("run")["seed"].nunique(), not_in(table, IMBALANCE_RUNS)
    count = (
        f"{seeds.min()} to {seeds.max()} seeds"
        if seeds.min() < seeds.max()
        else f"{seeds.min()} seed{'s' if seeds.min() > 1 else ''}"
    )  # runs may differ while a study is being made
    lines = [
        f"{part} part; lines: 95 % intervals over {count}, cut at the edges; ticks: seeds;",
        "hollow: remedies (+); dashed: undisturbed; dotted: every pixel called lane",
    ]
    if missing:
        lines.append(f"{len(missing)} of {len(IMBALANCE_RUNS)} runs are not made yet: {study_command('imbalance')}")
    return "\n".join(lines)


def imbalance_figure(
    table: pd.DataFrame,  # STUDY_COLUMNS, of the study `imbalance`
    images: pd.Series | None = None,  # task -> training images
    gramians: np.ndarray | None = None,  # (S, 3, 3) of the trunk
    part: str = "test",
) -> Figure:  # 3.5 inches wide: half a page
    "Images of each task; scores of every task in every run there is, with intervals; the parts of the summed gradient. Panels without input are left out."
    rows = _rows(table)
    height = max(y for y, *_ in rows) + 1
    heights = [0.85 * (images is not None), 0.62 + 0.13 * height, 0.85 * (gramians is not None)]
    fig = Figure(figsize=(3.5, sum(heights) + 0.35))
    parts = dict(zip("abc", fig.subfigures(3, 1, height_ratios=[max(h, 1e-3) for h in heights])))
    if images is not None:
        _image_bars(parts["a"].subplots(), images)
    axes = parts["b"].subplots(1, 4, sharey=True, width_ratios=[1.45, 1, 1, 1])
    axes[0].axis("off")
    axes[0].set(xlim=(0, 1), ylim=(height - 0.4, -0.6))
    for y, run, remedy in rows:
        axes[0].text(
            0 if remedy is None else 0.04 + 0.04 * remedy,
            y,
            {"nothing": "no disturbance"}.get(run, run) if remedy is None else run_label(run),
            va="center",
            fontsize=6,
            fontweight="bold" if remedy is None else "normal",
        )
    for ax, task in zip(axes[1:], ("lane", "detection", "classification")):
        _forest(ax, table, task, rows, part)
    if gramians is not None:
        _share_bars(parts["c"].subplots(), gramians, SHARE_WEIGHTS)
    fig.supxlabel(_note(table, part), fontsize=5.5, x=0.01, ha="left")
    return fig


def figure_12_data_imbalance(
    results_dir: str | Path,
) -> Figure:  # reads studies.csv; data_counts.csv or study_data.csv and gradient_recording.json where they are
    "What starves the lane task, what repairs it and at whose cost; without runs of the study the counts of the run's data; raises `UserError` with the command when there is neither."
    try:
        table = read_runs(results_dir, IMBALANCE_RUNS, "imbalance")
    except UserError:
        if not (Path(results_dir) / "data_counts.csv").is_file():
            raise
        return data_counts_figure(results_dir)
    recorded = _optional(read_gramians, results_dir)
    return imbalance_figure(table, _optional(training_images, results_dir), recorded[1] if recorded else None)


def curve_table(
    table: pd.DataFrame, task: str, full: int | None = None, part: str = "test"
) -> pd.DataFrame:  # images, shared, alone, change, low, high, seeds
    "Sharing against training alone at each number of images that was measured both ways; `full`: the number of all images, for the point with all of them."
    points = [(n, curve_name(task, n, True), curve_name(task, n, False)) for n in SIZES[task]] + (
        [(full, "equal", "alone")] if full else []
    )
    rows = [
        dict(images=n) | c for n, shared, alone in points if (c := paired_change(table, shared, alone, task, part=part))
    ]
    return (
        pd.DataFrame(rows, columns=["images", "run", "control", "change", "low", "high", "p", "same", "floor", "seeds"])
        .rename(columns=dict(run="shared", control="alone"))
        .sort_values("images", ignore_index=True)
    )


def curve_sentence(table: pd.DataFrame, task: str, full: int | None = None, part: str = "test") -> str:
    "From which size on sharing stops to help a task, as far as the table tells."
    points = curve_table(table, task, full, part)
    if len(points) < 2:
        return f"{task}: {'no size has' if points.empty else 'only one size has'} been trained both ways, so nothing can be said about sizes."
    marks = [(p.images, verdict(p._asdict())) for p in points.itertuples()]
    said = ", ".join(f"{n:,.0f} images {c:+.3f} ({v})".replace("-", "−") for (n, v), c in zip(marks, points["change"]))
    helped, harmed = ([n for n, v in marks if v == wanted] for wanted in ("higher", "lower"))
    if not helped:
        end = "at no size is sharing better by more than the seeds scatter"
    elif helped[-1] == marks[-1][0]:
        end = f"a hint that sharing helps with {helped[-1]:,.0f} images, the most that were tried"
    else:
        end = f"a hint that sharing helps up to {helped[-1]:,.0f} images and no longer, as far as the seeds tell, from {next(n for n, _ in marks if n > helped[-1]):,.0f} on"
    if harmed:
        end += f"; a hint that it is worse with {' and '.join(f'{n:,.0f}' for n in harmed)} images"
    return f"{task}, shared minus alone: {said}: {end}."


def learning_curves_figure(
    table: pd.DataFrame,
    images: pd.Series | None = None,  # task -> number of all its training images
    part: str = "test",
) -> Figure:
    "One panel per task: headline score against number of training images, shared and alone, with 95 % intervals over seeds."
    fig = Figure(figsize=(3.5, 1.9))
    for ax, task in zip(fig.subplots(1, 3), TASKS):
        full = None if images is None else images.get(task)
        sizes = [*SIZES[task], *([full] if full else [])]
        for shared, line, fill, shift in ((True, "-", TASK_COLOURS[task], 1.04), (False, "--", "white", 1 / 1.04)):
            points = [(n, scores_of(table, curve_name(task, n, shared), task, part=part)) for n in SIZES[task]]
            if full:
                points.append((full, scores_of(table, "equal" if shared else "alone", task, part=part)))
            points = [(n * shift, *mean_and_interval(v)) for n, v in sorted(points, key=lambda p: p[0]) if len(v)]
            if not points:
                continue
            x, mean, low, high = np.array(points).T
            ax.vlines(x, low, high, color=TASK_COLOURS[task], lw=0.8)
            ax.plot(x, mean, line, marker=TASK_MARKERS[task], color=TASK_COLOURS[task], mfc=fill, ms=4)
        ax.set_xscale("log")
        ax.set_xlim(min(sizes) / 1.6, max(sizes) * 1.6)
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticks(
            sizes,
            [
                f"{n / 1000:g}k" if n >= 1000 and n % 100 == 0 else f"{n / 1000:.0f}k" if n >= 10000 else str(n)
                for n in sizes
            ],
            fontsize=5,
            rotation=60,
            ha="right",
            rotation_mode="anchor",
        )
        ax.set_title(TASK_LABELS[task].replace(" ", "\n"), color=TASK_COLOURS[task], fontsize=7)
        ax.set_xlabel("images")
        ax.set_ylabel(METRIC_LABELS[PRIMARY_METRIC[task]], fontsize=7)
        ax.tick_params("y", labelsize=6)
        means = [y for l in ax.lines for y in l.get_ydata()]
        if means:
            ax.set_ylim(max(0, min(means) - 0.1), min(1, max(means) + 0.1))
    marks = [
        Line2D([], [], color="#555555", marker="o", ms=4, ls=line, mfc=fill, label=label)
        for line, fill, label in (("-", "#555555", "shared"), ("--", "white", "alone"))
    ]
    fig.legend(
        handles=marks,
        frameon=False,
        fontsize=6,
        loc="outside lower center",
        ncols=2,
        title=f"lines: 95 % intervals over seeds, cut at the edges ({part} part)",
        title_fontsize=5.5,
    )
    return fig


def learning_curves(
    results_dir: str | Path,
) -> Figure:  # reads studies.csv; data_counts.csv or study_data.csv where one is
    "Score against number of images, alone and shared; raises `UserError` with the command when no run with fewer images is there."
    table = read_runs(results_dir, CURVE_RUNS, "learning_curves")
    if not set(table["run"]) - {"equal", "alone"}:
        raise UserError(
            f"studies.csv has no run with fewer images yet; `{study_command('learning_curves')}` makes them"
        )
    return learning_curves_figure(table, _optional(training_images, results_dir))


IMBALANCE_FIGURES = {
    "figure_12_data_imbalance": figure_12_data_imbalance,
    "learning_curves": learning_curves,
}  # file name -> function of the results folder
