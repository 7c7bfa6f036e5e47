"""The picture of a search for the batch size."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

__all__ = []  # drawings of lessons

_BLACK, _PURPLE = "#000000", "#CC79A7"


def draw_batch_sizes(table: pd.DataFrame) -> Figure:  # of a `BatchSizeSearch`, or batch_size.csv
    """Images per second (with quartiles) and peak memory against images per step.

    The choice is filled.
    """
    table = table[table["fits"]]
    images = table["images"]
    speed = table["images_per_second"]
    memory = table["memory"] / 2**30
    figure = Figure(figsize=(3.5, 3.2))
    top, bottom = figure.subplots(2, 1, sharex=True)
    quartiles = [speed - images / table["high"], images / table["low"] - speed]
    top.errorbar(images, speed, quartiles, color=_BLACK, marker="o", ms=4, mfc="white", lw=1)
    bottom.plot(images, memory, color=_PURPLE, marker="s", ms=4, mfc="white", lw=1)
    for panel, values, marker, colour in ((top, speed, "o", _BLACK), (bottom, memory, "s", _PURPLE)):
        chosen = table["chosen"]
        panel.plot(images[chosen], values[chosen], marker, ms=6, color=colour, ls="", zorder=5, label="chosen")
        panel.set_ylim(0, 1.15 * values.max())
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_xticks(images)
        panel.minorticks_off()
    top.set(ylabel="images per second")
    top.legend(frameon=False, loc="lower right")
    bottom.set(ylabel="peak memory (GiB)", xlabel="images per step (all tasks)")
    figure.suptitle(f"training steps on {table['device'].iloc[0]}", fontsize=8)
    return figure
