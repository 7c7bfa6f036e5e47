"""Checks of label files: faults are collected and told with file, line and remedy."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import UserError, shorten
from ..core.inputs import refuse_special_file
from ..core.task import TASKS

__all__ = ["raise_problems"]


@dataclass(frozen=True)
class Problem:
    "One fault in the data: where it is, what was expected and what to do."

    file: str  # relative to the data root
    where: str  # "line 3", or "" when the whole file is meant
    message: str
    is_empty_label: bool = False  # a file of 0 bytes, which may mean that nothing is there

    def __str__(self):
        return shorten(", ".join(filter(None, (self.file, self.where))) + ": " + self.message)


EMPTY_LABELS = ("refuse", "ok")  # what a label of 0 bytes is: a file cut off, or an image that shows nothing


def raise_problems(
    problems: list,  # of `Problem`
    empty_labels: str = "refuse",  # or ok: labels of 0 bytes are no problems
):
    "Raises a `UserError` that shows the first of `problems`, if any, and counts the others."
    problems = without_empty_labels(problems, empty_labels)
    if not problems:
        return
    more = f" ({len(problems) - 1} more: `mtl_data check FOLDER` lists them all)" if len(problems) > 1 else ""
    raise UserError(f"{problems[0]}{more}")


def without_empty_labels(problems: list, empty_labels: str) -> list:  # empty_labels: of `EMPTY_LABELS`
    "The problems that are left when labels of 0 bytes are what `empty_labels` says."
    if empty_labels not in EMPTY_LABELS:
        raise UserError(f"empty_labels is {empty_labels!r}: expected one of {', '.join(EMPTY_LABELS)}")
    return [p for p in problems if empty_labels == "refuse" or not p.is_empty_label]


def refuse_misfit(
    file: str,  # of the image
    faults: Iterable[str],  # why its label cannot belong to it
):
    """Raises a `UserError` for the first fault, if any.

    The readers call it for each image they open, so that training and evaluation rely on what
    `mtl_data check` verifies.
    """
    for fault in faults:
        raise UserError(f"{file}: {fault}")


def other_tasks_hint(root: Path, folder: str) -> str:  # folder: that is missing below the data root
    "How to do without a data set that is not there, where others are; else ''."
    present = [name for name, task in TASKS.items() if task.folder != folder and (root / task.folder).is_dir()]
    return f", or choose the tasks whose data is there (--tasks {','.join(present)})" if present else ""


_LARGEST_LABEL = 2**28  # bytes; all labels of TuSimple take 10 million


def read_label_text(
    path: Path,  # the file
    file: str,  # its name, for errors
    problems: list,  # faults are added here
    empty: str = "copy or unpack it again",  # what to do about an empty file
    may_be_empty: bool = False,  # whether a file of 0 bytes may mean that nothing is there
) -> str:  # "" when it cannot be read
    "The text of a label file; a file that is missing, empty or not text is added to `problems`."
    try:
        refuse_special_file(path)
        if path.stat().st_size > _LARGEST_LABEL:
            raise OSError(f"{path.stat().st_size:,} bytes are more than any label takes")
        text = path.read_text(encoding="utf-8-sig")
    except UserError as e:
        problems.append(Problem(file, "", str(e).removeprefix(f"{path}: ")))
        return ""
    except (OSError, UnicodeDecodeError) as e:
        fault = "no such file" if isinstance(e, FileNotFoundError) else f"cannot be read as text ({e})"
        problems.append(Problem(file, "", f"{fault}, expected labels: unpack the archive again"))
        return ""
    if not text:
        problems.append(Problem(file, "", f"is empty (0 bytes), expected labels: {empty}", may_be_empty))
    return text


def finite_number(text: str) -> float:
    "A finite number; raises ValueError otherwise (`float` alone would take 'nan' and 'inf')."
    value = float(text)
    if not np.isfinite(value):
        raise ValueError(text)
    return value
