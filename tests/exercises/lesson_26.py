"""Plausible wrong answers of lesson 26."""

WRONG = {
    "26.1": {
        "asks for equality": ("def can_agree(parts, units, total, unit):\n    return abs(sum(parts) - total) < 1e-9"),
        "forgives only the total": (
            "def can_agree(parts, units, total, unit):\n    return abs(sum(parts) - total) <= unit / 2 + 1e-9"
        ),
        "forgives in one direction": (
            "def can_agree(parts, units, total, unit):\n"
            "    return sum(parts) - total >= -(sum(units) + unit) / 2 - 1e-9"
        ),
    },
    "26.2": {
        "rule of three": "def largest_error_rate(n):\n    return 3 / n",
        "at 97.5 %": "def largest_error_rate(n):\n    return 1 - 0.025 ** (1 / n)",
    },
    "26.3": {
        "accuracy shared by the IoU": ("def shares(accuracy, iou):\n    return accuracy * iou, accuracy * (1 - iou)"),
        "IoU as TP": "def shares(accuracy, iou):\n    return iou, accuracy - iou",
    },
}
