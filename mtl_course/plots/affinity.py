"""Who helps whom: the effect of a step for one task on the losses of the others."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..core.task import TASKS
from .style import style

__all__ = []  # drawings of lessons


def affinity_figure(table: pd.DataFrame) -> Figure:  # of `affinity_summary`
    """A panel per target: the mean effect of each other task's step, in percent of a step for
    itself.
    """
    targets = list(dict.fromkeys(table.target))
    with style():
        fig = Figure(figsize=(7.5, 1.9), layout="constrained")
        for ax, target in zip(fig.subplots(1, len(targets)), targets):
            rows = table[(table.target == target) & (table.source != target)]
            for y, row in enumerate(rows.itertuples()):
                source = TASKS[row.source]
                ax.plot(100 * row.mean / row.own, y, source.marker, color=source.colour, ms=5)
                if np.isfinite(row.low):
                    ends = [100 * row.low / row.own, 100 * row.high / row.own]
                    ax.plot(ends, [y, y], color=source.colour, lw=1.2, alpha=0.6)
            ax.axvline(0, color="black", lw=0.6, ls=":")
            ax.set_yticks(range(len(rows)), [f"step for {TASKS[s].short}" for s in rows.source], fontsize=8)
            ax.set(ylim=(-0.6, len(rows) - 0.4), title=f"effect on {TASKS[target].short}")
            ax.set_xlabel("percent of a step for itself", fontsize=8)
            ax.tick_params(axis="x", labelsize=8)
            ax.margins(x=0.1)
    return fig
