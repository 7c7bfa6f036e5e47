"""Seeds: the same digits on every machine."""

import random
import numpy as np, torch

__all__ = ["derive_seed", "seed_everything"]


def derive_seed(*parts) -> int:  # non-negative integers: the run's seed, the step, the image …
    "One 63-bit seed from several numbers, well mixed (NumPy's `SeedSequence`), the same on every machine."
    return int(np.random.SeedSequence([int(p) for p in parts]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def seed_everything(seed: int):  # any non-negative integer
    "Sets Python's, NumPy's and PyTorch's random generators."
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
