"""Trained networks as files: read without running code, and refused in one sentence when they do
not fit.
"""

import textwrap
import warnings
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..config import Config
from ..core.errors import UserError
from ..core.files import project_root, resolve, short_path
from ..core.inputs import refuse_special_file
from ..core.memory import is_out_of_memory
from .multi_task_model import MultiTaskModel, model_from_config
from .stored import checkpoint_path, read_packed

__all__ = [
    "check_data_root",
    "checkpoint_config",
    "load_fitting_weights",
    "load_model",
    "load_weights",
    "read_checkpoint",
]

_REMEDY = "train again or use another file"


def read_checkpoint(
    path: str | Path,  # written by the training loop or `pack_model`; or the name of the one in the box, evening
) -> dict:
    """A checkpoint's content on the CPU, tensors and plain values only.

    Raises `UserError` when it is missing, cut off or something else.
    """
    try:
        file = checkpoint_path(path)
        refuse_special_file(file, str(path))
        packed = file.suffix.lower() == ".safetensors"
        state = read_packed(file) if packed else torch.load(file, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint; make train (or mtl_train) writes one") from None
    except Exception as e:  # an unpickler stumbles over a file of another kind in any way
        raise UserError(f"{path}: {_why_unreadable(e)}") from None
    if not isinstance(state, dict) or not {"model", "config"} <= set(state):
        raise UserError(f"{path}: this file is no checkpoint of mtl_course (it lacks 'model' and 'config'); {_REMEDY}")
    for name, kind in (("model", Tensor), ("config", object)):
        values = state[name]
        if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
            raise UserError(f"{path}: {name!r} in this checkpoint is not a dict of names: expected one; {_REMEDY}")
        wrong = [key for key, value in values.items() if not isinstance(value, kind)]
        if wrong:
            raise UserError(f"{path}: {wrong[0]!r} in this checkpoint is not a tensor: expected weights; {_REMEDY}")
    return state


def _why_unreadable(error: Exception) -> str:
    if is_out_of_memory(error):
        return "memory ran out while it was read: expected room for its weights; close other programs or lift the limit"
    if not isinstance(error, (RuntimeError, EOFError, zipfile.BadZipFile, OSError, SafetensorError)):
        return f"not a readable checkpoint (the file is of another kind); {_REMEDY}"
    first_line = next(iter(str(error).splitlines()), type(error).__name__)
    return f"not a readable checkpoint ({textwrap.shorten(first_line, 120, placeholder=' …')}); {_REMEDY}"


def checkpoint_config(
    state: dict,  # as `read_checkpoint` gives it
    path: str | Path,  # where it comes from, for errors
) -> Config:
    "The config of a checkpoint; raises `UserError` naming the file when it is none."
    try:
        return Config.from_dict(state["config"])
    except UserError as e:
        raise UserError(f"{path}: {e}") from None


def load_weights(
    model: nn.Module,
    weights: dict[str, Tensor],
    path: str | Path = "checkpoint",  # where they come from, for errors
):
    """Copies weights into a model; raises `UserError` in one sentence when they belong to another
    architecture.
    """
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    given = {name: tensor.shape for name, tensor in weights.items()}
    mismatched = [name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name)]
    if mismatched:
        components = sorted({".".join(name.split(".")[:2]) for name in mismatched})
        shown = ", ".join(components[:4]) + (" …" if len(components) > 4 else "")
        raise UserError(
            f"{path}: the checkpoint is of another architecture; {len(mismatched)} of {len(expected)} tensors differ "
            f"(in {shown}); use the config it was trained with "
            "(sharing, backbone_name, detection_head, detection_neck, neck_channels, lane_skips, tasks)"
        )
    _check_numbers(weights, model.state_dict(), path)
    model.load_state_dict(weights)


def _check_numbers(weights: dict[str, Tensor], expected: dict[str, Tensor], path: str | Path):
    "Raises `UserError` for a tensor that holds no numbers of its kind, or one that is not finite."
    for name, tensor in weights.items():
        kind = "numbers with" if expected[name].is_floating_point() else "whole numbers without"
        same_kind = tensor.is_floating_point() == expected[name].is_floating_point() and not tensor.is_complex()
        if not same_kind or tensor.is_meta or tensor.layout != torch.strided:
            found = "no values" if tensor.is_meta else f"{tensor.dtype}, {tensor.layout}"
            raise UserError(f"{path}: {name!r} in this checkpoint has {found}: expected {kind} a fraction; {_REMEDY}")
        if not tensor.isfinite().all():
            raise UserError(f"{path}: {name!r} in this checkpoint is not finite: expected numbers; {_REMEDY}")


def load_fitting_weights(
    model: MultiTaskModel,
    path: str | Path,  # a checkpoint, absolute or relative to the project
) -> list[str]:  # the tasks whose heads keep the weights they have
    """Begins from the weights of a checkpoint.

    Heads that do not fit start anew, and a warning names them.

    Raises `UserError` when the backbone does not fit.
    """
    expected = model.state_dict()
    given = _with_statistics_of(model.tasks, read_checkpoint(path)["model"], expected)
    fits = {name for name, tensor in expected.items() if name in given and given[name].shape == tensor.shape}
    new = [task for task in model.tasks if not _parts_of_head(expected, task) <= fits]
    foreign = _parts_of_backbone(expected) - fits | _parts_of_backbone(given, model.tasks) - expected.keys()
    if foreign:
        raise UserError(
            f"{path}: the backbone is another one, {min(foreign)} does not fit: expected the same; choose "
            "backbone_name and sharing as in the checkpoint's config"
        )
    anew = set().union(*(_parts_of_head(expected, task) for task in new))
    model.load_state_dict({name: given[name] for name in expected.keys() - anew}, strict=False)
    if new:
        verbs = "head does not fit: it starts" if len(new) == 1 else "heads do not fit: they start"
        warnings.warn(f"{path}: its {', '.join(new)} {verbs} anew", stacklevel=2)
    return new


def _tasks_of(weights: dict) -> tuple:  # in the order of the statistics' rows
    return tuple(dict.fromkeys(name.split(".")[1] for name in weights if name.startswith("heads.")))


def _with_statistics_of(tasks: tuple, weights: dict, expected: dict) -> dict:
    """Weights with BatchNorm's running statistics of these tasks, a row for each.

    A task that is new gets the mean of the others' rows.
    """
    old = _tasks_of(weights)
    chosen = dict(weights)
    for name, rows in weights.items():
        is_row = name.endswith((".running_mean", ".running_var")) and name in expected
        if is_row and rows.ndim == 2 and len(rows) == len(old) and len(expected[name]) == len(tasks):
            chosen[name] = torch.stack([rows[old.index(task)] if task in old else rows.mean(0) for task in tasks])
    return chosen


def _parts_of_backbone(weights: dict, tasks: tuple | None = None) -> set[str]:  # tasks: of which; None: all
    absent = set() if tasks is None else set(_tasks_of(weights)) - set(tasks)
    backbone = [name for name in weights if not name.startswith("heads.")]
    return {name for name in backbone if not absent.intersection(name.split("."))}


def _parts_of_head(state: dict, task: str) -> set[str]:
    return {name for name in state if name.startswith(f"heads.{task}.")}


def check_data_root(
    config: Config,  # of a checkpoint
    path: Path,  # where it lies
):
    """Raises `UserError` when a checkpoint's data are not here and would be made outside the
    project: a file from elsewhere does not say where on this machine a world is drawn.
    """
    root = resolve(config.data_root).resolve()
    if root.is_dir() or root.is_relative_to(project_root().resolve()):
        return
    raise UserError(
        f"{short_path(path)} was trained on {config.data_root}, which is not here: expected a folder of data; "
        "say which one (--data_root)"
    )


def load_model(
    path: str | Path = "results/checkpoints/model_best.pt",  # relative to the project; or "evening"
    device: str = "cpu",
) -> MultiTaskModel:  # in evaluation mode; `model.config` is the config it was trained with
    """The trained model of a checkpoint, ready to predict; "evening" is the one in the box.

    Raises `UserError` for a file that is not one.
    """
    state = read_checkpoint(path)
    config = checkpoint_config(state, path).replace(pretrained="false")
    model = model_from_config(config)
    load_weights(model, state["model"], path)
    model.config = config
    return model.to(device).eval()
