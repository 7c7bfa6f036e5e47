"""What `from mtl_course.losses import …` gives."""

from .streamed_backward import BALANCERS, BalancedStep, make_balancer, shared_input_backward, streamed_backward
from .loss_balancers import Balancer

__all__ = ["BALANCERS", "BalancedStep", "Balancer", "make_balancer", "shared_input_backward", "streamed_backward"]
