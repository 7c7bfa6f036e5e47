"""Who looks at a table with many methods will find a winner: how a winner has to look, written down
beforehand.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..config import TASKS
from ..core.errors import UserError
from ..core.statistics import holm, mean_and_interval, mean_p_value
from .blocks import compare_with_control
from .plans import BALANCER_RUNS, ENOUGH_SEEDS, study_command
from .scores import delta_m, headline_scores, pareto_front

__all__ = ["balanced_subset", "failed_runs", "run_kind", "verdict"]


def run_kind(run: str) -> str:  # of the balancer study
    """`single-task`, `control` (random weights), `fixed weights` or `balancer`.

    Equal weights count as fixed ones: they are the middle of the grid.
    """
    if is_fixed(run):
        return "fixed weights"
    return {"alone": "single-task", "random": "control"}.get(run, "balancer")


def is_fixed(run: str) -> bool:
    """Whether a run of the study has fixed task weights: a candidate when these are tuned."""
    return run == "equal" or run.startswith("fixed ")


# runs without holes


def _finished_seeds(rows: pd.DataFrame, tasks: list[str]) -> set[int]:  # of one run
    "The seeds that have all headline scores on validation and on test."
    seeds = []
    for split in ("val", "test"):
        if not (rows.part == split).any():
            return set()
        full = headline_scores(rows, split).reindex(columns=tasks).dropna()
        seeds.append(set(full.index.get_level_values("seed")))
    return set.intersection(*seeds)


class _Block(NamedTuple):
    "Runs that all have these seeds."

    seeds: tuple[int, ...]
    runs: list[str]

    def worth(self) -> tuple:  # larger is better
        "First whether there is something to compare with enough seeds, then the size."
        comparable = any(map(is_fixed, self.runs)) and any(run_kind(run) == "balancer" for run in self.runs)
        size = len(self.seeds) * len(self.runs)
        first_seeds = tuple(-seed for seed in self.seeds)
        return comparable * min(len(self.seeds), ENOUGH_SEEDS), size, len(self.seeds), first_seeds


def balanced_subset(
    table: pd.DataFrame,  # STUDY_COLUMNS
    runs: tuple = tuple(BALANCER_RUNS),
    baseline: str = "alone",
) -> pd.DataFrame:  # the same columns
    """The rows of the largest set of runs × seeds without a hole, the baseline among them.

    It has `ENOUGH_SEEDS` or more where that leaves something to compare: means over different seeds
    must not be
    compared, since one seed may be luckier for everybody. Raises `UserError` when there is no
    baseline.
    """
    table = table[table.run.isin(runs)]
    tasks = [task for task in TASKS if task in set(table.task)]
    finished = {run: _finished_seeds(rows, tasks) for run, rows in table.groupby("run", sort=False)}
    seeds = sorted(finished.get(baseline, ()))
    if not seeds:
        command = study_command(runs=[baseline])
        raise UserError(f"the table has no finished run {baseline!r} to compare with; {command} makes it")
    blocks = []
    for count in range(1, len(seeds) + 1):
        for chosen in combinations(seeds, count):
            complete = [run for run in runs if run in finished and finished[run] >= set(chosen)]
            blocks.append(_Block(chosen, complete))
    best = max(blocks, key=_Block.worth)
    return table[table.run.isin(best.runs) & table.seed.isin(best.seeds)]


def failed_runs(
    block: pd.DataFrame,
    split: str = "test",
    below: float = 0.1,  # times the median over all runs
) -> list[tuple]:  # [(run, seed, task)]
    """The single runs that learned next to nothing in a task, by its headline score."""
    scores = headline_scores(block, split)
    failures = []
    for task in scores:
        failed = scores.index[scores[task] < below * scores[task].median()]
        failures += [(run, seed, task) for run, seed in failed]
    return failures


# choosing, and comparing seed by seed


def select_on_validation(
    block: pd.DataFrame,
) -> dict[str, str | None]:  # {"fixed": run, "balancer": run}; None where there is no candidate
    """The fixed weights and the balancer with the best mean Δm on validation.

    Random weights do not count as a balancer.
    """
    change = delta_m(block, "val").groupby(level="run", sort=False).mean()
    candidates = dict(
        fixed=[run for run in change.index if is_fixed(run)],
        balancer=[run for run in change.index if run_kind(run) == "balancer"],
    )
    return {kind: change[runs].idxmax() if runs else None for kind, runs in candidates.items()}


def paired_differences(
    block: pd.DataFrame,
    opponent: str,  # a run
    runs: list[str] | None = None,  # None: balancers and random weights
    split: str = "test",
) -> pd.DataFrame:  # run, mean, low, high (points of Δm), p, p_holm, seeds
    """Δm of each run minus the opponent's, seed by seed, with the paired t-interval and p-value;
    sorted by the mean.
    """
    change = delta_m(block, split).unstack("run")
    if runs is None:
        runs = [run for run in change if run_kind(run) in ("balancer", "control")]
    rows = []
    for run in runs:
        differences = (change[run] - change[opponent]).dropna()
        mean, low, high = mean_and_interval(differences)
        p = mean_p_value(differences)
        rows.append(dict(run=run, mean=mean, low=low, high=high, p=p, seeds=len(differences)))
    table = pd.DataFrame(rows, columns=["run", "mean", "low", "high", "p", "seeds"])
    return table.assign(p_holm=holm(table.p)).sort_values("mean", ascending=False, ignore_index=True)


LEAST_SCORE = 0.01  # a run that learned nothing counts as this: its logarithm would decide everything


def log_scores(block: pd.DataFrame, split: str = "test") -> pd.DataFrame:  # index seed, one column per run
    """The mean over tasks of the logarithm of the headline scores."""
    scores = headline_scores(block, split).clip(lower=LEAST_SCORE)
    return np.log(scores).mean(axis=1).unstack("run")


def block_differences(
    block: pd.DataFrame,
    opponent: str,  # a run, chosen before the split was looked at
    split: str = "test",
) -> pd.DataFrame:  # run, mean, low, high (points of Δm), p, log_change, p_log; sorted by the mean
    """Each balancer, and random weights, minus the opponent; runs × seeds are blocks.

    Intervals and p-values hold for all comparisons together: of Δm, and of the mean log score.
    """
    points = delta_m(block, split).unstack("run")
    runs = [opponent, *(run for run in points if run_kind(run) in ("balancer", "control"))]
    second = compare_with_control(log_scores(block, split)[runs], opponent).set_index("run")
    table = compare_with_control(points[runs], opponent)
    return table.assign(log_change=table.run.map(second["mean"]), p_log=table.run.map(second.p))


def block_verdict(row) -> str:  # of `block_differences`
    """`beats` or `loses to` where Δm and log scores decide alike; a hint where one of them does."""
    decided = [np.sign(change) for change, p in ((row.mean, row.p), (row.log_change, row.p_log)) if p < 0.05]
    if not decided or len(set(decided)) > 1:
        return "unclear"
    if len(decided) == 2:
        return "beats" if decided[0] > 0 else "loses to"
    return "a hint of better" if decided[0] > 0 else "a hint of worse"


def verdict(row) -> str:  # with low, high and p_holm, such as a row of `paired_differences`
    """`beats`, `loses to`, a hint of either, `unclear` or `one seed`.

    A run beats another when its interval is off zero and Holm's p-value is below 0.05; by the
    interval alone it
    is a hint.
    """
    if np.isnan(row.low):
        return "one seed"
    if row.low <= 0 <= row.high:
        return "unclear"
    if row.p_holm < 0.05:
        return "beats" if row.low > 0 else "loses to"
    return "a hint of better" if row.low > 0 else "a hint of worse"


def pareto_runs(block: pd.DataFrame, split: str = "test") -> list[str]:
    """The runs, single tasks left out, that no other run is better than in all tasks, by mean
    scores.
    """
    means = headline_scores(block, split).groupby(level="run", sort=False).mean().drop(index="alone", errors="ignore")
    return means.index[pareto_front(means)].tolist()


# sentences


def _with_interval(mean: float, low: float, high: float, unit: str = " %") -> str:
    interval = "" if np.isnan(low) else f" (95 %: {low:+.1f} to {high:+.1f})"
    return f"{mean:+.1f}{unit}{interval}"


def _selection_sentence(block: pd.DataFrame, runs: list[str], chosen: dict) -> str:
    "What validation has chosen, and of how many."
    change = delta_m(block, "val")
    fixed = sum(map(is_fixed, runs))
    balancers = sum(run_kind(run) == "balancer" for run in runs)
    return (
        f"Chosen on validation: of {fixed} fixed weights {chosen['fixed']} "
        f"(Δm {change[chosen['fixed']].mean():+.1f} %), of {balancers} balancers {chosen['balancer']} "
        f"({change[chosen['balancer']].mean():+.1f} %)."
    )


def _test_sentences(block: pd.DataFrame, runs: list[str], chosen: dict) -> list[str]:
    "What the test split says of the chosen runs and of the controls."
    change = delta_m(block, "test")
    controls = [run for run in ("equal", "random") if run in runs and run != chosen["fixed"]]
    shown = (chosen["fixed"], chosen["balancer"], *controls)
    return [f"On test, {run}: Δm {_with_interval(*mean_and_interval(change[run]))}." for run in shown]


def _difference_sentence(rows: list, chosen: dict) -> str:
    "The difference between the two chosen runs."
    best = next(row for row in rows if row.run == chosen["balancer"])
    difference = _with_interval(best.mean, best.low, best.high, " points")
    log_scores = f"{best.log_change:+.2f} in the mean log score"
    return f"As blocks, {best.run} minus {chosen['fixed']}: {difference}, and {log_scores} (p {best.p_log:.2f})."


def _failure_sentence(failures: list[tuple]) -> str:
    names = [f"{run} in {task} (seed {seed})" for run, seed, task in failures]
    return (
        f"Learned next to nothing: {', '.join(names)}. Δm of every run carries such an accident, "
        "since it is taken from the single tasks seed by seed."
    )


def _resolution_sentence(rows: list, seeds: int) -> str:
    "How large a difference must be for its interval to leave zero out."
    half = (rows[0].high - rows[0].low) / 2
    return (
        f"With {seeds} seeds, analysed as blocks, a difference has to be {half:.1f} points of Δm to leave zero out, "
        f"for all {len(rows)} comparisons together: what is smaller stays unseen."
    )


def _comparison_sentence(rows: list, opponent: str) -> str:
    "Which runs beat the opponent, lose to it, or neither."
    words = {
        "beats": "beat it",
        "loses to": "lose to it",
        "a hint of better": "a hint of better",
        "a hint of worse": "a hint of worse",
        "unclear": "cannot be told from it",
    }
    groups = []
    for outcome, phrase in words.items():
        names = [row.run for row in rows if block_verdict(row) == outcome]
        if names:
            groups.append(f"{phrase}: {', '.join(names)}")
    balancers = sum(row.run != "random" for row in rows)
    also_random = " and random weights" if len(rows) > balancers else ""
    return f"The {balancers} balancers{also_random} against {opponent}: {'; '.join(groups)}."


_CHANCE = {"unclear": ", within what chance allows", "a hint of better": " in one of two analyses"}


def _finding(rows: list, chosen: str, runs: list[str]) -> str:
    "The last sentence. Fixed weights may be called tuned when the whole grid was tried."
    grid = [run for run in BALANCER_RUNS if is_fixed(run)]
    tried = [run for run in grid if run in runs]
    tuned = len(tried) == len(grid)
    start = "Finding" if tuned else "So far"
    opponent = "tuned fixed weights"
    if not tuned:
        opponent = f"the best of {len(tried)} fixed weights (the grid has {len(grid)})"
    winners = [row.run for row in rows if block_verdict(row) == "beats" and row.run != "random"]
    if winners:
        return f"{start}: yes, here {opponent} {'are' if tuned else 'is'} beaten, by {', '.join(winners)}."
    best = next(row for row in rows if row.run == chosen)
    side = "ahead" if best.mean > 0 else "behind"
    chance = _CHANCE.get(block_verdict(best), "")
    return (
        f"{start}: no balancer was shown to beat {opponent} here; {chosen}, "
        f"the balancer chosen on validation, lies {side}{chance}."
    )


def balancer_findings(table: pd.DataFrame) -> list[str]:  # of the study `balancers`
    """What the study allows to be said, in sentences with their numbers.

    Raises `UserError` without the single-task baselines.
    """
    block = balanced_subset(table)
    runs = list(dict.fromkeys(block.run))
    seeds = block.seed.nunique()
    chosen = select_on_validation(block)
    each = f"each with {seeds} seed{'s' if seeds > 1 else ''} and {int(block.steps.max())} steps"
    sentences = [f"{len(runs)} of {len(BALANCER_RUNS)} runs, {each}."]
    if None in chosen.values():
        nothing = "Nothing can be said yet: it takes at least one run with fixed weights and one with a balancer."
        return [*sentences, nothing]
    sentences.append(_selection_sentence(block, runs, chosen))
    sentences += _test_sentences(block, runs, chosen)
    if seeds < 2:
        return [*sentences, "Finding: none. With one seed there is no telling a difference from luck."]
    rows = list(block_differences(block, chosen["fixed"]).itertuples())
    sentences.append(_difference_sentence(rows, chosen))
    failures = failed_runs(block)
    if failures:
        sentences.append(_failure_sentence(failures))
    sentences.append(_resolution_sentence(rows, seeds))
    return [*sentences, _comparison_sentence(rows, chosen["fixed"]), _finding(rows, chosen["balancer"], runs)]
