"""Processes: what one of them needs, and a function that runs in a new one."""

import json
import os
import pkgutil
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

from .errors import UserError

__all__ = ["ProcessError", "peak_memory", "run_in_subprocess"]


def process_status(field: str) -> int | None:  # such as VmHWM, the largest memory so far
    "Bytes that Linux tells about this process, or None elsewhere."
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = [line for line in status.read_text().splitlines() if line.startswith(f"{field}:")]
    return int(lines[0].split()[1]) * 1024 if lines else None


def peak_memory(device: str = "cpu") -> int:  # bytes
    """The largest memory that this process has had so far.

    Of a GPU, as PyTorch reserved it; else of the whole process, the interpreter included.
    """
    if device == "cuda":
        return torch.cuda.max_memory_reserved()
    peak = process_status("VmHWM")  # ru_maxrss would begin with the memory of the parent process
    if peak is not None:
        return peak
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class ProcessError(UserError):
    "The last line of what a subprocess said before it failed."

    def __init__(
        self,
        code: int,  # its exit code; below zero: the signal that ended it
        stderr: str,  # all that it said
    ):
        self.code = code
        self.stderr = stderr
        lines = stderr.strip().splitlines() or [f"the process ended with code {code}"]
        super().__init__(lines[-1].removeprefix("mtl_course.core.errors.UserError: "))


def _end_with(parent: int):  # process id
    "Ends this process soon after its parent: a killed study leaves no training behind."
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _answer():
    "What the process does: an order from stdin, the answer to the file named there."
    order = json.load(sys.stdin)
    threading.Thread(target=_end_with, args=(order["parent"],), daemon=True).start()
    answer = pkgutil.resolve_name(order["function"])(**order["arguments"])
    Path(order["answer"]).write_text(json.dumps(answer), encoding="utf-8")


def run_in_subprocess(
    function: str,  # "module:name"
    arguments: dict,  # by name, of what JSON knows
    threads: int | None = None,  # OMP_NUM_THREADS there; None: as here
):
    """What a function answers (again as JSON) in a new process, so that its memory is its own.

    Raises `ProcessError` when the process ends in any other way.
    """
    environment = dict(os.environ)
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as folder:
        order = dict(function=function, arguments=arguments, answer=f"{folder}/answer.json", parent=os.getpid())
        done = subprocess.run(
            [sys.executable, "-c", "from mtl_course.core.process import _answer; _answer()"],
            input=json.dumps(order),
            text=True,
            capture_output=True,
            env=environment,
        )
        if done.returncode:
            raise ProcessError(done.returncode, done.stderr)
        return json.loads(Path(order["answer"]).read_text(encoding="utf-8"))
