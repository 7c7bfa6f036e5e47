"""Lanes for the tests of TuSimple's metric."""

import numpy as np

HEIGHTS = list(range(200, 400, 10))  # twenty


def straight(x, k=0.0, first=0):
    return [x + k * (h - 200) if i >= first else -2 for i, h in enumerate(HEIGHTS)]


def row(*xs):
    return [straight(x) for x in xs]


def triple(scores):
    return scores["accuracy"], scores["fp"], scores["fn"]


def close(a, b):
    return np.allclose(a, b, rtol=0, atol=1e-12)


# cases of our own, worked out by hand

SIX = row(100, 200, 300, 400, 500, 600)
