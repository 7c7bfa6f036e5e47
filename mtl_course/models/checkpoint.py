"""Trained networks as files: read without running code, and refused in one sentence when they do
not fit.
"""

import textwrap
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config import Config
from ..core.errors import UserError
from ..core.files import resolve
from .multi_task_model import MultiTaskModel, model_from_config

__all__ = ["load_model", "load_weights", "read_checkpoint"]

_REMEDY = "train again or use another file"


def read_checkpoint(
    path: str | Path,  # a file written by the training loop, absolute or relative to the project
) -> dict:
    """A checkpoint's content on the CPU, tensors and plain values only.

    Raises `UserError` when it is missing, cut off or something else.
    """
    try:
        state = torch.load(resolve(path), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint; make train (or mtl_train) writes one") from None
    except (RuntimeError, EOFError, zipfile.BadZipFile, OSError) as e:
        first_line = next(iter(str(e).splitlines()), type(e).__name__)
        reason = textwrap.shorten(first_line, 120, placeholder=" …")
        raise UserError(f"{path}: not a readable checkpoint ({reason}); {_REMEDY}") from None
    except Exception:  # an unpickler stumbles over a file of another kind in any way
        raise UserError(f"{path}: not a readable checkpoint (the file is of another kind); {_REMEDY}") from None
    if not isinstance(state, dict) or not {"model", "config"} <= set(state):
        raise UserError(f"{path}: this file is no checkpoint of mtl_course (it lacks 'model' and 'config')")
    return state


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
            "(sharing, backbone_name, detection_neck, neck_channels, lane_skips, tasks)"
        )
    model.load_state_dict(weights)


def load_model(
    path: str | Path = "results/checkpoints/model_best.pt",  # absolute or relative to the project
    device: str = "cpu",
) -> MultiTaskModel:  # in evaluation mode; `model.config` is the config it was trained with
    """The trained model of a checkpoint, ready to predict; raises `UserError` for a file that is
    not one.
    """
    state = read_checkpoint(path)
    config = Config.from_dict(state["config"]).replace(pretrained="false")
    model = model_from_config(config)
    load_weights(model, state["model"], path)
    model.config = config
    return model.to(device).eval()
