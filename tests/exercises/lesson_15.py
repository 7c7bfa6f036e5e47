"""Plausible wrong answers to the exercises of 15_training."""

WRONG = {
    "15.1": {
        "only the ends of epochs are counted": "repeated = 39 - 20",
        "multiples of 8 counted from the epoch's start": "repeated = 39 - 36",
    },
    "15.2": {
        "clips first": """
def clipped_average(a, b, largest):
    clip = lambda g: g * min(1.0, largest / max(1e-12, float(g.norm())))
    return (clip(a) + clip(b)) / 2
""",
        "always the largest length": """
def clipped_average(a, b, largest):
    mean = (a + b) / 2
    return mean * largest / max(1e-12, float(mean.norm()))
""",
        "the sum instead of the mean": """
def clipped_average(a, b, largest):
    total = a + b
    return total * min(1.0, largest / max(1e-12, float(total.norm())))
""",
    },
    "15.3": {
        "a reference, no copy": """
import torch


class Checkpoint:
    def __init__(self, run):
        self.states = {name: getattr(run, name).state_dict() for name in ("model", "optimizer", "scheduler")}
        self.step = run.step
        self.random = torch.get_rng_state()

    def restore(self, run):
        for name, state in self.states.items():
            getattr(run, name).load_state_dict(state)
        run.step = self.step
        torch.set_rng_state(self.random)
""",
        "the random generator is forgotten": """
import copy


class Checkpoint:
    def __init__(self, run):
        states = {name: getattr(run, name).state_dict() for name in ("model", "optimizer", "scheduler")}
        self.states = copy.deepcopy(states)
        self.step = run.step

    def restore(self, run):
        for name, state in self.states.items():
            getattr(run, name).load_state_dict(state)
        run.step = self.step
""",
        "the position is forgotten": """
import copy


class Checkpoint:
    def __init__(self, run):
        self.state = copy.deepcopy(run.model.state_dict())

    def restore(self, run):
        run.model.load_state_dict(self.state)
""",
    },
}
