"""Processes: what one of them needs, and a function that runs in a new one."""

import contextlib
import json
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from .errors import UserError
from .files import temporary_folder

__all__ = ["ProcessError", "peak_memory", "run_in_subprocess"]

_PACKAGES = str(Path(__file__).parents[2])  # last on the path: another place comes first, as here
_ANSWER = f"import sys; sys.path.append({_PACKAGES!r}); from mtl_course.core.process import _answer; _answer()"


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
    "What the process does: reads its order from a file, writes the answer to the one named there."
    order = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    threading.Thread(target=_end_with, args=(order["parent"],), daemon=True).start()
    answer = pkgutil.resolve_name(order["function"])(**order["arguments"])
    Path(order["answer"]).write_text(json.dumps(answer), encoding="utf-8")


def run_in_subprocess(
    function: str,  # "module:name"
    arguments: dict,  # by name, of what JSON knows
    threads: int | None = None,  # OMP_NUM_THREADS there; None: as here
    stop: threading.Event | None = None,  # when it is set, the process is ended
):
    """What a function answers (again as JSON) in a new process, so that its memory is its own.

    Python files in the current folder are no modules there. The process has a session of its own:
    Ctrl-C reaches the caller alone, and when an exception ends the caller's waiting, or `stop` is
    set, the process ends, too. Raises `ProcessError` when it ends in any other way.
    """
    environment = dict(os.environ)
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    with temporary_folder() as folder:
        order = Path(folder, "order.json")
        answer = Path(folder, "answer.json")
        asked = dict(function=function, arguments=arguments, answer=str(answer), parent=os.getpid())
        order.write_text(json.dumps(asked), encoding="utf-8")
        interrupted = threading.Event()
        stops = [event for event in (stop, interrupted) if event is not None]
        with ThreadPoolExecutor(1) as thread:  # an interrupt reaches the main thread only: none loses the new process
            try:
                code, stderr = thread.submit(_run, order, environment, stops).result()
            except BaseException:
                interrupted.set()
                raise
        if code:
            raise ProcessError(code, stderr)
        return json.loads(answer.read_text(encoding="utf-8"))


def _run(order: Path, environment: dict[str, str], stops: list[threading.Event]) -> tuple[int, str]:
    "Exit code and stderr of a process that follows an order; an event that is set ends it."
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _ANSWER, str(order)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            stderr = process.communicate(timeout=0.2)[1]
            return process.returncode, stderr
        if any(event.is_set() for event in stops):
            _end(process)
            return -signal.SIGINT, "stopped"


def _end(process: subprocess.Popen):
    "Interrupts a process and all that it has started; kills those that do not end by themselves."
    for number, seconds in ((signal.SIGINT, 5), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=seconds)
            return
