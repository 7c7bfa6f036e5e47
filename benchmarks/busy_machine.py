"""A step of the laptop recipe on two threads, on a quiet machine and beside a busy program.

Threads that wait for one another can spin, sleep, or spin for a while and then sleep (read when
PyTorch is imported, so each measurement is a process of its own; the ways take turns).

    python benchmarks/busy_machine.py --steps 6 --rounds 3

Writes results/busy_machine.csv.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import time

import pandas as pd
from fastcore.script import Param, call_parse

from recipes import EVERY_STEP
from training_speed import make_step

from mtl_course.config import make_config
from mtl_course.core.device import choose_precision
from mtl_course.core.files import atomic_write, resolve
from mtl_course.data.loaders import create_dataloaders
from mtl_course.data.sources import prepare_data

WAYS = {  # variables of the environment
    "OpenMP's own choice": dict(OMP_WAIT_POLICY=""),
    "sleep": dict(OMP_WAIT_POLICY="PASSIVE"),
    "spin 1000 times, then sleep": dict(GOMP_SPINCOUNT="1000"),
}
BUSY = "while True: sum(range(100_000))"
UNCOUNTED = 2  # first steps


def step_seconds(steps: int) -> float:
    "The median of some steps, in this process."
    loader = create_dataloaders(make_config("laptop", **EVERY_STEP))[0]
    step = make_step(loader, choose_precision("auto"), channels_last=True, library=False)
    seconds = []
    for k, batch in enumerate(loader):
        if k == steps + UNCOUNTED:
            break
        began = time.perf_counter()
        step(batch)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[UNCOUNTED:])


@contextlib.contextmanager
def busy_programs(count: int):
    "So many programs that compute without end, each on one thread."
    programs = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def seconds_with(way: dict, steps: int) -> float:
    "The median step of a new process with some variables of the environment."
    unset = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")  # this program's own
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= dict(OMP_NUM_THREADS="2") | way
    command = [sys.executable, __file__, "--measure", "--steps", str(steps)]
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def compare(rounds: int, steps: int) -> pd.DataFrame:
    "Median seconds of a step with each way, on a quiet machine and beside a busy program."
    rows = []
    for busy in (0, 1):
        for _ in range(rounds):
            with busy_programs(busy):
                for name, way in WAYS.items():
                    rows.append(dict(busy_programs=busy, waiting=name, seconds=seconds_with(way, steps)))
    return pd.DataFrame(rows)


@call_parse
def main(
    steps: Param("counted steps of a process", int) = 6,
    rounds: Param("processes of each kind", int) = 3,
    measure: Param("only print the median step of this process", bool) = False,
):
    "Compares the ways to wait for another thread."
    if measure:
        print(step_seconds(steps))
        return
    prepare_data(make_config("laptop"))
    table = compare(rounds, steps)
    medians = table.groupby(["busy_programs", "waiting"], as_index=False).seconds.median()
    with atomic_write(resolve("results/busy_machine.csv")) as path:
        medians.to_csv(path, index=False)
    print(medians.round(3).to_string(index=False))
