"""Gradients in the plane, for the tests of the arrows."""

import numpy as np
from mtl_course.core.task import default_tasks
from mtl_course.training.recording import Recording

TASKS = default_tasks()


def drawn(figure):  # the thin arrows, and the labels beside the plane
    plane = figure.axes[0]
    return next(c for c in plane.collections if type(c).__name__ == "Quiver").U.size, [
        " ".join(t.get_text().split()) for t in plane.texts
    ]


def recording(tasks=TASKS, steps=4):
    generator = np.random.default_rng(2)
    parts = {}
    for stage in ("stem", "layer1"):
        rows = generator.normal(size=(steps, len(tasks), 6)) * [[9.0], [1.0], [0.2]][: len(tasks)]
        parts[stage] = rows @ rows.transpose(0, 2, 1)
    return Recording(
        tuple(tasks),
        list(range(0, 5 * steps, 5)),
        generator.uniform(0.5, 3, (steps, len(tasks))),
        {s: p for s, p in [*parts.items(), ("trunk", sum(parts.values()))]},
        "made up",
    )
