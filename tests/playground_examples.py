"""Playgrounds for the tests."""

import os
import threading

from mtl_course.widgets import TaskWeightPlayground

ORDER = ("detection", "lane", "classification")  # of 5/30/1
PATIENCE = float(os.environ.get("PATIENCE", 60))  # seconds after which a thread that does not obey makes a test fail


def make_playgrounds():
    "Makes playgrounds and ends them."
    made = []

    def _make(kind=TaskWeightPlayground, **options):
        made.append(kind(**options))
        return made[-1]

    yield _make
    for p in made:
        p.close()


def steps(p, n):
    for _ in range(n):
        p.step()
    return p


def threads():
    return [t for t in threading.enumerate() if t.name == "task-weight playground"]


class Slow:
    "Stands in for `step`: counts, and waits in the middle of each step to be let through."

    def __init__(self, playground):
        self.done = 0
        self.inside = threading.Event()
        self.go = threading.Semaphore(0)
        playground.step = self

    def __call__(self):
        self.inside.set()
        assert self.go.acquire(timeout=PATIENCE)
        self.done += 1
