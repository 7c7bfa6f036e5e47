"""Everything that is made before the first step of a run, in the order that mistakes ask for."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from lightning_fabric import Fabric
from torch.utils.data import DataLoader

from ..config import Config
from ..core.seeds import seed_everything
from ..data.loaders import evaluation_loader, training_loader
from ..data.shared_memory import check_shared_memory
from ..losses.schedules import parse_schedule
from .distributed import run_on_rank_zero, start_fabric
from .gradients import GradientLog
from .log import TrainingLog
from .run_folder import RunFolder, open_run, pending_run
from .state import TrainState, create_train_state

__all__ = []


class Setup(NamedTuple):
    "What is made before the first step."

    fabric: Fabric
    state: TrainState
    train_loader: DataLoader
    val_loaders: dict  # task -> its validation loader
    log: TrainingLog
    gradient_log: GradientLog
    total_steps: int  # of the whole run
    run: RunFolder  # where checkpoints and logs go


def make_loaders(
    fabric: Fabric,
    config: Config,
    progress: bool = True,
) -> tuple[DataLoader, dict]:  # the second: task -> its validation loader
    "This process's training loader and one validation loader per task."
    train_loader = training_loader(config, fabric.global_rank, fabric.world_size, progress)
    return train_loader, {task: evaluation_loader(config, "val", (task,)) for task in config.tasks}


@contextlib.contextmanager
def set_up(
    config: Config,
    resume: bool,  # go on from results_dir/checkpoints/last.pt
    overwrite: bool,  # begin although results_dir holds a run, and replace it
    progress: bool,  # show a bar
    fabric: Fabric | None,  # None: started here
    prepare: Callable,  # (config, progress): makes or checks the data, in the first process
) -> Iterator[Setup]:
    "Makes what the loop needs, and holds the run's folder while it trains."
    parse_schedule(config.weight_schedule, config.tasks)  # a mistake is told before anything is made
    check_shared_memory(config)
    fabric = fabric or start_fabric(config)
    first = fabric.global_rank == 0
    with open_run(fabric, config, resume, overwrite) as run:
        with pending_run(fabric, run, config):
            run_on_rank_zero(fabric, partial(prepare, config, progress))
            seed_everything(config.seed)
            train_loader, val_loaders = make_loaders(fabric, config, progress and first)
            state = create_train_state(fabric, config, train_loader, imagenet=run.checkpoint is None)
        if run.checkpoint:
            state.load(run.checkpoint)
        if first:
            run.begin(config)
        total_steps = train_loader.batch_sampler.steps * config.epochs
        with contextlib.closing(TrainingLog(run.place, state.step, first, total_steps if progress else None)) as log:
            log.begin(state, run.checkpoint is not None, total_steps, fabric)
            gradient_log = GradientLog(run.place, config.gradient_log_every, state.step, first)
            run.logs = [log, gradient_log]
            state.start_clock()
            yield Setup(fabric, state, train_loader, val_loaders, log, gradient_log, total_steps, run)
