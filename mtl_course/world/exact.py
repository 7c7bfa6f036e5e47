"""Powers in pictures that are the same on every processor.

NumPy computes powers of float32 with whatever vector instructions the processor has, and the last
bit differs from AVX2 to AVX-512: in 4 of the tiny world's pictures 1 to 3 pixels were brighter or
darker by 1. Computed in float64 and rounded to float32 that bit is gone.
"""

import numpy as np

__all__ = []


def exact_power(base: np.ndarray, exponent: float) -> np.ndarray:  # float32 of the shape of `base`
    "base ** exponent, the exponent rounded to float32."
    return (np.asarray(base, np.float64) ** float(np.float32(exponent))).astype(np.float32)
