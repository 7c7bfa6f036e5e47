"""`mtl_train`: trains one network on all tasks and evaluates it."""

import os
import sys
from pathlib import Path

from fastcore.script import Param

from ..config import RECIPES, Config, make_config
from ..core.device import choose_device
from ..core.errors import UserError
from ..core.files import resolve, short_path
from ..data.checking import check_labels
from ..data.sources import prepare_data
from ..losses import make_balancer
from ..models.checkpoint import load_model
from ..plots.figures import make_figures
from ..training.batch_size import find_batch_size as search_batch_size
from ..training.distributed import start_fabric
from ..training.loop import train
from ..training.run_folder import config_to_resume
from ..training.state import TrainState
from .data import refuse_problems
from .evaluate import score_and_report
from .program import command, with_config_options

__all__ = []


@command
@with_config_options
def mtl_train(
    recipe: Param("named recipe that the other options change", str, choices=list(RECIPES)) = "laptop",
    resume: Param("go on from the last checkpoint in results_dir, with its config", bool) = False,
    overwrite: Param("replace the run that lies in results_dir, once the new one has a checkpoint", bool) = False,
    no_test: Param("do not evaluate on the test split at the end", bool) = False,
    find_batch_size: Param(
        "train nothing: measure steps of growing batch size and print the largest sensible one", bool
    ) = False,
    **overrides,
):
    "Trains one network on all tasks, evaluates it, and writes checkpoints, tables and figures."
    config = _choose_config(recipe, resume, overrides)
    make_balancer(config.balancer, config.tasks, **config.balancer_settings)  # a wrong option is found now
    if find_batch_size:
        return _tell_batch_size(config)
    fabric = start_fabric(config, launch=True)
    state = train(config, resume, fabric=fabric, prepare=_prepare_and_check, overwrite=overwrite)
    if fabric.global_rank == 0 and not no_test:
        _report(state)


def _choose_config(recipe: str, resume: bool, overrides: dict) -> Config:
    "The config of a recipe, or of the run to resume, with the options that were given."
    changes = {name: value for name, value in overrides.items() if value is not None}
    config = make_config(recipe, **changes)
    saved = config_to_resume(resolve(config.results_dir))
    if resume and saved.exists():
        return Config.load(saved).replace(**changes)
    return config


def _prepare_and_check(config: Config, progress: bool = True):
    "Makes the world where it is missing and reads every label."
    prepare_data(config, progress)
    report = check_labels(resolve(config.data_root), config.tasks, config.empty_labels)
    if report.problems:
        print(report, file=sys.stderr)
    note = f" (labels only; `mtl_data check {config.data_root}` also decodes every image)"
    refuse_problems(report, config.data_root, note)


def _report(state: TrainState):
    "Scores the best model, draws the figures and says where everything is."
    config = state.config
    results = resolve(config.results_dir)
    checkpoint = results / "checkpoints" / "model_best.pt"
    split = "test" if config.split_rule == "held_out" else "val"  # the specification's rule has no test split
    device = choose_device(config.device)
    score_and_report(config, load_model(checkpoint, device), checkpoint, device, split, results)
    figures = ", ".join(Path(path).name for path in make_figures(results))
    print(
        f"trained in {state.seconds / 60:.1f} minutes; best epoch {state.best_epoch} of {config.epochs}\n"
        f"checkpoint  {short_path(checkpoint)}\n"
        f"log         {short_path(results / 'logs' / 'training.log')}\n"
        f"scores      {short_path(results / 'evaluation_results.csv')}\n"
        f"figures     {figures}"
    )


def _tell_batch_size(config: Config):
    "Prints what steps of each batch size take, and the choice; keeps the table."
    if "LOCAL_WORLD_SIZE" in os.environ:
        raise UserError("find_batch_size measures one process: start it without torchrun")
    search = search_batch_size(config)
    table = search.table[search.table.fits]
    table = table.assign(peak_memory_gib=table.memory / 2**30)
    columns = ["batch_size", "images", "seconds", "low", "high", "images_per_second", "peak_memory_gib"]
    print(table[columns].to_string(index=False, float_format="{:.3g}".format))
    print(f"{search}\ntable       {short_path(search.write())}")
