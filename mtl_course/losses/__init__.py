"""Balancers by name, and the backward pass that gives each what it looks at."""

from .backward import NotFinite
from .balancer import Balancer
from .registry import BALANCERS, balancer_options, make_balancer
from .streamed_backward import BalancedStep, shared_input_backward, streamed_backward

__all__ = [
    "BALANCERS",
    "BalancedStep",
    "Balancer",
    "NotFinite",
    "balancer_options",
    "make_balancer",
    "shared_input_backward",
    "streamed_backward",
]
