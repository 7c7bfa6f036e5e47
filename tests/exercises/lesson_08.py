"""Plausible wrong answers to the exercises of 08_lane_head."""

_TVERSKY = """def tversky_loss(p, y, alpha, beta):
    both = (p * y).sum((1, 2))
    invented = (p * (1 - y)).sum((1, 2))
    missed = ((1 - p) * y).sum((1, 2))
    return (1 - (both + 0.5) / (both + alpha * invented + beta * missed + 0.5)).mean()
"""

WRONG = {
    "08.1": {
        "confuses IoU with pixel accuracy": "def constant_iou(s):\n    return s, 1 - s",
        "calls the empty mask undefined": "def constant_iou(s):\n    return s, float('nan')",
        "gives one number": "def constant_iou(s):\n    return s",
    },
    "08.2": {
        "forgets the half": "def pull_of_lanes(share):\n    return share",
        "averages over the lane pixels only": "def pull_of_lanes(share):\n    return 0.5",
    },
    "08.3": {
        "exchanges α and β": _TVERSKY.replace("alpha * invented + beta * missed", "beta * invented + alpha * missed"),
        "sums over the whole batch": _TVERSKY.replace(".sum((1, 2))", ".sum()"),
        "leaves the ½ out": _TVERSKY.replace(" + 0.5", ""),
    },
}
