"""Plausible wrong answers to the exercises of 23_should_i_share."""

WRONG = {
    "23.1": {
        "the loss of the row": "def first_order_affinity(g, losses, rate):\n    return rate * g / losses[:, None]",
        "no loss below the line": "def first_order_affinity(g, losses, rate):\n    return rate * g",
        "the sign of the step": "def first_order_affinity(g, losses, rate):\n    return -rate * g / losses[None, :]",
    },
    "23.2": {
        "not squared": "best_step = (1.0, 1 - 8**0.5 / 0.5)",
        "the other task's goal": "best_step = [1.0, 1.0]",
        "one number": "best_step = 1.0",
    },
    "23.3": {
        "a sum": "delta_and_points = (-8, 0.2)",
        "points as a fraction": "delta_and_points = (-8 / 3, 0.002)",
        "a word": "delta_and_points = 'little'",
    },
}
