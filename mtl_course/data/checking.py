"""Ten seconds of looking at the data save ten hours of training on broken ones."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tqdm.auto import tqdm

from ..core.errors import UserError
from ..core.files import resolve
from ..core.task import TASKS, LabelIndex, default_tasks, known_tasks
from .images import read_pixels
from .validation import Problem, raise_problems, without_empty_labels

__all__ = ["Report", "check_data", "check_labels"]


@dataclass
class Report:
    """What is in a data root and what is wrong with it; `print` it, or look at its fields."""

    data_root: Path
    counts: dict = field(default_factory=dict)  # task -> name -> a number, or a table {what: how many}
    problems: list = field(default_factory=list)  # of Problem
    unchecked: list = field(default_factory=list)  # tasks that do not say how their label files are read

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def raise_problems(self):
        """Raises a `UserError` with the first problem and the number of the others, when there is
        any.
        """
        raise_problems(self.problems)

    def __str__(self):
        lines = []
        for task, counts in self.counts.items():
            phrases = [_phrase(name, value) for name, value in counts.items() if value]
            lines.append(f"{task}: {', '.join(phrases)}")
        lines += [f"{task}: not checked, since the task has no `label_files`" for task in self.unchecked]
        n = len(self.problems)
        lines.append(f"{n} problem{'s' * (n > 1)}:" if n else "no problems")
        lines += [f"  {problem}" for problem in self.problems]
        return "\n".join(lines)


def _phrase(name: str, value) -> str:
    "One count in words; long tables are given by their extremes."
    if not isinstance(value, dict):
        return f"{value:,} {name}"
    if len(value) <= 9:
        return f"{name} (" + ", ".join(f"{key} {n:,}" for key, n in value.items()) + ")"
    if name == "image sizes":
        return f"image sizes ({len(value)}, from {min(value, key=_area)} to {max(value, key=_area)})"
    return f"{name} ({min(value.values()):,} to {max(value.values()):,})"


def _area(size: str) -> int:
    "Pixels of a size written as 1280x720."
    width, height = size.split("x")
    return int(width) * int(height)


def check_labels(
    data_root: str | Path,  # folder with gtsrb/, kitti/ and tusimple/
    tasks: tuple | None = None,  # the tasks to check; default: the three of the course
    empty_labels: str = "refuse",  # or ok: a label of 0 bytes says that nothing is there
) -> Report:
    """Checks all labels and that each has its file, without opening an image: seconds for the full
    data sets.
    """
    report = Report(resolve(data_root))
    for task, index in _index_labels(data_root, tasks, report, empty_labels).items():
        report.counts[task] = index.counts
    return report


def _index_labels(
    data_root: str | Path, tasks: tuple | None, report: Report, empty_labels: str
) -> dict[str, LabelIndex]:
    "The labels of each task; their problems go into the report. What cannot be read ends no other."
    tasks = known_tasks(default_tasks() if tasks is None else tasks)
    if not report.data_root.is_dir():
        fault = "no such folder, expected one that holds gtsrb/, kitti/ and tusimple/: give another data_root"
        report.problems.append(Problem(str(data_root), "", fault))
        return {}
    indices = {}
    for task in tasks:
        if TASKS[task].label_files is None:
            report.unchecked.append(task)
            continue
        try:
            indices[task] = TASKS[task].label_files.index(report.data_root)
        except OSError as e:
            fault = f"cannot be read ({e.strerror or e}), expected a readable file or folder: mend its permissions"
            indices[task] = LabelIndex({}, {}, [Problem(str(e.filename or TASKS[task].folder), "", fault)])
        report.problems += without_empty_labels(indices[task].problems, empty_labels)
    return indices


def check_data(
    data_root: str | Path,  # folder with gtsrb/, kitti/ and tusimple/
    tasks: tuple | None = None,  # the tasks to check; default: the three of the course
    progress: bool = True,  # show a bar with the time left
    threads: int = 2,  # that decode images
    empty_labels: str = "refuse",  # or ok: a label of 0 bytes says that nothing is there
) -> Report:
    """Checks all labels and decodes every image; lists every problem with its file and line, and
    counts what is there.

    Images whose label is broken have to be whole, too.
    """
    report = Report(resolve(data_root))
    indices = _index_labels(data_root, tasks, report, empty_labels)
    files = {}
    for task, index in indices.items():
        files[task] = sorted(TASKS[task].label_files.images(report.data_root) | index.labels.keys())
    bar = tqdm(total=sum(map(len, files.values())), unit="image", disable=not progress)
    with bar, ThreadPoolExecutor(threads) as pool:
        for task, index in indices.items():
            bar.set_description(task)
            check = partial(_check_image, report.data_root, task, index.labels)
            sizes = Counter()
            for size, problems in pool.map(check, files[task]):
                report.problems += problems
                bar.update()
                if size:
                    sizes[f"{size[1]}x{size[0]}"] += 1
            report.counts[task] = index.counts | {"image sizes": dict(sizes.most_common())}
    return report


def _check_image(root: Path, task: str, labels: dict, file: str) -> tuple:  # ((height, width) or None, [Problem])
    "One image, all of its pixels decoded."
    try:
        size = read_pixels(root / file, name=file)[1]
    except UserError as e:
        return None, [Problem(file, "", str(e).removeprefix(f"{file}: "))]
    if labels.get(file) is None:
        return size, []
    return size, [Problem(file, "", fault) for fault in TASKS[task].label_files.faults(labels[file], size)]
