"""Plausible wrong answers to the exercises of 25_imbalance."""

WRONG = {
    "25.1": {
        "n to the power of τ": "lane_steps = (600 * 65 / 7415, 0.0)",
        "200 steps": "lane_steps = [200 * 65 / 7415, 43.0]",
        "one number": "lane_steps = 5.26",
    },
    "25.2": {
        "in proportion to the images": "def factor(frequent, rare, beta):\n    return frequent / rare",
        "upside down": "def factor(frequent, rare, beta):\n    return (1 - beta**rare) / (1 - beta**frequent)",
    },
    "25.3": {
        "squares of the lengths": (
            "def parts(gramian, weights):\n    each = weights**2 * gramian.diagonal()\n    return each / each.sum()"
        ),
        "the weight once": ("def parts(gramian, weights):\n    each = gramian @ weights\n    return each / each.sum()"),
    },
    "25.4": {
        "few, in every step": "few_and_rare = dict(lane_limit=65)",
        "drawn alike": (
            "few_and_rare = dict(lane_limit=65, task_sampling='temperature', sampling_temperature=1e6, "
            "steps_per_epoch=600)"
        ),
        "signs are cut as well": (
            "few_and_rare = dict(lane_limit=65, classification_limit=6370, task_sampling='temperature', "
            "sampling_temperature=1.0, steps_per_epoch=600)"
        ),
    },
}
