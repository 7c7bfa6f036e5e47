"""Spoiled labels, images, configs, result tables and checkpoints: what do the readers say?

    python benchmarks/hostile_files.py --tries 40

Each file of a small data set is spoiled in every way of WAYS, with as many seeds as asked for, and
is read as training, `mtl_data check`, `mtl_evaluate` and the figures read it. An answer is clear (a
`UserError`), accepted (the file still says something sensible), a trace (any other exception: a
fault of the course), or slow (more than ten seconds). Writes results/hostile_files.csv.
"""

import contextlib
import json
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from fastcore.script import Param, call_parse

from mtl_course.config import Config, make_config
from mtl_course.core.errors import UserError
from mtl_course.core.files import atomic_write, resolve
from mtl_course.data.checking import check_data
from mtl_course.data.sources import make_reader, prepare_data
from mtl_course.evaluation.results import RESULT_COLUMNS, read_table
from mtl_course.models import load_model, model_from_config
from mtl_course.training.recording import read_recording

SLOW = 10  # seconds after which nobody waits any longer
NUMBERS = ("nan", "inf", "-inf", "1e300", "-1", "1e-300", "9" * 400, "0x1f", "", "٣", "1_0", "word", "null", "[]")


def flip_bytes(data: bytes, draw: random.Random) -> bytes:
    spoiled = bytearray(data)
    for _ in range(draw.choice((1, 3, 20))):
        spoiled[draw.randrange(len(spoiled))] = draw.randrange(256)
    return bytes(spoiled)


def cut_off(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def swap_a_number(data: bytes, draw: random.Random) -> bytes:
    words = data.decode("latin-1").replace(",", " , ").replace(";", " ; ").split(" ")
    words[draw.randrange(len(words))] = draw.choice(NUMBERS)
    return " ".join(words).encode()


def repeat_a_line(data: bytes, draw: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    at = draw.randrange(len(lines))
    return b"".join([*lines[:at], *[lines[at]] * draw.choice((2, 3000)), *lines[at:]])


def drop_a_line(data: bytes, draw: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[draw.randrange(len(lines))]
    return b"".join(lines)


def other_encoding(data: bytes, draw: random.Random) -> bytes:
    text = data.decode("latin-1")
    return draw.choice((text.encode("utf-16"), b"\xef\xbb\xbf" + data, data.replace(b"\n", b"\r\n"), b"\0" + data))


def noise(data: bytes, draw: random.Random) -> bytes:
    return draw.randbytes(draw.choice((1, 100, 5000)))


def nested(data: bytes, draw: random.Random) -> bytes:
    depth = draw.choice((10, 5000, 100_000))
    return b"[" * depth + b"]" * depth


def empty(data: bytes, draw: random.Random) -> bytes:
    return b""


WAYS = {
    way.__name__.replace("_", " "): way
    for way in (flip_bytes, cut_off, swap_a_number, repeat_a_line, drop_a_line, other_encoding, noise, nested, empty)
}


class Target(NamedTuple):
    "A file to spoil, and a function that reads it as the course does."

    name: str
    path: Path
    read: Callable


def first_file(root: Path, pattern: str) -> Path:
    return sorted(root.glob(pattern))[0]


def read_task(root: Path, task: str):
    "Every image and label of a task, as training and as `mtl_data check` see them."
    reader = make_reader(make_config("smoke", data_root=str(root)), task, "all")
    for index in range(len(reader)):
        reader[index]
    check_data(root, (task,), progress=False, threads=1)


def without_most_images(root: Path):
    "Leaves two classes of signs and the drawn scenes: fast to read."
    (root / "manifest.json").unlink()
    for folder in sorted((root / "gtsrb" / "GTSRB" / "Training").iterdir())[2:]:
        shutil.rmtree(folder)


def make_targets(root: Path) -> list[Target]:  # root: an empty folder
    "A small data set with a config, a table of results and a checkpoint."
    world = prepare_data(make_config("smoke"), progress=False)
    shutil.copytree(world, root / "data")
    data = root / "data"
    without_most_images(data)
    config = make_config("smoke", sharing="hard")
    (root / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    row = dict.fromkeys(RESULT_COLUMNS, 0.5) | dict(model="multi_task", split="test", task="lane", metric="iou")
    pd.DataFrame([row]).to_csv(root / "results.csv", index=False)
    model = model_from_config(config)
    torch.save(dict(model=model.state_dict(), config=config.to_dict()), root / "model.pt")
    shutil.copy(resolve("results/gradient_recording.json"), root / "recording.json")
    files = {
        "sign table": ("gtsrb/GTSRB/Training/*/GT-*.csv", "classification"),
        "sign image": ("gtsrb/GTSRB/Training/*/*.ppm", "classification"),
        "object label": ("kitti/training/label_2/*.txt", "detection"),
        "scene image": ("kitti/training/image_2/*.png", "detection"),
        "lane labels": ("tusimple/label_data_*.json", "lane"),
        "lane image": ("tusimple/clips/*/*/20.jpg", "lane"),
    }
    targets = []
    for name, (pattern, task) in files.items():
        targets.append(Target(name, first_file(data, pattern), lambda _, task=task: read_task(data, task)))
    return targets + [
        Target("config", root / "config.json", Config.load),
        Target("results", root / "results.csv", lambda path: read_table(path, RESULT_COLUMNS)),
        Target("recording", root / "recording.json", read_recording),
        Target("checkpoint", root / "model.pt", lambda path: load_model(path, device="cpu")),
    ]


@contextlib.contextmanager
def at_most(seconds: int) -> Iterator[None]:
    "Ends the block with a `TimeoutError` when it takes longer."

    def ring(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def answer(target: Target) -> tuple[str, str]:  # clear, accepted, trace or slow; the sentence
    "What reading a file leads to."
    try:
        with at_most(SLOW):
            target.read(target.path)
    except UserError as error:
        sentence = str(error)
        return ("clear" if "\n" not in sentence else "trace"), sentence
    except TimeoutError:
        return "slow", ""
    except Exception as error:  # any other is what is looked for
        return "trace", f"{type(error).__name__}: {error}"
    return "accepted", ""


def try_all(targets: list[Target], tries: int, seed: int = 0) -> pd.DataFrame:
    "Every target spoiled in every way; the files are whole again afterwards."
    rows = []
    for target in targets:
        whole = target.path.read_bytes()
        for way, spoil in WAYS.items():
            for number in range(tries):
                target.path.write_bytes(spoil(whole, random.Random(f"{seed}/{target.name}/{way}/{number}")))
                began = time.perf_counter()
                kind, sentence = answer(target)
                seconds = time.perf_counter() - began
                rows.append((target.name, way, number, kind, seconds, sentence))
        target.path.write_bytes(whole)
    return pd.DataFrame(rows, columns=["file", "way", "number", "answer", "seconds", "sentence"])


@call_parse
def main(tries: Param("seeds for each file and way", int) = 40):
    "Spoils files, reads them, counts the answers."
    with tempfile.TemporaryDirectory() as folder:
        table = try_all(make_targets(Path(folder)), tries)
    counts = pd.crosstab(table.file, table.answer)
    print(counts.to_string())
    for row in table[table.answer.isin(["trace", "slow"])].itertuples():
        print(f"{row.file}, {row.way}, number {row.number}: {row.answer} {row.sentence[:200]}")
    with atomic_write(resolve("results/hostile_files.csv")) as temporary:
        counts.to_csv(temporary)
