"""Plausible wrong answers of deep dive 43."""

WRONG = {
    "43.1": {
        "forgets the weights of the misses": (
            "import numpy as np\n\n\n"
            "def weighted_curve(hits, frames, weights, objects):\n"
            "    tp = np.cumsum(weights[frames] * hits)\n"
            "    return tp / np.arange(1, len(hits) + 1), tp / (weights @ objects)"
        ),
        "objects of the sample": (
            "import numpy as np\n\n\n"
            "def weighted_curve(hits, frames, weights, objects):\n"
            "    weight = weights[frames]\n"
            "    tp = np.cumsum(weight * hits)\n"
            "    return tp / np.maximum(np.cumsum(weight), 1), tp / objects.sum()"
        ),
    },
    "43.2": {
        "subtracts the ends": (
            "import numpy as np\n\n\n"
            "def paired_interval(a, b):\n"
            "    low, high = 0.025, 0.975\n"
            "    return np.quantile(a, low) - np.quantile(b, high), np.quantile(a, high) - np.quantile(b, low)"
        ),
        "B minus A": (
            "import numpy as np\n\n\ndef paired_interval(a, b):\n    return np.quantile(b - a, [0.025, 0.975])"
        ),
        "smallest and largest": "def paired_interval(a, b):\n    return min(a - b), max(a - b)",
    },
}
