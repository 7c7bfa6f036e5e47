"""Ten seconds of looking at the data save ten hours of training on broken ones."""

__all__ = ["Report", "check_labels", "check_data", "how_to_get", "download"]

import os, shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
import numpy as np
from tqdm.auto import tqdm
from ..config import DETECTION_CLASSES, TASKS
from ..core.errors import UserError
from ..core.files import resolve
from .gtsrb import FINAL_TRAINING, GTSRB_LAYOUT, TEST_IMAGES, TRAINING, index_gtsrb
from .kitti import IGNORED, IMAGES, KITTI_LAYOUT, index_kitti
from .images import Problem, raise_problems, read_pixels
from .tusimple import TUSIMPLE_LAYOUT, index_tusimple


@dataclass
class Report:
    "What is in a data root and what is wrong with it; `print` it, or look at its fields."

    data_root: Path
    counts: dict = field(default_factory=dict)  # task -> name -> a number, or a table {what: how many}
    problems: list = field(default_factory=list)  # of Problem

    @property
    def ok(self) -> bool:
        "Whether nothing is wrong."
        return not self.problems

    def raise_problems(self):
        "Raises a `UserError` with the first problem and the number of the others, when there is any."
        raise_problems(self.problems)

    def __str__(self):
        n = len(self.problems)
        lines = [
            f"{task}: {', '.join(_phrase(name, value) for name, value in counts.items() if value)}"
            for task, counts in self.counts.items()
        ]
        return "\n".join(
            [*lines, f"{n} problem{'s' * (n > 1)}:" if n else "no problems", *(f"  {p}" for p in self.problems)]
        )


def _phrase(name, value):
    "One count in words; long tables are given by their extremes."
    if not isinstance(value, dict):
        return f"{value:,} {name}"
    if len(value) <= 9:
        return f"{name} (" + ", ".join(f"{k} {n:,}" for k, n in value.items()) + ")"
    if name == "image sizes":
        return f"image sizes ({len(value)}, from {min(value, key=_area)} to {max(value, key=_area)})"
    return f"{name} ({min(value.values()):,} to {max(value.values()):,})"


def _area(size):
    "Pixels of a size written as 1280x720."
    w, h = size.split("x")
    return int(w) * int(h)


def _index(root, task):
    "(counts, {file: its label}, problems) of one task, from its labels alone."
    if task == "classification":
        files, table, official, problems = index_gtsrb(root)
        own, per_class = table[~official], Counter(table[~official, 6].tolist())
        counts = {
            "images": len(files),
            "official test images": int(official.sum()),
            "classes": len(per_class),
            "tracks": len(np.unique(own[:, 6] * 100_000 + own[:, 7])),
            "images per class": dict(sorted(per_class.items())),
        }
        return counts, dict(zip(files, table)), problems
    if task == "detection":
        files, labels, problems = index_kitti(root)
        names = Counter(n for found, _ in labels for n in found)
        return (
            {"images": len(files), "boxes": {n: names[n] for n in (*DETECTION_CLASSES, *IGNORED) if names[n]}},
            dict(zip(files, labels)),
            problems,
        )
    entries, official, problems = index_tusimple(root)
    counts = {
        "images": len(entries),
        "official test images": int(official.sum()),
        "lanes": sum(len(e[2]) for e in entries),
        "heights per lane": dict(sorted(Counter(len(e[3]) for e in entries).items())),
    }
    return counts, {e[0]: e for e in entries}, problems


def check_labels(
    data_root: str | Path,  # folder with gtsrb/, kitti/ and tusimple/
    tasks: tuple = TASKS,  # the tasks to check
) -> Report:
    "Checks all labels and that each has its file, without opening an image: a second or two for the full data sets."
    return _check_labels(data_root, tasks)[0]


def _check_labels(data_root, tasks):
    "The `Report` on labels, and for each task {file: label}."
    root = resolve(data_root)
    report, labels = Report(root), {}
    unknown = set(tasks) - set(TASKS)
    if unknown:
        raise UserError(f"unknown task {', '.join(sorted(unknown))}: expected some of {', '.join(TASKS)}")
    if not root.is_dir():
        report.problems.append(
            Problem(
                str(data_root),
                "",
                "no such folder, expected one that holds gtsrb/, kitti/ and tusimple/: give another data_root",
            )
        )
        return report, labels
    for task in tasks:
        report.counts[task], labels[task], problems = _index(root, task)
        report.problems += problems
    return report, labels


def _misfits(task, label, size):
    "Sentences on a label that cannot belong to an image of `size` = (height, width)."
    h, w = size
    if task == "classification" and (label[1], label[0]) != (h, w):
        yield f"has {w}x{h} pixels, but its csv says {label[0]}x{label[1]}: copy the image again or mend the csv"
    if task == "detection":
        for name, (x1, y1, x2, y2) in zip(label[0], label[1][:, 3:7]):
            if x2 <= 0 or y2 <= 0 or x1 >= w or y1 >= h:
                yield f"its {name} box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) lies outside the image of {w}x{h} pixels: mend the label"
    if task == "lane":
        x, y = (float(a.max(initial=0)) for a in label[2:])
        if (
            x > 1.1 * w or y > 1.1 * h
        ):  # a label may end a little beyond the edge; one for another image size goes far beyond
            yield f"its lanes reach to ({x:g}, {y:g}), far outside the image of {w}x{h} pixels: label and image do not belong together, copy both again"


def _check_image(root, task, file, label):
    "(size or None, list of Problem) of one image, all of its pixels decoded."
    try:
        size = read_pixels(root / file, name=file)[1]
    except UserError as e:
        return None, [Problem(file, "", str(e).removeprefix(f"{file}: "))]
    return size, [Problem(file, "", m) for m in _misfits(task, label, size)] if label is not None else []


def _images_on_disk(root, task):
    "Every image in a task's folders, relative to `root`: those whose label is broken have to be whole too."
    training = TRAINING if (root / TRAINING).is_dir() else FINAL_TRAINING
    patterns = {
        "classification": (f"{training}/*/*.ppm", f"{TEST_IMAGES}/*.ppm"),
        "detection": (f"{IMAGES}/*.png", f"{IMAGES}/*.jpg"),
        "lane": ("tusimple/clips/*/*/20.jpg",),
    }[task]
    return {p.relative_to(root).as_posix() for pattern in patterns for p in root.glob(pattern)}


def check_data(
    data_root: str | Path,  # folder with gtsrb/, kitti/ and tusimple/
    tasks: tuple = TASKS,  # the tasks to check
    progress: bool = True,  # show a bar with the time left
    threads: int = 2,  # that decode images
) -> Report:
    "Checks all labels and decodes every image; the report lists every problem, with its file and line, and counts what is there."
    report, labels = _check_labels(data_root, tasks)
    files = {task: sorted(_images_on_disk(report.data_root, task) | labels[task].keys()) for task in labels}
    with (
        tqdm(total=sum(map(len, files.values())), unit="image", disable=not progress) as bar,
        ThreadPoolExecutor(threads) as pool,
    ):
        for task in files:
            bar.set_description(task)
            sizes, check = Counter(), lambda file: _check_image(report.data_root, task, file, labels[task].get(file))
            for size, problems in pool.map(check, files[task]):
                report.problems += problems
                bar.update()
                if size:
                    sizes[f"{size[1]}x{size[0]}"] += 1
            report.counts[task]["image sizes"] = dict(sizes.most_common())
    return report


_HOW_TO_GET = {
    "classification": f"""GTSRB, traffic signs (Stallkamp et al. 2012; for research, cite the paper).
By itself: mtl_data download data_root --tasks classification, which is torchvision.datasets.GTSRB(data_root, split="train" and "test", download=True):
26,640 training and 12,630 test images.
By hand: GTSRB-Training_fixed.zip, GTSRB_Final_Test_Images.zip and GTSRB_Final_Test_GT.zip from https://benchmark.ini.rub.de, all unzipped
in data_root/gtsrb. GTSRB_Final_Training_Images.zip (39,209 images) is read instead of the first where GTSRB/Training does not exist.
Layout: {GTSRB_LAYOUT};
        {TEST_IMAGES}/NNNNN.ppm with gtsrb/GT-final_test.csv (optional)""",
    "detection": f"""KITTI, road users (Geiger et al. 2012; CC BY-NC-SA 3.0: no commercial use).
By itself: mtl_data download data_root --tasks detection, which is torchvision.datasets.Kitti(data_root, download=True), 12 GB; torchvision unpacks to
data_root/Kitti/raw/training, and the folder is then moved to data_root/kitti/training.
By hand: data_object_image_2.zip and data_object_label_2.zip from https://www.cvlibs.net/datasets/kitti, unzipped in data_root/kitti.
Layout: {KITTI_LAYOUT}""",
    "lane": f"""TuSimple, lanes (TuSimple lane detection challenge 2017; terms in its repository).
By hand only: train_set.zip (3,626 clips), test_set.zip (2,782 clips) and test_label.json, as listed in
https://github.com/TuSimple/tusimple-benchmark (issue 3). The original links have been refused since 2023; copies are on
Kaggle (manideep1108/tusimple). Unzip so that the label files and clips/ of both archives lie in data_root/tusimple itself.
Layout: {TUSIMPLE_LAYOUT};
        tusimple/test_label.json (optional: becomes the test part)""",
}


def how_to_get(
    task: str,  # classification, detection or lane
) -> str:
    "Where the real data set of a task comes from, under which terms, and how to lay it out."
    if task not in TASKS:
        raise UserError(f"unknown task {task!r}: expected one of {', '.join(TASKS)}")
    return _HOW_TO_GET[task]


def download(
    task: str,  # classification or detection
    data_root: str
    | Path,  # where gtsrb/ or kitti/ shall be; not the built-in world, whose drawings would pass for the real set
):
    "Downloads a real data set with torchvision and lays it out; raises `UserError` when that fails, no downloader exists, or the folder is the built-in world."
    how_to_get(task)  # refuses an unknown task
    root = resolve(data_root)
    if task == "lane":
        raise UserError("TuSimple has no downloader: get it by hand as `mtl_data get --tasks lane` says")
    if (root / "manifest.json").is_file():
        raise UserError(f"{data_root} is the built-in world: choose another folder for the real data")
    from torchvision import datasets

    try:
        if task == "classification":
            for split in ("train", "test"):
                datasets.GTSRB(root, split=split, download=True)
        elif not (root / "kitti" / "training").exists():
            datasets.Kitti(root, download=True)
            (root / "kitti").mkdir(exist_ok=True)
            os.replace(
                root / "Kitti" / "raw" / "training", root / "kitti" / "training"
            )  # the archives stay in Kitti/raw; delete them by hand
    except (OSError, RuntimeError) as e:  # no network, no such page, disk full, checksum
        raise UserError(
            f"the download of the {task} data to {root} failed ({e}): check the network and the disk and try again, "
            f"or do it by hand as `mtl_data get --tasks {task}` says"
        ) from e
