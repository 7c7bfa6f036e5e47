"""`mtl_figures`: draws the figures from result files."""

import contextlib
from pathlib import Path

from fastcore.script import Param

from ..core.errors import UserError
from ..core.files import resolve, short_path
from ..plots.architecture import ARCHITECTURE_FIGURES
from ..plots.comparison import COMPARISON_FIGURES, write_data_counts
from ..plots.figures import FIGURES, make_figures
from ..plots.gradients import GRADIENT_FIGURES
from ..plots.imbalance import IMBALANCE_FIGURES
from ..plots.predictions import PREDICTION_FIGURES
from ..plots.sharing import SHARING_FIGURES
from .program import command

__all__ = []

ALL_FIGURES = (
    FIGURES
    | ARCHITECTURE_FIGURES
    | COMPARISON_FIGURES
    | PREDICTION_FIGURES
    | GRADIENT_FIGURES
    | IMBALANCE_FIGURES
    | SHARING_FIGURES
)  # file name -> function of the results folder; later ones replace earlier ones of the same name


@command
def mtl_figures(
    results_dir: Param("folder with logs/ and evaluation_results.csv", str) = "results",
    format: Param("file format", str, choices=["png", "pdf", "svg"]) = "png",
):
    "Draws the figures from result files, or says which command makes the file that is missing."
    results = resolve(results_dir)
    if (results / "config.json").is_file() and not (results / "data_counts.csv").is_file():
        with contextlib.suppress(UserError):
            write_data_counts(results)  # no data here: the figure says so
    for path in make_figures(results, format, figures=ALL_FIGURES):
        print(short_path(Path(path)))
