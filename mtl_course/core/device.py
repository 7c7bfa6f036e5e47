"""The device and the number format in which a machine computes."""

from pathlib import Path
import torch
from .errors import UserError

__all__ = ["choose_device", "choose_precision"]


def choose_device(device: str = "auto") -> str:  # auto, cpu or cuda
    "`cpu` or `cuda`; raises `UserError` when a GPU is asked for and there is none."
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda' was asked for, but no GPU can be used here: choose cpu or auto")
    return device


def choose_precision(precision: str = "auto", device: str = "cpu") -> str:  # a Lightning Fabric precision, or auto
    """A Lightning Fabric precision; `auto` is `bf16-mixed` where the hardware computes in bfloat16,
    else `32-true`.
    """
    if precision != "auto":
        return precision
    if device == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if "avx512_bf16" in _cpu_flags() or "amx_bf16" in _cpu_flags() else "32-true"


def _cpu_flags() -> str:
    "The processor's flags as Linux lists them; empty elsewhere."
    info = Path("/proc/cpuinfo")
    return next((l for l in info.read_text().splitlines() if l.startswith("flags")), "") if info.exists() else ""
