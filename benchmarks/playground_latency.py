"""How fast the task-weight playground answers, measured from outside through a real kernel's messages, as a browser sends and sees them.

    python benchmarks/playground_latency.py        # prints a table; takes about half a minute

Written to results/playground_latency.csv: what was measured, the limit, the value, its unit.
"""

import os, re, statistics, sys, time
from pathlib import Path
import pandas as pd
from jupyter_client.manager import start_new_kernel
from mtl_course.core.files import atomic_write
from mtl_course.config import make_config
from mtl_course.data.loaders import prepare_data

ROOT = Path(__file__).parents[1]


class Page:
    "What a page knows: every widget's state by its id, and when the last message about it came."

    def __init__(self):
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))
        self.state, self.seen, self.errors = {}, {}, []

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
        start, id, out, idle = time.perf_counter(), self.client.execute(code), [], False
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
        return next(i for i, s in self.state.items() if all(s.get(k) == v for k, v in wanted.items()))

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


def measure(page):
    "Rows of the table."
    rows = []

    def row(what, value, unit, limit=None):
        rows.append(dict(what=what, limit=limit, value=round(value, 4), unit=unit))

    imported, _ = page.run("from mtl_course.widgets.task_weight_playground import TaskWeightPlayground")
    shown, _ = page.run("p = TaskWeightPlayground()\np")
    row("show the widget", shown, "s")
    lane, image = page.find(description="lane weight"), page.find(_model_name="ImageModel")
    box = next(i for i, s in page.state.items() if s.get("_view_count") == 0)
    status = next(
        i for i, s in page.state.items() if s.get("_model_name") == "HTMLModel" and "ready" in s.get("value", "")
    )
    idle = lambda: page.run("sum(k*k for k in range(20_000))")[0]
    row("a small cell, nothing training", statistics.median(idle() for _ in range(9)), "s")
    weights = [2, 5, 10, 20, 30]
    row(
        "slider, nothing training: words",
        statistics.median(page.answer(lambda w=w: page.set(lane, value=w), status, "value") for w in weights),
        "s",
        0.1,
    )
    row(
        "slider, nothing training: picture",
        statistics.median(page.answer(lambda w=w: page.set(lane, value=w), image, "value") for w in weights),
        "s",
    )
    page.set(box, _view_count=1)
    start = time.perf_counter()
    page.click("train")
    step = lambda: int(re.search(r"step (\d+)", page.state[status]["value"])[1])
    page.until(
        lambda: step() >= 1 and page.seen[image]["value"] > page.seen[status]["value"]
    )  # the picture follows the words
    row("first point after train", page.seen[image]["value"] - start, "s", 2.0)
    page.until(lambda: step() >= 8)
    row("a small cell, training", statistics.median(idle() for _ in range(9)), "s")
    words, pictures = [], []
    for w in weights:
        words.append(page.answer(lambda w=w: page.set(lane, value=w), status, "value"))
        time.sleep(0.3)
        pictures.append(page.answer(lambda w=w: page.set(lane, value=w + 0.5), image, "value"))
        time.sleep(0.3)
    row("slider, training: words, median", statistics.median(words), "s", 0.1)
    row("slider, training: words, longest", max(words), "s", 0.1)
    row("slider, training: picture", statistics.median(pictures), "s")
    row("a step", float(page.run("print(p.state()['seconds_per_step'])")[1]), "s")
    text = page.run(
        "import time\nbefore = p.state()['step']; t = time.perf_counter(); p.pause(); t = time.perf_counter() - t\nprint(t, p.state()['step'] - before)"
    )[1].split()
    row("pause", float(text[0]), "s")
    row("steps finished after pause was asked for", float(text[1]), "steps", 1)
    page.click("train")
    page.until(lambda: "<b>training" in page.state[status]["value"])
    time.sleep(1)
    page.set(box, _view_count=0)
    time.sleep(1)
    alive = "import threading; print(sum(t.name == 'task-weight playground' for t in threading.enumerate()))"
    row("threads one second after the display was removed", float(page.run(alive)[1]), "threads", 0)
    page.run("p.train()")
    time.sleep(0.5)
    row("threads after close", float(page.run("p.close()\n" + alive)[1]), "threads", 0)
    return rows


def main():
    prepare_data(make_config("smoke"), progress=False)
    page = Page()
    try:
        rows = measure(page)
    finally:
        page.client.stop_channels()
        page.manager.shutdown_kernel(now=True)
    table = pd.DataFrame(rows).assign(load_average=round(os.getloadavg()[0], 1), cores=os.cpu_count())
    with atomic_write(ROOT / "results" / "playground_latency.csv") as t:
        table.to_csv(t, index=False)
    print(table.to_string(index=False))
    if page.errors:
        sys.exit("the kernel said:\n" + "\n".join(page.errors))


if __name__ == "__main__":
    main()
