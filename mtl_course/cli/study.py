"""`mtl_compare`: trains the runs of a study and shows what changed."""

import pandas as pd
from fastcore.script import Param

from ..config import RECIPES
from ..core.errors import UserError
from ..studies.plans import STUDIES, STUDY_FILE, make_study
from ..studies.scores import headline_scores, study_summary
from .program import command

__all__ = []

_SPLITS = ["val", "test"]


@command
def mtl_compare(
    study: Param("what is compared", str, choices=list(STUDIES)) = "balancers",
    seeds: Param("seeds, comma-separated", str) = "0,1,2",
    runs: Param("names of some runs, separated by ;  (empty: all)", str) = "",
    workers: Param("trainings side by side, one thread each; default: one per core, or one on the GPU", int) = None,
    split: Param("whose scores are shown: choose on val, report test (default: val)", str, choices=_SPLITS) = None,
    out: Param("the table", str) = STUDY_FILE,
    recipe: Param("recipe from which all runs start", str, choices=list(RECIPES)) = "study",
    part: Param("the former name of --split", str, choices=_SPLITS) = None,
):
    "Trains a study's runs, keeps all scores in one table, shows changes against single tasks."
    if workers is not None and workers < 1:
        raise UserError(f"workers is {workers}: expected a whole number of at least 1")
    names = [name.strip() for name in runs.split(";") if name.strip()]
    table = make_study(study, _parse_seeds(seeds), names, workers, path=out, recipe=recipe)
    table = table[table.run.isin(STUDIES[study])]
    if table.empty:
        raise UserError(f"{out}: no run of the study {study!r} could be made; the lines above say why")
    print(_summary(table, split or part or "val").to_string(index=False, float_format="{:.3f}".format))


def _parse_seeds(text: str) -> list[int]:
    try:
        return [int(seed) for seed in text.split(",")]
    except ValueError:
        raise UserError(f"seeds is {text!r}: expected whole numbers, comma-separated, such as 0,1,2") from None


def _summary(table: pd.DataFrame, split: str) -> pd.DataFrame:
    "Changes against the single-task baselines, or mean scores where those were not trained."
    if "alone" in set(table.run):
        return study_summary(table, split)
    return headline_scores(table, split).groupby(level="run", sort=False).mean().reset_index()
