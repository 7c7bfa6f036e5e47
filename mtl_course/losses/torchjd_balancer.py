"""Any method of TorchJD (Quinton & Rey 2024) as a balancer."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..core.errors import UserError
from .balancer import GramianBalancer

__all__ = []

COUNT_ROWS = ("MeanWeighting", "SumWeighting", "RandomWeighting", "ConstantWeighting")  # look at no coordinate
WEIGH_GRADIENTS = ("ExcessMTLWeighting", "MoDoWeighting", "SDMGradWeighting")  # want the matrix itself


class TorchJDBalancer(GramianBalancer):
    """Any method of `torchjd.aggregation`, by class name or as an object.

    Weightings of the Gramian come at the price of a Gramian, other aggregators get the gradients.
    Raises `UserError` when torchjd is missing, has no such class or does not take the options, for
    its NashMTL by name (it cannot be saved), and for a weighting of the gradients themselves that
    is given their Gramian.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        method="UPGradWeighting",  # class name in torchjd.aggregation, or an object
        input_kind: str = "gramian",  # what a Weighting is given: "gramian", or "matrix" with the same inner products
        seed: int = 0,  # of methods that draw random numbers
        **options,  # of the class
    ):
        super().__init__(tasks)
        if input_kind not in ("gramian", "matrix"):
            raise UserError(f"torchjd has input_kind {input_kind!r}: expected gramian or matrix")
        if method == "NashMTL":
            raise UserError(
                "torchjd's NashMTL keeps solver objects that cannot be saved for an exact resume: use the balancer nash"
            )
        self.input_kind = input_kind
        self.generator = torch.Generator().manual_seed(seed)
        self.method = _find_weighting(_find_method(method, options), input_kind)
        from torchjd.aggregation import Weighting

        self.needs = "gramian" if isinstance(self.method, Weighting) else "gradients"

    def solve(self, gramian, losses):
        if self.input_kind == "gramian":
            return self._call(gramian)
        eigenvalues, vectors = torch.linalg.eigh(gramian)
        return self._call(vectors * eigenvalues.clamp_min(0).sqrt())  # S with S Sᵀ = G

    def combine(
        self,
        jacobian: Tensor,  # (K, P) the present tasks' gradients
        losses: dict[str, float],
    ) -> Tensor:  # (P,)
        "The shared gradient, of an aggregator that looks at coordinates."
        return self._call(jacobian)

    def _call(self, matrix: Tensor) -> Tensor:
        "The method's answer; the global random numbers are left as they were."
        seed = torch.randint(2**62, (), generator=self.generator).item()
        devices = [matrix.device] if matrix.is_cuda else []
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            return self.method(matrix)

    def state_dict(self) -> dict:
        "The generator and the attributes of the method and its components that can be saved."
        return {
            "tasks": list(self.tasks),
            "generator": self.generator.get_state(),
            "parts": [_plain_state(module, self.method) for module in self.method.modules()],
        }

    def load_state_dict(self, state: dict):
        """Goes on where `state_dict` was taken; raises `UserError` for another method's or tasks'
        state.
        """
        modules = list(self.method.modules())
        if list(state.get("tasks", [])) != list(self.tasks) or len(state.get("parts", [])) != len(modules):
            name = type(self.method).__name__
            raise UserError(f"the saved state is not one of torchjd's {name} for the tasks {list(self.tasks)}")
        self.generator.set_state(state["generator"].cpu())
        for module, attributes in zip(modules, state["parts"]):
            for name, value in attributes.items():
                setattr(module, name, value)


def _find_method(method, options: dict):
    "A TorchJD object from its class name, or the object itself."
    if not isinstance(method, str):
        return method
    try:
        import torchjd.aggregation as library
    except ImportError as error:
        raise UserError(
            "the balancer 'torchjd' needs the package torchjd: pip install 'mtl_course[balancers]'"
        ) from error
    if not hasattr(library, method):
        raise UserError(f"torchjd.aggregation has no {method!r}: expected one of {', '.join(sorted(library.__all__))}")
    try:
        return getattr(library, method)(**options)
    except (TypeError, ValueError, ImportError) as error:
        raise UserError(f"torchjd's {method} cannot be made with the options {options}: {error}") from error


def _find_weighting(method, input_kind: str):
    "The weighting that makes up an aggregator, where there is one; else the aggregator."
    if f"{type(method).__name__}Weighting" in COUNT_ROWS:
        method = method.weighting
    method = getattr(method, "gramian_weighting", method)
    ancestors = {ancestor.__name__ for ancestor in type(method).__mro__}
    if input_kind == "gramian" and ancestors & set(WEIGH_GRADIENTS):
        raise UserError(
            f"torchjd's {type(method).__name__} weighs gradients, not their Gramian: choose input_kind=matrix if "
            "their inner products are all that it uses, else an aggregator"
        )
    return method


def _plain_state(module, method) -> dict:  # attribute -> value
    "What can be saved of a TorchJD module: tensors, numbers, names and tuples of them."
    attributes = vars(module) | module._buffers
    attributes = {k: v for k, v in attributes.items() if k != "training" and not k.startswith("__")}
    foreign = [k for k, v in attributes.items() if type(v).__module__.partition(".")[0] in ("cvxpy", "numpy")]
    if foreign:
        raise UserError(
            f"torchjd's {type(method).__name__} keeps {', '.join(foreign)}, which cannot be saved for an exact "
            "resume: use the course's own version"
        )
    return {k: v.clone() if isinstance(v, Tensor) else v for k, v in attributes.items() if _is_plain(v)}


def _is_plain(value) -> bool:
    "True for what `torch.load(weights_only=True)` reads."
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (Tensor, bool, int, float, str, torch.dtype))
