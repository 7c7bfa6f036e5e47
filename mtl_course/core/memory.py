"""How much memory there is, and a limit on what this process may take of it."""

import errno
import os
import resource
from pathlib import Path

import torch

from .process import process_status

__all__ = ["available_memory", "is_out_of_memory", "limit_memory"]

_REFUSED = ("allocate memory", "out of memory", "not enough memory", "could not create a primitive")


def available_memory(
    device: str = "cpu",  # or cuda
    root: str | Path = "/",  # where proc and sys are
) -> int:  # bytes
    """What a new process could take.

    Of the GPU; or the smallest of what the system has left, the control groups allow and the
    process may use.
    """
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS)]
    finite = [limit for limit in limits if limit != resource.RLIM_INFINITY]
    return min([_memory_of_system(Path(root)), *_memory_of_groups(Path(root)), *finite])


def limit_memory(limit: int):  # bytes; 0: no limit
    """From here on this process may grow to about `limit` bytes.

    What is reserved but not in use does not count.
    """
    data = process_status("VmData")
    resident = process_status("VmRSS")
    if data and limit:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (data + max(0, int(limit) - resident), hard))


def is_out_of_memory(error: BaseException) -> bool:
    "Whether an error says that the system, a limit or a GPU gave no more memory."
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _REFUSED)


def _lines(path: Path) -> list[str]:  # none when it cannot be read
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _memory_of_system(root: Path) -> int:
    "Bytes the system can give without swapping; without /proc all there are."
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _memory_of_groups(root: Path) -> list[int]:
    "What the control groups of this process and those above them allow, version 2 or 1."
    free = []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        folder = root / "sys/fs/cgroup"  # version 2 has one tree …
        names = ("memory.max", "memory.current", "inactive_file")
        if controllers:  # … version 1 one for memory
            folder = folder / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        parts = [part for part in path.split("/") if part]
        for depth in range(len(parts) + 1):
            free += _memory_of_group(folder.joinpath(*parts[:depth]), *names)
    return free


def _memory_of_group(folder: Path, limit: str, used: str, cache: str) -> list[int]:  # one number or none
    "Bytes that a control group still allows: cached files give way when memory is needed."
    texts = _lines(folder / limit)[:1] + _lines(folder / used)[:1]
    if len(texts) < 2 or not texts[0].isdigit():
        return []  # `max`: no limit
    cached = [int(line.split()[1]) for line in _lines(folder / "memory.stat") if line.startswith(f"{cache} ")]
    return [max(0, int(texts[0]) - int(texts[1]) + sum(cached))]
