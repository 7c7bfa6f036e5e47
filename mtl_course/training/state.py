"""Everything that changes while training, how it is saved, and how a run goes on from it."""

import math
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric

from ..config import Config
from ..core.errors import UserError
from ..core.files import atomic_write, short_path
from ..core.memory import is_out_of_memory
from ..core.seeds import get_random_states, set_random_states
from ..core.task import TASKS
from ..losses import Balancer, balancer_options, make_balancer
from ..models.checkpoint import checkpoint_config, load_fitting_weights, load_weights, read_checkpoint
from ..models.multi_task_model import MultiTaskModel, model_from_config
from .optimizer import make_optimizer

__all__ = ["TrainState", "create_train_state"]

_FIELDS_FREE_ON_RESUME = {
    "num_workers",
    "cache_images",
    "results_dir",
    "device",
    "checkpoint_every",
    "pretrained",
    "init_from",
    "gradient_log_every",
}
_STATES = ("optimizer", "scheduler", "balancer", "random")
_ANOTHER_WAY = "train anew, from its weights with --init_from"
_COUNTERS = ("step", "epoch", "seconds", "best", "best_epoch")


@dataclass
class TrainState:
    "Everything that changes while training; `state_dict` and `load` make it durable."

    config: Config
    model: MultiTaskModel
    optimizer: torch.optim.Optimizer  # as Fabric hands it back
    scheduler: object  # of the learning rate, one step for each of the optimiser's
    balancer: Balancer
    step: int = 0  # training steps done
    epoch: int = 0  # epochs finished, validation included
    seconds: float = 0.0  # from the first step to the last one done, over all sessions of the run
    best: float = -1.0  # checkpoint score of the best epoch
    best_epoch: int = 0
    precision: object = None  # Fabric's plugin; for float16 it holds the adaptive factor of the losses

    def start_clock(self):
        "From now on `elapsed` goes on from `seconds`."
        self._started = time.perf_counter() - self.seconds

    @property
    def elapsed(self) -> float:  # seconds of training until now
        return time.perf_counter() - self._started

    def advance(self):
        "Counts a finished step."
        self.step += 1
        self.seconds = self.elapsed

    def state_dict(self) -> dict:
        """All that the next step depends on.

        Tensors, numbers and plain lists only, so that `torch.load(weights_only=True)` reads it.
        """
        states = dict(
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scheduler=self.scheduler.state_dict(),
            balancer=self.balancer.state_dict(),
            random=get_random_states(),
            precision=self.precision.state_dict() if self.precision else {},
            config=self.config.to_dict(),
        )
        return states | {name: getattr(self, name) for name in _COUNTERS}

    def check_weights(self):
        "Raises `UserError` when a weight is not a number: nothing can go on from there."
        for name, weight in self.model.named_parameters():
            if not weight.isfinite().all():
                raise UserError(
                    f"step {self.step}: weight {name} is not finite: expected numbers; the last checkpoint is older, "
                    "so lower learning_rate, or set gradient_clip, and train again"
                )

    def save(self, path: Path):
        "Writes the checkpoint beside `path` and renames it."
        try:
            with atomic_write(path) as temporary:
                torch.save(self.state_dict(), temporary)
        except RuntimeError as e:
            if not any(words in str(e) for words in ("inline_container", "PytorchStreamWriter", "unexpected pos")):
                raise
            size = sum(tensor.nbytes for tensor in self.model.state_dict().values()) * 3 / 2**20
            raise UserError(
                f"{short_path(path)} cannot be written, the disk is full: expected room for about {size:.0f} MB; "
                "free some space, and go on with --resume"
            ) from None

    def load(self, path: Path):
        "Goes on from a checkpoint; raises `UserError` when it does not belong to this config."
        saved = read_checkpoint(path)
        load_weights(self.model, saved["model"], path)
        _check_same_config(self.config, checkpoint_config(saved, path), path)
        _check_complete(saved, path)
        loads = {name: getattr(self, name).load_state_dict for name in ("optimizer", "scheduler", "balancer")}
        loads["optimizer"] = partial(_load_optimizer, self.optimizer)
        loads["scheduler"] = partial(_load_numbers, self.scheduler)
        loads["random"] = set_random_states
        if self.precision and saved.get("precision"):
            loads["precision"] = partial(_load_numbers, self.precision)
        for name, load in loads.items():
            try:
                load(saved[name])
            except Exception as e:  # a state of another kind is stumbled over in any way
                if is_out_of_memory(e):
                    raise
                raise UserError(
                    f"{path}: {name!r} in this checkpoint is not what a training wrote ({type(e).__name__}): "
                    f"expected its state; {_ANOTHER_WAY}"
                ) from None
        for name in _COUNTERS:
            setattr(self, name, saved[name])


def _load_optimizer(optimizer, saved: dict):
    """Loads a state after a look at it: PyTorch writes beyond the end of a moment that is
    smaller than its parameter.

    Raises ValueError.
    """
    groups = optimizer.param_groups
    parameters = []
    for group in groups:
        parameters += group["params"]
    for index, moments in saved["state"].items():
        for name, moment in moments.items():
            shape = () if name == "step" else parameters[index].shape
            if moment.shape != shape or not moment.is_floating_point() or not moment.isfinite().all():
                raise ValueError(f"{name} of parameter {index}")
    for mine, given in zip(groups, saved["param_groups"], strict=True):
        if not all(_is_like(value, given.get(name, value)) for name, value in mine.items() if name != "params"):
            raise ValueError("an option of a group of parameters")
    optimizer.load_state_dict(saved)


def _load_numbers(target, saved: dict):
    "Loads a state of numbers, if they are numbers; raises ValueError."
    if not all(_is_like(value, saved.get(name, value)) for name, value in target.state_dict().items()):
        raise ValueError("a value of another kind")
    target.load_state_dict(saved)


def _is_like(mine, given) -> bool:
    "Whether a saved value is of the kind of the one whose place it takes."
    if isinstance(mine, (list, tuple)):
        return len(mine) == len(given) and all(map(_is_like, mine, given))
    if isinstance(mine, (int, float)) and not isinstance(mine, bool):
        return isinstance(given, (int, float)) and math.isfinite(given)
    return given is None or isinstance(given, bool) or type(given) is type(mine)


def _check_complete(saved: dict, path: Path):
    "Raises `UserError` for a checkpoint from which training cannot go on."
    missing = [name for name in (*_STATES, *_COUNTERS) if name not in saved]
    if missing:
        raise UserError(
            f"{path}: the checkpoint lacks {', '.join(missing)}: expected all of a training; {_ANOTHER_WAY}"
        )
    for name in _COUNTERS:
        value = saved[name]
        whole = name not in ("seconds", "best")
        is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not is_number or not (-1 if name == "best" else 0) <= value < 1e9:
            raise UserError(f"{path}: {name!r} in this checkpoint is {value!r}: expected a number; {_ANOTHER_WAY}")


def _check_same_config(config: Config, saved: Config, path: Path):
    "Raises `UserError` when a checkpoint was made with another config, as far as it matters."
    saved = saved.to_dict()
    fields = {k: v for k, v in config.to_dict().items() if k not in _FIELDS_FREE_ON_RESUME}
    changed = [name for name, value in fields.items() if saved.get(name) != value]
    if changed:
        raise UserError(
            f"{path}: the config differs in {', '.join(changed)}: expected that of the checkpoint; "
            "use the values in the run's config.json, or train anew"
        )


def create_train_state(
    fabric: Fabric,
    config: Config,
    train_loader=None,  # as `training_loader` makes it; None: no data, `total_steps` is needed
    total_steps: int = 0,  # of the whole run; 0: what the loader has
    imagenet: bool = True,  # False: random weights, whatever `pretrained` and `init_from` say
) -> TrainState:
    "The state before the first step: model on Fabric's device, optimiser, schedule and balancer."
    begins_from = config.init_from if imagenet else ""
    model = model_from_config(config if imagenet and not begins_from else config.replace(pretrained="false"))
    if begins_from:
        load_fitting_weights(model, begins_from)
    model = fabric.to_device(model)
    if config.channels_last:
        model = model.to(memory_format=torch.channels_last)
    if train_loader is not None:
        total_steps = total_steps or train_loader.batch_sampler.steps * config.epochs
        for task in config.tasks:
            TASKS[task].configure_loss(model.heads[task], config, train_loader)
    optimizer, scheduler = make_optimizer(model, config, total_steps)
    options = dict(config.balancer_settings)
    if "seed" in balancer_options(config.balancer):
        options = dict(seed=config.seed) | options  # methods that draw lots: others for another seed
    balancer = make_balancer(config.balancer, config.tasks, **options)
    optimizer = fabric.setup_optimizers(optimizer)
    return TrainState(config, model, optimizer, scheduler, balancer, precision=fabric._precision)
