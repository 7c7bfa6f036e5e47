"""How fast the task-weight playground answers, through a real kernel's messages.

    python benchmarks/playground_latency.py        # prints a table; takes about half a minute

Written to results/playground_latency.csv: what was measured, the limit, the value, its unit.
"""

import os
import re
import statistics
import sys
import time
from pathlib import Path

import pandas as pd
from jupyter_client.manager import start_new_kernel

from mtl_course.core.files import atomic_write
from mtl_course.config import make_config
from mtl_course.data.sources import prepare_data

ROOT = Path(__file__).parents[1]


class Page:
    "What a page knows: every widget's state by its id, and when the last message about it came."

    def __init__(self):
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))
        self.state = {}
        self.seen = {}
        self.errors = []

    def read(self, timeout=0.05):
        "Takes the next message; returns it, or None."
        try:
            m = self.client.get_iopub_msg(timeout=timeout)
        except Exception:
            return None
        kind, content = m["msg_type"], m["content"]
        if kind == "error":
            self.errors.append("\n".join(content["traceback"]))
        if kind == "stream" and content["name"] == "stderr":
            self.errors.append(content["text"])
        if kind in ("comm_open", "comm_msg"):
            data = content["data"]
            if kind == "comm_open" or data.get("method") == "update":
                at = self.seen.setdefault(content["comm_id"], {})
                self.state.setdefault(content["comm_id"], {}).update(data["state"])
                for path, blob in zip(data.get("buffer_paths", ()), m["buffers"]):
                    self.state[content["comm_id"]][path[0]] = bytes(blob)
                    at[path[0]] = time.perf_counter()
                for key in data["state"]:
                    at[key] = time.perf_counter()
        return m

    def until(self, condition, seconds=60):
        end = time.perf_counter() + seconds
        while not condition():
            self.read()
            if time.perf_counter() > end:
                raise TimeoutError("\n".join(self.errors) or "the kernel did not answer")

    def run(self, code):
        "Runs a cell; returns its seconds and its printed text."
        start = time.perf_counter()
        id = self.client.execute(code)
        out = []
        idle = False
        while not idle:
            m = self.read(0.5)
            if m is None or m["parent_header"].get("msg_id") != id:
                continue
            if m["msg_type"] == "stream":
                out.append(m["content"]["text"])
            idle = m["msg_type"] == "status" and m["content"]["execution_state"] == "idle"
        return time.perf_counter() - start, "".join(out)

    def send(self, comm_id, data):
        self.client.shell_channel.send(self.client.session.msg("comm_msg", dict(comm_id=comm_id, data=data)))

    def find(self, **wanted):
        return next(id for id, state in self.state.items() if wanted.items() <= _hashable(state).items())

    def click(self, label):
        self.send(
            self.find(description=label, _model_name="ButtonModel"), dict(method="custom", content=dict(event="click"))
        )

    def set(self, comm_id, **state):
        self.send(comm_id, dict(method="update", state=state, buffer_paths=[]))

    def answer(self, act, comm_id, key):
        "Seconds from `act()` to the next message that sets `key` of a widget."
        while self.read(0):
            pass
        start = time.perf_counter()
        act()
        self.until(lambda: self.seen.get(comm_id, {}).get(key, 0) > start)
        return self.seen[comm_id][key] - start


def _hashable(state):
    "The plain values of a widget's state."
    return {key: value for key, value in state.items() if isinstance(value, (str, int, float, bool))}


class Playground:
    "The playground on a page: its controls by their ids, and what it shows."

    def __init__(self, page):
        self.page = page
        page.run("from mtl_course.widgets.task_weight_playground import TaskWeightPlayground")
        self.seconds_to_show, _ = page.run("p = TaskWeightPlayground()\np")
        self.lane = page.find(description="lane weight")
        self.image = page.find(_model_name="ImageModel")
        self.box = page.find(_view_count=0)
        ready = [id for id, state in page.state.items() if "<b>ready" in str(state.get("value", ""))]
        self.status = ready[0]

    def step(self) -> int:
        return int(re.search(r"step (\d+)", self.page.state[self.status]["value"])[1])

    def small_cell(self) -> float:
        "Median seconds of a small cell."
        return statistics.median(self.page.run("sum(k*k for k in range(20_000))")[0] for _ in range(9))

    def answer(self, weight: float, widget: str) -> float:
        "Seconds from moving the lane slider to a new value of another widget."
        return self.page.answer(lambda: self.page.set(self.lane, value=weight), widget, "value")

    def first_point(self) -> float:
        "Presses train; seconds to the first picture that follows the words."
        self.page.set(self.box, _view_count=1)
        start = time.perf_counter()
        self.page.click("train")
        seen = self.page.seen
        self.page.until(lambda: self.step() >= 1 and seen[self.image]["value"] > seen[self.status]["value"])
        return seen[self.image]["value"] - start

    def threads(self, before: str = "") -> float:
        "Threads that train after some code."
        alive = "import threading; print(sum(t.name == 'task-weight playground' for t in threading.enumerate()))"
        return float(self.page.run(before + alive)[1])


WEIGHTS = (2, 5, 10, 20, 30)
PAUSE = """import time
before = p.state()['step']
t = time.perf_counter()
p.pause()
print(time.perf_counter() - t, p.state()['step'] - before)"""


def measure(page):
    "Rows of the table: (what, value, unit, limit)."
    p = Playground(page)
    yield "show the widget", p.seconds_to_show, "s", None
    yield "a small cell, nothing training", p.small_cell(), "s", None
    yield "slider, nothing training: words", statistics.median(p.answer(w, p.status) for w in WEIGHTS), "s", 0.1
    yield "slider, nothing training: picture", statistics.median(p.answer(w, p.image) for w in WEIGHTS), "s", None
    yield "first point after train", p.first_point(), "s", 2.0
    page.until(lambda: p.step() >= 8)
    yield "a small cell, training", p.small_cell(), "s", None
    words = []
    pictures = []
    for weight in WEIGHTS:
        words.append(p.answer(weight, p.status))
        time.sleep(0.3)
        pictures.append(p.answer(weight + 0.5, p.image))
        time.sleep(0.3)
    yield "slider, training: words, median", statistics.median(words), "s", 0.1
    yield "slider, training: words, longest", max(words), "s", 0.1
    yield "slider, training: picture", statistics.median(pictures), "s", None
    yield "a step", float(page.run("print(p.state()['seconds_per_step'])")[1]), "s", None
    seconds, steps = page.run(PAUSE)[1].split()
    yield "pause", float(seconds), "s", None
    yield "steps finished after pause was asked for", float(steps), "steps", 1
    page.click("train")
    page.until(lambda: "<b>training" in page.state[p.status]["value"])
    time.sleep(1)
    page.set(p.box, _view_count=0)
    time.sleep(1)
    yield "threads one second after the display was removed", p.threads(), "threads", 0
    page.run("p.train()")
    time.sleep(0.5)
    yield "threads after close", p.threads("p.close()\n"), "threads", 0


def main():
    prepare_data(make_config("smoke"), progress=False)
    page = Page()
    try:
        rows = list(measure(page))
    finally:
        page.client.stop_channels()
        page.manager.shutdown_kernel(now=True)
    table = pd.DataFrame(rows, columns=["what", "value", "unit", "limit"]).round(dict(value=4))
    table = table[["what", "limit", "value", "unit"]].assign(
        load_average=round(os.getloadavg()[0], 1), cores=os.cpu_count()
    )
    with atomic_write(ROOT / "results" / "playground_latency.csv") as t:
        table.to_csv(t, index=False)
    print(table.to_string(index=False))
    if page.errors:
        sys.exit("the kernel said:\n" + "\n".join(page.errors))


if __name__ == "__main__":
    main()
