"""Every balancer by its short name."""

import inspect
from collections.abc import Iterable

from ..core.errors import UserError
from .balancer import Balancer
from .gradient_balancers import IMTLG, MGDA, CAGrad, NashMTL, PCGrad, UPGrad
from .loss_balancers import IMTLL, FixedWeights, GeometricMean, RandomWeights, Uncertainty
from .rarer_balancers import (
    FAMO,
    IMTL,
    AlignedMTL,
    DynamicWeightAverage,
    GradDrop,
    GradNorm,
    PositiveUncertainty,
)
from .torchjd_balancer import TorchJDBalancer

__all__ = ["BALANCERS"]

BALANCERS = {
    "fixed": FixedWeights,
    "uncertainty": Uncertainty,
    "uncertainty_positive": PositiveUncertainty,
    "dwa": DynamicWeightAverage,
    "random": RandomWeights,
    "geometric_mean": GeometricMean,
    "famo": FAMO,
    "imtl_l": IMTLL,
    "gradnorm": GradNorm,
    "mgda": MGDA,
    "pcgrad": PCGrad,
    "graddrop": GradDrop,
    "cagrad": CAGrad,
    "imtl_g": IMTLG,
    "imtl": IMTL,
    "nash": NashMTL,
    "aligned": AlignedMTL,
    "upgrad": UPGrad,
    "torchjd": TorchJDBalancer,
}
_TORCHJD = "torchjd:"


def make_balancer(
    name: str,  # a key of BALANCERS, or torchjd:<name of a weighting of TorchJD>
    tasks: Iterable[str],
    **options,  # of the method
) -> Balancer:
    "A fresh balancer; raises `UserError` for an unknown name or option."
    method = _find_class(name)
    tasks = list(tasks)
    if name.startswith(_TORCHJD):
        return method(tasks, name.removeprefix(_TORCHJD), **options)
    try:
        return method(tasks, **options)
    except TypeError as error:
        known = ", ".join(balancer_options(name)) or "none"
        raise UserError(f"balancer {name!r}: {error}; its options are {known}") from None


def balancer_options(
    name: str,  # a key of BALANCERS, or torchjd:<name>
) -> list[str]:
    "The names of a balancer's options; raises `UserError` for an unknown balancer."
    parameters = inspect.signature(_find_class(name).__init__).parameters
    return [option for option in parameters if option not in ("self", "tasks")]


def _find_class(name: str) -> type[Balancer]:
    "The class behind a balancer's name."
    if name.startswith(_TORCHJD):
        return TorchJDBalancer
    if name not in BALANCERS:
        raise UserError(f"unknown balancer {name!r}: expected one of {', '.join(BALANCERS)}, or torchjd:<weighting>")
    return BALANCERS[name]
