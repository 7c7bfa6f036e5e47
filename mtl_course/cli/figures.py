"""`mtl_figures`: draws the figures from result files."""

import contextlib
from pathlib import Path

from fastcore.script import Param

from ..core.errors import UserError
from ..core.files import resolve, short_path
from ..plots.catalogue import FIGURES
from ..plots.data_counts import write_data_counts
from ..plots.figures import make_figures
from .program import command

__all__ = []


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
    for path in make_figures(results, format, figures=FIGURES):
        print(short_path(Path(path)))
