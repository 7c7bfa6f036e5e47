"""The playground's figure: the weights, and every curve with the setting that made it."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..core.task import TASKS
from .background_training import HIGHEST, LOWEST, Curve
from .base import DPI, widget_style

__all__ = []

_DASHES = ("--", ":", "-.", (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 4)), (0, (8, 2, 2, 2)))
_GREYS = ("#555555", "#777777", "#444444", "#888888", "#666666", "#333333", "#999999")


def running_mean(
    values: list,
    n: int = 10,  # of the last n values, or of as many as there are
) -> np.ndarray:
    """Each value averaged with the n − 1 before it."""
    total = np.cumsum([0.0, *values])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - n, 0)
    return (total[ends] - total[starts]) / (ends - starts)


class PlaygroundBoard:
    """The playground's figure; `update` puts curves and weights into it, `pixels` draws it.

    Axes are made once, and only lines and texts change: the picture is drawn again and again
    beside the training. matplotlib's settings are global, and a thread that changed them would
    change the user's figures.
    """

    def __init__(
        self,
        tasks: tuple[str, ...],  # in the order of the weights
        ghosts: int = 5,  # how many earlier curves have room
    ):
        self.tasks = tasks
        self.rows = max(1, ghosts)
        self._background = None
        with widget_style():
            self.figure = Figure(figsize=(9.6, 4.4), layout="none")
            rows = dict(bottom=0.11, top=0.93, hspace=0.28)
            left = self.figure.add_gridspec(2, 1, left=0.11, right=0.27, **rows)
            grid = self.figure.add_gridspec(2, len(tasks), left=0.355, right=0.99, wspace=0.36, **rows)
            self.left = (self.figure.add_subplot(left[0, 0]), self.figure.add_subplot(left[1, 0]))
            self._weights_panel(self.left[0])
            self._legend_panel(self.left[1])
            self.loss = {}  # task -> (axes, lines)
            self.score = {}
            for column, task in enumerate(tasks):
                first = column == 0
                self.loss[task] = self._panel(
                    grid[0, column], task, TASKS[task].title, ylabel="loss, mean of 10 steps" if first else ""
                )
                metric = TASKS[task].metrics[TASKS[task].primary_metric]
                self.score[task] = self._panel(
                    grid[1, column], task, metric, xlabel="step", ylabel="validation score" if first else ""
                )

    def _panel(self, place, task: str, title: str, xlabel: str = "", ylabel: str = "") -> tuple[Axes, list[Line2D]]:
        """Axes with a line for each curve; the last one is the present curve's.

        Labels have fixed places and ticks are few: most of the drawing time goes into texts.
        """
        axes = self.figure.add_subplot(place)
        axes.set_title(title, y=1.02)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.xaxis.set_label_coords(0.5, -0.16)
        width = axes.get_position().width * self.figure.get_figwidth()
        axes.yaxis.set_label_coords(-0.47 / width, 0.5)  # 0.47 inches left of the axis: beyond "0.04"
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(3))
        if not xlabel:
            axes.tick_params(labelbottom=False)
        lines = [self._ghost_line(axes, row) for row in range(self.rows)]
        lines += axes.plot([], [], color=TASKS[task].colour, lw=2.2, ms=4, zorder=3)
        return axes, lines

    def _ghost_line(self, axes: Axes, row: int) -> Line2D:
        style = dict(ls=_DASHES[row % len(_DASHES)], color=_GREYS[row % len(_GREYS)])
        return axes.plot([], [], lw=1.1, mfc="white", ms=3.5, zorder=2, **style)[0]

    def _weights_panel(self, axes: Axes):
        """Bars of the weights and a diamond for what the balancer makes of them."""
        number = len(self.tasks)
        colours = [TASKS[task].colour for task in self.tasks]
        self.bars = axes.barh(range(number), [1] * number, left=LOWEST, height=0.5, color=colours)
        (self.diamonds,) = axes.plot([], [], "D", ms=6, mfc="white", mec="black", zorder=4)
        axes.set(
            xscale="log",
            xlim=(LOWEST, HIGHEST),
            xticks=(0.01, 1, 100),
            xticklabels=("0.01", "1", "100"),
            ylim=(number - 0.4, -0.8),
            yticks=range(number),
            yticklabels=self.tasks,
        )
        axes.minorticks_off()
        self.weights_title = axes.set_title("", y=1.02)
        self.values = [axes.text(LOWEST * 1.3, row - 0.27, "", va="bottom", fontsize=9) for row in range(number)]

    def _legend_panel(self, axes: Axes):
        """A line and a text for each curve."""
        axes.set_axis_off()
        axes.set(xlim=(0, 1), ylim=(self.rows + 1.2, -0.5))
        order = "\n".join(textwrap.wrap(" / ".join(self.tasks), 38))
        axes.text(-0.55, -0.1, order, fontsize=9, weight="bold", va="bottom")
        rows = range(self.rows + 1)
        self.keys = [axes.plot([-0.55, -0.28], [row + 0.6] * 2, lw=1.2, clip_on=False)[0] for row in rows]
        self.names = [axes.text(-0.22, row + 0.6, "", va="center", fontsize=9) for row in rows]

    def update(
        self,
        weights: dict[str, float],  # of the next step
        balancer: str,  # of the next step
        curve: Curve,  # the present one
        ghosts: list[Curve],  # earlier ones
        until: float = np.inf,  # last step that is drawn
    ) -> Figure:
        """The figure with these curves."""
        for task in self.tasks:
            for line in (*self.loss[task][1], *self.score[task][1]):
                line.set_data([], [])
            for shown, row in self._with_rows(curve, ghosts):
                self._set_curve(task, shown, row)
        self._scale()
        if np.isfinite(until):
            self._cut(until)
        self.update_setting(weights, balancer, curve, ghosts)
        return self.figure

    def update_setting(self, weights: dict[str, float], balancer: str, curve: Curve, ghosts: list[Curve]):
        """The left column alone: the weights of the next step, and the legend."""
        self._show_weights(weights, balancer, curve)
        self._show_legend(self._with_rows(curve, ghosts), Curve(weights, balancer).label)

    def pixels(
        self,
        dpi: int = DPI,  # pixels per inch
        curves_too: bool = True,  # False: only the left column is drawn anew, on the last picture of the rest
    ) -> np.ndarray:
        """The figure drawn, uint8 (H, W, 3)."""
        if self._background is None:
            self.canvas = FigureCanvasAgg(self.figure)
            self.figure.set_dpi(dpi)
        if curves_too or self._background is None:
            for axes in self.left:
                axes.set_visible(False)
            self.canvas.draw()
            self._background = self.canvas.copy_from_bbox(self.figure.bbox)
            for axes in self.left:
                axes.set_visible(True)
        self.canvas.restore_region(self._background)
        for axes in self.left:
            axes.draw(self.canvas.get_renderer())
        return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()

    def _with_rows(self, curve: Curve, ghosts: list[Curve]) -> list[tuple[Curve, int]]:
        """Each curve with the number of its line in the panels: ghosts keep theirs."""
        return [(ghost, ghost.number % self.rows) for ghost in ghosts] + [(curve, self.rows)]

    def _set_curve(self, task: str, curve: Curve, row: int):
        n = len(curve.steps)  # a thread may append meanwhile
        loss = self.loss[task][1][row]
        loss.set_data(curve.steps[:n], running_mean(curve.losses[task][:n]))
        loss.set_marker("o" if n == 1 else "")  # one point makes no line
        score = self.score[task][1][row]
        score.set_data(np.array(curve.scores[task]).reshape(-1, 2).T)
        score.set_marker(TASKS[task].marker)

    def _scale(self):
        """All panels share the steps; the steep first steps may leave a panel at its top."""
        steps = [np.concatenate(_coordinates(lines, "x")) for _, lines in self.loss.values()]
        last = max(10, np.concatenate(steps).max(initial=0))
        for task in self.tasks:
            losses = np.concatenate(_coordinates(self.loss[task][1], "y"))
            scores = np.concatenate(_coordinates(self.score[task][1], "y"))
            for axes in (self.loss[task][0], self.score[task][0]):
                axes.set_xlim(0, last * 1.03)
            self.loss[task][0].set_ylim(*_loss_range(losses))
            top = max(0.1, 1.15 * scores.max()) if len(scores) else 1
            self.score[task][0].set_ylim(-0.03 * top, top)

    def _cut(self, until: float):
        """Hides what comes after a step; the scales stay."""
        for _, lines in (*self.loss.values(), *self.score.values()):
            for line in lines:
                x, y = np.asarray(line.get_data(), float)
                line.set_data(x[x <= until], y[x <= until])

    def _show_weights(self, weights: dict[str, float], balancer: str, curve: Curve):
        """The bars, their numbers, and the diamonds of a balancer that has used numbers."""
        last = curve.last(curve.used) if balancer != "fixed" else {}
        used = [last.get(task, np.nan) for task in self.tasks]
        for task, bar, text, weight_used in zip(self.tasks, self.bars, self.values, used):
            weight = weights[task]
            bar.set_width(weight - LOWEST if weight > LOWEST else LOWEST * 0.2)
            words = f", used {weight_used:.3g}" if np.isfinite(weight_used) else ""
            text.set_text(f"{weight:.3g}{words}")
        self.diamonds.set_data(np.clip(used, LOWEST, HIGHEST), range(len(self.tasks)))
        self.weights_title.set_text("weights now" if balancer == "fixed" else f"weights now, {balancer}")

    def _show_legend(self, entries: list[tuple[Curve, int]], now: str):
        """The present setting first, then the ghosts, the newest first."""
        entries = entries[::-1]
        for place, (key, name) in enumerate(zip(self.keys, self.names)):
            key.set_visible(place < len(entries))
            if place >= len(entries):
                name.set_text("")
                continue
            curve, row = entries[place]
            name.set_text(curve.label if place else _present_label(curve, now))
            dashes = _DASHES[row % len(_DASHES)] if place else "-"
            colour = _GREYS[row % len(_GREYS)] if place else "black"
            key.set(linewidth=1.2 if place else 2.2, color=colour, linestyle=dashes)


def _present_label(curve: Curve, now: str) -> str:
    if now == curve.label or not curve.steps:
        return f"{now} (now)"
    return f"{curve.label}, next {now}"


def _coordinates(lines: list[Line2D], axis: str) -> list[np.ndarray]:
    return [np.asarray(line.get_xdata() if axis == "x" else line.get_ydata(), float) for line in lines]


def _loss_range(losses: np.ndarray) -> tuple[float, float]:
    """From a little below the lowest loss to the highest, but for the steep tenth at the start."""
    if not len(losses):
        return 0.0, 1.0
    low = losses.min()
    high = max(np.quantile(losses, 0.9), low + 1e-3)
    margin = 0.15 * (high - low) + 0.02 * high
    return low - margin, high + 2 * margin
