"""The table of benchmarks/gradient_flow.py: what flows through the backbone under weights, clipping
and balancers.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..config import TASKS
from ..core.statistics import holm, mean_and_interval, mean_p_value

__all__ = []

LONG_RUNS = {"equal": "1 / 1 / 1", "boosted": "5 / 30 / 1", "uncertainty": "uncertainty"}  # run -> weights
WHOLE = "trunk"  # the stage under which the table keeps the whole backbone


@dataclass
class GradientFlow:
    """Gradients and losses of the runs, means over windows of steps."""

    gradients: pd.DataFrame  # run, step, stage, layer, depth, kind, task, norm, share, cosine, ratio, conflict
    losses: pd.DataFrame  # run, step, task, loss, weight

    def series(
        self,
        column: str,  # norm, share, cosine, ratio or conflict
        run: str,
        task: str = "all",  # a task, a pair such as detection+lane, or all
        stage: str = WHOLE,
    ) -> pd.Series:  # index step: the middle of a window
        """One number per window."""
        rows = self.gradients[(self.gradients.run == run) & (self.gradients.task == task)]
        return rows[(rows.stage == stage) & rows.layer.isna()].set_index("step")[column]

    def mean(self, column: str, run: str, task: str = "all", stage: str = WHOLE) -> float:
        """The mean over the windows; NaN where nothing was recorded."""
        return self.series(column, run, task, stage).mean()

    def grid(self, column: str, run: str, task: str) -> pd.DataFrame:  # layers, the image's side first, × windows
        """One quantity by layer and window."""
        rows = self.gradients[(self.gradients.run == run) & (self.gradients.task == task)]
        return rows[rows.layer.notna()].pivot_table(index="layer", columns="step", values=column, sort=False)

    def profile(self, run: str, task: str, last: bool = True) -> pd.Series:  # index depth, 0 at the image
        """The norm at each convolution, in the last or the first window."""
        rows = self.gradients[(self.gradients.run == run) & (self.gradients.task == task)]
        rows = rows[rows.layer.notna()]
        step = rows.step.max() if last else rows.step.min()
        return rows[rows.step == step].set_index("depth").norm

    def loss(self, run: str, task: str) -> pd.Series:  # index step
        """The loss by window."""
        rows = self.losses[(self.losses.run == run) & (self.losses.task == task)]
        return rows.set_index("step").loss

    def summary(self, runs: list[str]) -> pd.DataFrame:  # one row per run
        """Length of the whole gradient, relative updates, shares and last losses."""
        records = {}
        for run in runs:
            record = {"gradient norm": self.mean("norm", run, stage="network")}
            record["update / weight"] = self.mean("ratio", run)
            for task in self.losses.task.unique():
                record[f"share, {TASKS[task].short}"] = self.mean("share", run, task)
            for task in self.losses.task.unique():
                record[f"last loss, {TASKS[task].short}"] = self.loss(run, task).iloc[-1]
            records[run] = record
        return pd.DataFrame(records).T


def read_flow(results_dir: str | Path) -> GradientFlow:
    """Reads results/gradient_flow.csv and results/gradient_flow_losses.csv."""
    folder = Path(results_dir)
    return GradientFlow(pd.read_csv(folder / "gradient_flow.csv"), pd.read_csv(folder / "gradient_flow_losses.csv"))


def mean_cosines(groups: dict) -> pd.DataFrame:  # (stage, pair) -> values that count as independent
    """Mean cosine of each place, with interval, p-value and Holm's correction."""
    records = []
    for (stage, pair), values in groups.items():
        mean, low, high = mean_and_interval(values)
        records.append(dict(stage=stage, pair=pair, mean=mean, low=low, high=high, p=mean_p_value(values)))
    table = pd.DataFrame(records)
    return table.assign(p_holm=holm(table.p)).set_index(["stage", "pair"])


def seed_cosines(path: str | Path) -> pd.DataFrame:  # results/affinity_cosines.csv -> as `mean_cosines`, conflicts
    """Mean cosine of each stage and pair over the seeds: the steps of a run are not independent,
    the runs are.

    `conflict`: the share of the recorded steps with a cosine below zero.
    """
    table = pd.read_csv(path)
    table = table[table.stage != WHOLE]
    by_seed = table.groupby(["stage", "task", "seed"], sort=False).cosine.mean()
    groups = {place: values for place, values in by_seed.groupby(["stage", "task"], sort=False)}
    means = mean_cosines(groups)
    conflict = table.assign(conflict=table.cosine < 0).groupby(["stage", "task"], sort=False).conflict.mean()
    return means.assign(conflict=[conflict[place] for place in means.index])
