"""A trained network as one small file: weights of 16 bits and the config, no code in it.

The package brings one such file, the network of the recipe `evening`.
"""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from ..core.errors import UserError
from ..core.files import atomic_write, resolve

__all__ = ["checkpoint_path"]

STORED = ("evening",)  # names of the networks in the box
_FOLDER = Path(__file__).parent.parent / "weights"
_BEST = "results/checkpoints/model_best.pt"  # what make train writes


def checkpoint_path(
    checkpoint: str | Path | None = None,  # a file, a name of STORED, or None: make train's, else the stored one
) -> Path:
    "Where a network lies; says so when nothing was trained here and the one in the box is taken."
    if checkpoint is None:
        if resolve(_BEST).is_file():
            return resolve(_BEST)
        print(f"{_BEST} is not there (make train writes it): taking the network in the box, evening.", flush=True)
        checkpoint = STORED[0]
    if str(checkpoint) in STORED:
        return _FOLDER / f"{checkpoint}.safetensors"
    return resolve(checkpoint)


def pack_model(
    model,  # from load_model: it has its config
    path: str | Path,  # the file to write, name.safetensors
):
    """Writes weights of 16 bits, statistics of BatchNorm as they are, and the config.

    Raises `UserError` for a weight that 16 bits cannot hold.
    """
    parameters = dict(model.named_parameters())
    tensors = {}
    for name, tensor in model.state_dict().items():
        if not tensor.isfinite().all():
            raise UserError(f"{path}: {name!r} is not finite: expected numbers; train again")
        packed = tensor.half() if name in parameters else tensor
        if not packed.isfinite().all():
            raise UserError(
                f"{path}: {name!r} does not fit into 16 bits: expected values below 65,504; keep the checkpoint"
            )
        tensors[name] = packed.contiguous()
    config = json.dumps(model.config.to_dict())
    with atomic_write(resolve(path)) as temporary:
        temporary.write_bytes(save(tensors, metadata=dict(config=config)))


def read_packed(path: Path) -> dict:  # as a checkpoint: "model", tensors of 32 bits, and "config"
    "What `pack_model` has written; raises whatever safetensors raises for another file."
    path.open("rb").close()  # safetensors calls a file missing that may not be read
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        weights = {name: _of_32_bits(file.get_tensor(name)) for name in file.keys()}
    state = dict(model=weights)
    if "config" in metadata:
        state["config"] = json.loads(metadata["config"])
    return state


def _of_32_bits(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype == torch.float16 else tensor
