"""Plausible wrong answers to the exercises of lesson 16."""

SLOWEST = """class Slowest(Balancer):
    state = ("first", "slowest")

    def __init__(self, tasks):
        super().__init__(tasks)
        self.first = {}
        self.slowest = None

    def weight(self, task, loss):
        return 1.0 if self.slowest in (None, task) else 0.0

    def finish(self, losses):
        for task, loss in losses.items():
            self.first.setdefault(task, loss)
        self.slowest = max(losses, key=lambda task: losses[task] / self.first[task])
        return 1.0
"""
ADAM = """def longest_step():
    mean = square = 0.0
    lengths = []
    for s in range(1000):
        gradient = 1 + 29 * s / 1000
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        lengths.append(mean / (1 - 0.9 ** (s + 1)) / (square / (1 - 0.999 ** (s + 1))) ** 0.5)
    return lengths.index(max(lengths)) + 1, max(lengths)
"""
WRONG = {
    "16.1": {
        "counts from 0": ADAM.replace("index(max(lengths)) + 1", "index(max(lengths))"),
        "forgets the correction of the means": ADAM.replace(" / (1 - 0.9 ** (s + 1))", "").replace(
            " / (1 - 0.999 ** (s + 1))", ""
        ),
        "forgets the root": ADAM.replace(", max(lengths)", ", max(lengths) ** 2"),
        "the last step, where the gradient is longest": "def longest_step():\n    return 1000, 30.0",
    },
    "16.2": {
        "the largest loss, not the largest ratio": SLOWEST.replace("losses[task] / self.first[task])", "losses[task])"),
        "compares with the last loss": SLOWEST.replace(
            "        return 1.0\n", "        self.first = dict(losses)\n        return 1.0\n"
        ),
        "the task that is ahead": SLOWEST.replace("max(losses", "min(losses"),
        "forgets its first losses at a restart": SLOWEST.replace('("first", "slowest")', '("slowest",)'),
        "sums to the number of tasks": SLOWEST.replace("return 1.0 if", "return 3.0 if"),
    },
    "16.3": {
        "a higher floor": "floor = 1.0",
        "the floor of the lesson": "floor = 0.5",
        "no floor at all": "floor = 0",
    },
}
