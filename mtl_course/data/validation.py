"""Checks of label files: faults are collected and told with file, line and remedy."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import UserError

__all__ = ["raise_problems"]


@dataclass(frozen=True)
class Problem:
    "One fault in the data: where it is, what was expected and what to do."

    file: str  # relative to the data root
    where: str  # "line 3", or "" when the whole file is meant
    message: str

    def __str__(self):
        return ", ".join(filter(None, (self.file, self.where))) + ": " + self.message


def raise_problems(problems: list):
    "Raises a `UserError` that shows the first of `problems`, if any, and counts the others."
    if not problems:
        return
    more = f" ({len(problems) - 1} more: `mtl_data check FOLDER` lists them all)" if len(problems) > 1 else ""
    raise UserError(f"{problems[0]}{more}")


def read_label_text(
    path: Path,  # the file
    file: str,  # its name, for errors
    problems: list,  # faults are added here
    empty: str = "copy or unpack it again",  # what to do about an empty file
) -> str:  # "" when it cannot be read
    "The text of a label file; a file that is missing, empty or not text is added to `problems`."
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        fault = "no such file" if isinstance(e, FileNotFoundError) else f"cannot be read as text ({e})"
        problems.append(Problem(file, "", f"{fault}, expected labels: unpack the archive again"))
        return ""
    if not text:
        problems.append(Problem(file, "", f"is empty (0 bytes), expected labels: {empty}"))
    return text


def finite_number(text: str) -> float:
    "A finite number; raises ValueError otherwise (`float` alone would take 'nan' and 'inf')."
    value = float(text)
    if not np.isfinite(value):
        raise ValueError(text)
    return value
