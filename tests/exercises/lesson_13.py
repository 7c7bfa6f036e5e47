"""Plausible wrong answers of lesson 13."""

WRONG = {
    "13.1": {
        "the quantile of one track": "def smallest_plausible_rate(tracks):\n    return 0.05 / tracks",
        "95 % instead of 5 %": "def smallest_plausible_rate(tracks):\n    return 0.95 ** (1 / tracks)",
    },
    "13.2": {
        "draws the networks apart": (
            "import numpy as np\n\nfrom mtl_course.metrics.intervals import draw_counts, interval\n\n\n"
            "def difference_interval(first, second):\n"
            "    n = len(first)\n"
            "    return interval(draw_counts(n, seed=1) @ first / n - draw_counts(n, seed=2) @ second / n)"
        ),
        "second minus first": (
            "import numpy as np\n\nfrom mtl_course.metrics.intervals import draw_counts, interval\n\n\n"
            "def difference_interval(first, second):\n"
            "    each = np.asarray(second, float) - np.asarray(first, float)\n"
            "    return interval(draw_counts(len(each)) @ each / len(each))"
        ),
        "only the difference": "def difference_interval(first, second):\n    return first.mean() - second.mean()",
    },
    "13.3": {
        "takes images for independent": "def images_needed(images_per_track):\n    return 3458",
        "half of the width": "def images_needed(images_per_track):\n    return 865 * images_per_track",
    },
}
