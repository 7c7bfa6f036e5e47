"""Plausible wrong answers of deep dive 41."""

WRONG = {
    "41.1": {
        "multiplies by the cosine": "limit_in_pixels = 20 * 5 / 13",
        "takes the sine": "limit_in_pixels = 20 * 13 / 12",
    },
    "41.2": {
        "both lanes right": "two_x = (100, 114)",
        "matches one lane only": "two_x = (90, 400)",
        "both nonsense": "two_x = (400, 500)",
    },
    "41.3": {
        "forgives nothing": ("def official_fn(lanes, matched):\n    return (lanes - matched) / max(min(lanes, 4), 1)"),
        "forgives what is not missed": (
            "def official_fn(lanes, matched):\n    return (lanes - matched - (lanes > 4)) / max(min(lanes, 4), 1)"
        ),
        "divides by all lanes": (
            "def official_fn(lanes, matched):\n"
            "    missed = lanes - matched\n"
            "    return max(missed - (lanes > 4), 0) / max(lanes, 1)"
        ),
    },
}
