"""Whoever looks at a table with many methods will find a winner. This notebook writes down, before the table is full, how a winner would have to look."""

__all__ = [
    "KIND_STYLES",
    "run_kind",
    "is_fixed",
    "balanced_subset",
    "failed_runs",
    "choose",
    "holm",
    "paired_differences",
    "outcome",
    "balancer_findings",
    "delta_m_figure",
    "front_figure",
    "pareto_runs",
]

from itertools import combinations
import numpy as np, pandas as pd
from matplotlib.figure import Figure
from scipy import stats
from ..config import TASKS
from ..core.errors import UserError
from ..core.statistics import mean_and_interval, mean_p_value
from .runner import ENOUGH_SEEDS, delta_m, headline_scores, pareto_front
from ..plots.figures import METRIC_LABELS, OKABE_ITO, TASK_LABELS, style
from ..metrics.scores import PRIMARY_METRIC
from .plans import BALANCER_RUNS, not_in, study_command


def run_kind(run: str) -> str:  # of a run of the balancer study
    "`single-task`, `control` (random weights), `fixed weights` (equal ones too: they are the middle of the grid) or `balancer`."
    return (
        "single-task"
        if run == "alone"
        else "control"
        if run == "random"
        else "fixed weights"
        if is_fixed(run)
        else "balancer"
    )


def is_fixed(run: str) -> bool:  # one of the candidates when fixed weights are tuned
    "Whether a run of the study has fixed task weights."
    return run == "equal" or run.startswith("fixed ")


def balanced_subset(
    table: pd.DataFrame,  # with STUDY_COLUMNS
    runs=tuple(BALANCER_RUNS),
    baseline: str = "alone",
) -> pd.DataFrame:  # the same columns
    "The rows of the largest set of runs × seeds without a hole, the baseline among them, with `ENOUGH_SEEDS` or more where that leaves something to compare. Raises `UserError` when there is no baseline."
    table = table[table.run.isin(runs)]
    have = {}  # run -> seeds that have all headline scores on both parts
    for run, own in table.groupby("run", sort=False):
        full = [
            headline_scores(own, part).reindex(columns=TASKS).dropna()
            for part in ("val", "test")
            if (own.part == part).any()
        ]
        have[run] = (
            set.intersection(*[set(f.index.get_level_values("seed")) for f in full]) if len(full) == 2 else set()
        )
    seeds = sorted(have.get(baseline, ()))
    if not seeds:
        raise UserError(
            f"the table has no finished run {baseline!r} to compare with; {study_command(runs=[baseline])} makes it"
        )
    blocks = [
        (s, [r for r in runs if r in have and have[r] >= set(s)])
        for n in range(1, len(seeds) + 1)
        for s in combinations(seeds, n)
    ]
    comparable = lambda runs: any(map(is_fixed, runs)) and any(run_kind(r) == "balancer" for r in runs)
    chosen, complete = max(
        blocks,
        key=lambda b: (
            comparable(b[1]) * min(len(b[0]), ENOUGH_SEEDS),
            len(b[0]) * len(b[1]),
            len(b[0]),
            tuple(-s for s in b[0]),
        ),
    )
    return table[table.run.isin(complete) & table.seed.isin(chosen)]


def failed_runs(block: pd.DataFrame, part: str = "test", below: float = 0.1) -> list[tuple]:  # [(run, seed, task)]
    "The single runs that learned next to nothing in a task: a headline score under `below` times the median of all runs."
    scores = headline_scores(block, part)
    return [(run, seed, t) for t in scores for run, seed in scores.index[scores[t] < below * scores[t].median()]]


def choose(
    block: pd.DataFrame,
) -> dict[str, str | None]:  # {"fixed": run, "balancer": run}; None where there is no candidate
    "The fixed weights and the balancer with the best mean Δm on validation (random weights do not count as a balancer)."
    change = delta_m(block, "val").groupby(level="run", sort=False).mean()
    best = lambda runs: change[runs].idxmax() if runs else None
    return dict(
        fixed=best([r for r in change.index if is_fixed(r)]),
        balancer=best([r for r in change.index if run_kind(r) == "balancer"]),
    )


def holm(p: np.ndarray) -> np.ndarray:  # p-values; NaN for a comparison that was not made
    "Holm's adjusted p-values (Holm 1979); NaN stays NaN and does not count."
    p = np.asarray(p, float)
    out, known = np.full(p.shape, np.nan), np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    out[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return out


def paired_differences(
    block: pd.DataFrame,
    opponent: str,  # a run
    runs: list[str] | None = None,  # None: balancers and random weights
    part: str = "test",
) -> pd.DataFrame:  # run, mean, low, high (points of Δm), p, p_holm, seeds
    "Δm of each run minus the opponent's, seed by seed, with the paired t-interval and p-value; sorted by the mean."
    change, rows = delta_m(block, part).unstack("run"), []
    for run in runs if runs is not None else [r for r in change if run_kind(r) == "balancer" or r == "random"]:
        d = (change[run] - change[opponent]).dropna()
        rows.append(
            dict(zip(("run", "mean", "low", "high"), (run, *mean_and_interval(d))), p=mean_p_value(d), seeds=len(d))
        )
    table = pd.DataFrame(rows, columns=["run", "mean", "low", "high", "p", "seeds"])
    return table.assign(p_holm=holm(table.p)).sort_values("mean", ascending=False, ignore_index=True)


def outcome(row) -> str:  # a row of `paired_differences`
    "`beats`, `loses to`, a hint of either, `unclear` or `one seed`."
    if np.isnan(row.low):
        return "one seed"
    side = "better" if row.low > 0 else "worse" if row.high < 0 else None
    if side is None:
        return "unclear"
    return {"better": "beats", "worse": "loses to"}[side] if row.p_holm < 0.05 else f"a hint of {side}"


def _number(mean, low, high, unit=" %"):  # of one run or difference
    return f"{mean:+.1f}{unit}" + ("" if np.isnan(low) else f" (95 %: {low:+.1f} to {high:+.1f})")


def _choice(block, runs, chosen):
    "What validation has chosen, and of how many."
    change = delta_m(block, "val")
    fixed, balancers = sum(map(is_fixed, runs)), sum(run_kind(r) == "balancer" for r in runs)
    return f"TaskSubset on validation: of {fixed} fixed weights {chosen['fixed']} (Δm {change[chosen['fixed']].mean():+.1f} %), of {balancers} balancers {chosen['balancer']} ({change[chosen['balancer']].mean():+.1f} %)."


def _numbers(block, runs, chosen, rows):
    "What the test part says of the chosen and of the controls, and the paired difference of the chosen."
    change = delta_m(block, "test")
    for run in (
        chosen["fixed"],
        chosen["balancer"],
        *(r for r in ("equal", "random") if r in runs and r != chosen["fixed"]),
    ):
        yield f"On test, {run}: Δm {_number(*mean_and_interval(change[run]))}."
    best = next(r for r in rows if r.run == chosen["balancer"])
    yield f"Seed by seed, {best.run} minus {chosen['fixed']}: {_number(best.mean, best.low, best.high, ' points')}."


def _verdict(rows, opponent, chosen, runs):
    "The last two sentences. The fixed weights may be called tuned when the whole grid was tried."
    grid = [r for r in BALANCER_RUNS if is_fixed(r)]
    made = [r for r in grid if r in runs]
    tuned = len(made) == len(grid)
    them, are = (
        ("tuned fixed weights", "are")
        if tuned
        else (f"the best of {len(made)} fixed weights (the grid has {len(grid)})", "is")
    )
    said = {
        o: [r.run for r in rows if outcome(r) == o]
        for o in ("beats", "loses to", "a hint of better", "a hint of worse", "unclear")
    }
    words = {"beats": "beat it", "loses to": "lose to it", "unclear": "cannot be told from it"}
    yield (
        f"The {sum(r.run != 'random' for r in rows)} balancers{' and random weights' if any(r.run == 'random' for r in rows) else ''} against {opponent}: "
        + "; ".join(f"{words.get(o, o)}: {', '.join(v)}" for o, v in said.items() if v)
        + "."
    )
    winners, kind = [r for r in said["beats"] if r != "random"], "Finding" if tuned else "So far"
    if winners:
        yield f"{kind}: yes, here {them} {are} beaten, by {', '.join(winners)}."
    else:
        best = next(r for r in rows if r.run == chosen)
        lies = f"lies {'ahead' if best.mean > 0 else 'behind'}"
        yield f"{kind}: no balancer was shown to beat {them} here; {chosen}, the balancer chosen on validation, {lies + ', within what chance allows' if outcome(best) == 'unclear' else lies}."


def _what_can_be_seen(rows, seeds):
    "How large a difference must be for an interval off zero, and for the first claim of a family of comparisons."
    half = np.median([(r.high - r.low) / 2 for r in rows])
    family = stats.t.ppf(1 - 0.025 / len(rows), seeds - 1) / stats.t.ppf(0.975, seeds - 1)
    return (
        f"With {seeds} seeds a difference has to be about {half:.1f} points (the median half-width) for its own interval to leave zero out, and about {half * family:.0f} points "
        f"to be called better after Holm's correction for {len(rows)} comparisons: what is smaller stays unseen."
    )


def balancer_findings(table: pd.DataFrame) -> list[str]:  # of the study `balancers`
    "What the study allows to be said, in sentences with their numbers; raises `UserError` without the single-task baselines."
    block = balanced_subset(table)
    seeds, runs, chosen = block.seed.nunique(), list(dict.fromkeys(block.run)), choose(block)
    lines = [
        f"{len(runs)} of {len(BALANCER_RUNS)} runs, each with {seeds} seed{'s' if seeds > 1 else ''} and {int(block.steps.max())} steps."
    ]
    if None in chosen.values():
        return lines + [
            "Nothing can be said yet: it takes at least one run with fixed weights and one with a balancer."
        ]
    rows = list(paired_differences(block, chosen["fixed"]).itertuples())
    lines += [_choice(block, runs, chosen), *_numbers(block, runs, chosen, rows)]
    if seeds < 2:
        return lines + ["Finding: none. With one seed there is no telling a difference from luck."]
    if nothing := failed_runs(block):
        lines.append(
            f"Learned next to nothing: {', '.join(f'{run} in {t} (seed {seed})' for run, seed, t in nothing)}. Δm of every run carries such an accident, since it is taken from the single tasks seed by seed."
        )
    lines.append(_what_can_be_seen(rows, seeds))
    return lines + list(_verdict(rows, chosen["fixed"], chosen["balancer"], runs))


KIND_STYLES = {
    "single-task": dict(marker="*", color="black"),
    "fixed weights": dict(marker="s", color=OKABE_ITO["vermillion"]),
    "control": dict(marker="D", color="#777777"),
    "balancer": dict(marker="o", color=OKABE_ITO["blue"]),
}  # kind -> marker and colour


def delta_m_figure(block: pd.DataFrame, part: str = "test") -> Figure:
    "Δm of each run with its 95 % interval over seeds, sorted; small marks: the seeds."
    change = delta_m(block, part)
    rows = sorted(
        ((r, *mean_and_interval(own)) for r, own in change.groupby(level="run", sort=False)), key=lambda r: r[1]
    )
    with style():
        fig = Figure(figsize=(4.6, 0.7 + 0.19 * len(rows)), dpi=110, layout="constrained")
        ax = fig.subplots()
        for y, (run, mean, low, high) in enumerate(rows):
            look = KIND_STYLES[run_kind(run)]
            if not np.isnan(low):
                ax.plot([low, high], [y, y], color=look["color"], lw=1.2, alpha=0.6)
            ax.plot(change[run], [y] * len(change[run]), "|", color=look["color"], ms=5, alpha=0.6)
            ax.plot(mean, y, ls="", ms=5, **look)
        for kind, look in KIND_STYLES.items():
            ax.plot([], [], ls="", ms=5, label=kind, **look)
        ax.axvline(0, color="black", lw=0.6, ls=":")
        ax.set_yticks(range(len(rows)), [r[0] for r in rows])
        ax.set(xlabel=f"Δm on {part} against single tasks, percent")
        ax.legend(fontsize=6.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return fig


def front_figure(
    block: pd.DataFrame, part: str = "test", named: tuple = ()
) -> Figure:  # named: runs whose names are written beside their points
    "Mean scores of each pair of tasks; the line joins the fixed weights that no other fixed weights dominate in these two tasks."
    means = headline_scores(block, part).groupby(level="run", sort=False).mean()
    with style():
        fig = Figure(figsize=(7.6, 2.5), dpi=110, layout="constrained")
        for ax, (a, b) in zip(fig.subplots(1, 3), combinations(TASKS, 2)):
            fixed = means.loc[[r for r in means.index if is_fixed(r)], [a, b]]
            front = fixed[pareto_front(fixed)].sort_values(a)
            ax.plot(front[a], front[b], color=KIND_STYLES["fixed weights"]["color"], lw=0.8, alpha=0.6, zorder=0)
            for run, (x, y) in means[[a, b]].iterrows():
                ax.plot(x, y, ls="", ms=8 if run == "alone" else 4.5, **KIND_STYLES[run_kind(run)])
                if run in named:
                    ax.annotate(run, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=6)
            ax.set(
                xlabel=f"{TASK_LABELS[a]}: {METRIC_LABELS[PRIMARY_METRIC[a]]}",
                ylabel=f"{TASK_LABELS[b]}: {METRIC_LABELS[PRIMARY_METRIC[b]]}",
            )
            ax.margins(0.14)
        marks = [ax.plot([], [], ls="", ms=5, label=kind, **look)[0] for kind, look in KIND_STYLES.items()]
        fig.legend(handles=marks, fontsize=6.5, loc="outside upper center", ncols=len(marks))
    return fig


def pareto_runs(block: pd.DataFrame, part: str = "test") -> list[str]:  # runs
    "The runs (single tasks left out) that no other run is better than in all three tasks, by mean scores."
    means = headline_scores(block, part).groupby(level="run", sort=False).mean().drop(index="alone", errors="ignore")
    return means.index[pareto_front(means)].tolist()
