"""Plausible wrong answers of lesson 19."""

WRONG = {
    "19.1": {
        "forgets the epochs": (
            "def images_seen(config):\n"
            "    return {task: config.steps_per_epoch * config.batch_size_of(task) for task in TASKS}"
        ),
        "in every step": (
            "def images_seen(config):\n"
            "    steps = config.epochs * config.steps_per_epoch\n"
            "    return {task: steps * config.batch_size_of(task) for task in TASKS}"
        ),
        "counts steps": (
            "def images_seen(config):\n    return {task: config.epochs * config.steps_per_epoch for task in TASKS}"
        ),
        "one number": "def images_seen(config):\n    return config.epochs * config.steps_per_epoch",
    },
    "19.2": {
        "the normal factor": (
            "import numpy as np\n\n\n"
            "def interval_of(scores):\n"
            "    half = 1.96 * np.std(scores, ddof=1) / len(scores) ** 0.5\n"
            "    return np.mean(scores) - half, np.mean(scores) + half"
        ),
        "the range": "def interval_of(scores):\n    return min(scores), max(scores)",
    },
    "19.3": {
        "the normal factor": (
            "import math\n\n\n"
            "def seeds_needed(std, half_width):\n"
            "    return max(2, math.ceil((1.96 * std / half_width) ** 2))"
        ),
        "forgets the root": (
            "from scipy import stats\n\n\n"
            "def seeds_needed(std, half_width):\n"
            "    n = 2\n"
            "    while stats.t.ppf(0.975, n - 1) * std / n > half_width:\n"
            "        n += 1\n"
            "    return n"
        ),
    },
}
