"""Seeds: the same digits on every machine."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

__all__ = ["derive_seed", "get_random_states", "random_states_restored", "seed_everything", "set_random_states"]


def derive_seed(*parts) -> int:  # non-negative integers: the run's seed, the step, the image …
    "One 63-bit seed from several numbers (NumPy's `SeedSequence`), the same on every machine."
    return int(np.random.SeedSequence([int(p) for p in parts]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def seed_everything(seed: int):  # any non-negative integer
    "Sets Python's, NumPy's and PyTorch's random generators."
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def get_random_states() -> dict:  # generator -> its state, as a checkpoint can hold it
    "The states of Python's, NumPy's and PyTorch's generators, on the CPU and on each GPU."
    kind, keys, *rest = np.random.get_state()
    states = dict(python=random.getstate(), numpy=(kind, keys.tolist(), *rest), torch=torch.get_rng_state())
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def set_random_states(states: dict):  # of `get_random_states`
    "Puts the states back; those of GPUs where there are as many as then."
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    gpus = states.get("cuda", [])  # none when the states were taken without a GPU
    if gpus and torch.cuda.is_available() and len(gpus) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(gpus)


@contextlib.contextmanager
def random_states_restored() -> Iterator[None]:
    "After the block all random generators are where they were before it."
    states = get_random_states()
    try:
        yield
    finally:
        set_random_states(states)
