"""A step of the laptop recipe on two threads, on a quiet machine and beside a busy program.

Threads that wait for one another can spin or sleep (`OMP_WAIT_POLICY`, read when PyTorch is
imported, so each measurement is a process of its own; both ways take turns).

    python benchmarks/busy_machine.py --steps 4 --rounds 2

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

from training_speed import make_step

from mtl_course.config import make_config
from mtl_course.core.device import choose_precision
from mtl_course.core.files import atomic_write, resolve
from mtl_course.data.loaders import create_dataloaders
from mtl_course.data.sources import prepare_data

POLICIES = {"OpenMP's own choice": "", "sleep": "PASSIVE"}
BUSY = "while True: sum(range(100_000))"
UNCOUNTED = 2  # first steps


def step_seconds(steps: int) -> float:
    "The median of some steps, in this process."
    loader = create_dataloaders(make_config("laptop"))[0]
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


def seconds_with(policy: str, steps: int) -> float:
    "The median step of a new process with a policy."
    environment = dict(os.environ, OMP_NUM_THREADS="2", OMP_WAIT_POLICY=policy)
    command = [sys.executable, __file__, "--measure", "--steps", str(steps)]
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def compare(rounds: int, steps: int) -> pd.DataFrame:
    "Median seconds of a step with each policy, on a quiet machine and beside a busy program."
    rows = []
    for busy in (0, 1):
        for _ in range(rounds):
            with busy_programs(busy):
                for name, policy in POLICIES.items():
                    rows.append(dict(busy_programs=busy, waiting=name, seconds=seconds_with(policy, steps)))
    return pd.DataFrame(rows)


@call_parse
def main(
    steps: Param("counted steps of a process", int) = 6,
    rounds: Param("processes of each kind", int) = 3,
    measure: Param("only print the median step of this process", bool) = False,
):
    "Compares two ways to wait for another thread."
    if measure:
        print(step_seconds(steps))
        return
    prepare_data(make_config("laptop"))
    table = compare(rounds, steps)
    medians = table.groupby(["busy_programs", "waiting"], as_index=False).seconds.median()
    with atomic_write(resolve("results/busy_machine.csv")) as path:
        medians.to_csv(path, index=False)
    print(medians.round(3).to_string(index=False))
