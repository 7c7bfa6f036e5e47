"""Trainings, evaluations and predictions that are killed: what is lost, and does anything stay?

    python benchmarks/kills.py --histories 12 --seed 0

A history starts a program, kills it at a drawn moment, starts it again (a training with --resume),
perhaps kills it again, and leaves the last attempt alone. Its end is compared with that of a
program which nobody disturbed: all states in the checkpoints, the log without its times, scores,
predictions, and the names of all files, so that leftovers are found. It has survived (equal to the
last digit), differs, was refused in a sentence, ended in a trace, or hung. Writes
results/kills.csv, one row for each history.
"""

import functools
import hashlib
import importlib
import itertools
import json
import multiprocessing
import os
import random
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from fastcore.script import Param, call_parse

from mtl_course.cli.evaluate import mtl_evaluate
from mtl_course.cli.predict import mtl_predict
from mtl_course.cli.train import mtl_train
from mtl_course.config import make_config
from mtl_course.core.files import atomic_write, resolve
from mtl_course.data.sources import prepare_data
from mtl_course.training.log import LOG_COLUMNS

HANG = 300  # seconds after which an attempt is given up
MOST_KILLS = 3  # in a history
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGINT)  # one of them is drawn
OPTIONS = dict(  # the smallest training that validates and writes every file
    recipe="smoke",
    tasks="classification,lane",
    backbone_name="resnet10",
    classification_batch_size="4",
    classification_limit="20",
    lane_limit="4",
    steps_per_epoch="3",
    epochs="2",
    checkpoint_every="2",
)
TIMES = ["seconds", "images_per_second", "data_wait"]  # columns of the log
PLACES = ["checkpoint", "data_root", "results_dir"]  # columns and fields that tell where something lies
PICTURES = 6  # that are predicted


class Moment(NamedTuple):
    "When a program is killed: some time after a call of a function has begun."

    name: str
    function: str  # module.function that is listened to
    calls: int = 1  # one of the first so many
    share: float = 0.0  # of an undisturbed training's time: the longest time after


PREPARATION = Moment("data is prepared", "mtl_course.cli.train._prepare_and_check", share=0.5)
STEP = Moment("a step", "mtl_course.training.loop.train_step", 6, share=0.03)
CHECKPOINT = Moment("a checkpoint is written", "torch.save", 5, share=0.03)
RENAME = Moment("a file takes its place", "os.replace", 12, share=1e-4)
VALIDATION = Moment("validation", "mtl_course.training.loop.validate", 2, share=0.05)
END = Moment("the end", "mtl_course.cli.train._report", share=0.3)
ANYWHERE = Moment("anywhere", "mtl_course.cli.train._prepare_and_check", share=1.0)
SUBMISSION = Moment("predictions are written", "mtl_course.evaluation.results._write_submission", 2, share=0.002)
TABLE = Moment("a table is written", "mtl_course.evaluation.results._replace_rows", 4, share=0.002)
PICTURE = Moment("a picture is predicted", "mtl_course.cli.predict._predict_picture", PICTURES, share=0.01)
HISTORIES = (  # program, the moment of its first kill
    ("training", CHECKPOINT),
    ("prediction", PICTURE),
    ("training over another", RENAME),
    ("evaluation", SUBMISSION),
    ("training", PREPARATION),
    ("training", VALIDATION),
    ("training over another", CHECKPOINT),
    ("training", END),
    ("evaluation", TABLE),
    ("training", STEP),
    ("training", RENAME),
    ("training", ANYWHERE),
)
LATER = (STEP, CHECKPOINT, RENAME, VALIDATION, END, ANYWHERE)  # moments of further kills of a training


class Attempt(NamedTuple):
    "How a program ended."

    answer: str  # killed, ended, refused, trace or hang
    sentence: str = ""  # the last that it printed; of a killed one the signal


# what is killed


def run_quietly(call: Callable, listen: Callable, output: Path):
    "In a process of its own: everything that is printed goes to a file."
    file = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    listen()
    call()


def announce(moment: Moment, number: int, pipe: int):
    "From now on the given call of the moment's function writes into a pipe when it begins."
    module, _, name = moment.function.rpartition(".")
    module = importlib.import_module(module)
    function = getattr(module, name)
    calls = []

    def told(*args, **options):
        calls.append(1)
        if len(calls) == number:
            os.write(pipe, b"!")
        return function(*args, **options)

    setattr(module, name, told)


def attempt(
    call: Callable,  # a program with its options
    output: Path,  # what it prints
    moment: Moment | None = None,  # None: it is left alone
    draw: random.Random | None = None,
    seconds: float = 0.0,  # that an undisturbed training takes
) -> Attempt:
    "Runs a program in a process of its own, and kills it."
    reading, writing = os.pipe()
    listen = functools.partial(announce, moment, draw.randint(1, moment.calls), writing) if moment else list
    process = multiprocessing.get_context("fork").Process(target=run_quietly, args=(call, listen, output))
    process.start()
    os.close(writing)
    sent = None
    if moment and select.select([reading], [], [], HANG)[0] and os.read(reading, 1):
        time.sleep(draw.random() * moment.share * seconds)
        sent = draw.choice(SIGNALS)
        os.kill(process.pid, sent)
    os.close(reading)
    process.join(HANG)
    if process.is_alive():
        process.kill()
        return Attempt("hang")
    return classify(process.exitcode, sent, output.read_text(errors="replace"))


def classify(code: int, sent: int | None, printed: str) -> Attempt:
    "What an exit code and the printed text say."
    last = printed.strip().rpartition("\n")[2].rpartition("\r")[2]
    if code == 0:  # an interrupt that falls into a callback is dropped by Python, with a trace
        return Attempt("ended")
    if "Traceback" in printed:
        return Attempt("trace", printed[printed.index("Traceback") :].partition("\n\n")[0])
    if sent and code in (-sent, 130):
        return Attempt("killed", signal.Signals(sent).name)
    if code == 2 and last.startswith("mtl_"):
        return Attempt("refused", last)
    return Attempt("trace", f"exit code {code}: {last}")


# what is left


def contents(folder: Path) -> dict:  # name -> what has to be the same
    "Everything in a folder that does not depend on times and places."
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): content(path) for path in files}


def content(path: Path):
    "A file as plain values that can be compared."
    if path.suffix == ".pt":
        states = torch.load(path, weights_only=True)
        states["config"] = without_places(states["config"])
        return digest({name: state for name, state in states.items() if name != "seconds"})
    if path.suffix == ".csv" and path.parent.name != "gtsrb":
        return table_content(path)
    if path.suffix in (".json", ".jsonl"):
        lines = path.read_text(encoding="utf-8").splitlines()
        whole = lines and lines[0] in ("{", "[")
        return [without_places(json.loads(text)) for text in (["\n".join(lines)] if whole else lines)]
    if path.suffix == ".log":
        return len(path.read_text(encoding="utf-8")) > 0
    return hashlib.sha256(path.read_bytes()).hexdigest()


def table_content(path: Path) -> list:
    "The rows of a log or of a table of results."
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if "metric" in table:  # of a frame that took longer than 200 ms it is 0
        table = table[table.metric != "tusimple_accuracy"]
    dropped = TIMES if list(table) == list(LOG_COLUMNS) else PLACES
    return [list(table.columns), *table.drop(columns=dropped, errors="ignore").values.tolist()]


def without_places(values: dict) -> dict:
    return {name: value for name, value in values.items() if name not in (*PLACES, "run_time")}


def digest(state):
    "A state with a hash in the place of each tensor."
    if isinstance(state, torch.Tensor):
        return str(state.dtype), tuple(state.shape), hashlib.sha256(state.numpy().tobytes()).hexdigest()
    if isinstance(state, dict):
        return {name: digest(value) for name, value in state.items()}
    if isinstance(state, (list, tuple)):
        return [digest(value) for value in state]
    return state


def difference(expected: dict, found: dict) -> str:  # empty: none
    "The first file that is not the same."
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            return f"{name} is missing"
        if name not in expected:
            return f"{name} is left over"
        if expected[name] != found[name]:
            return f"{name} differs{first_difference(expected[name], found[name])}"
    return ""


def first_difference(expected, found) -> str:
    "The first row of a table, or the first state of a checkpoint, that is not the same."
    if isinstance(expected, dict) and isinstance(found, dict):
        names = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
        return f" in {min(names)}"
    if isinstance(expected, list) and isinstance(found, list):
        pairs = enumerate(itertools.zip_longest(expected, found))
        return next(f", row {number}: {a}, not {b}" for number, (b, a) in pairs if a != b)
    return ""


# histories


def training(root: Path, folder: Path, **options) -> Callable:  # root: of the data
    "A call of `mtl_train`."
    return functools.partial(mtl_train, data_root=str(root), results_dir=str(folder), **OPTIONS | options)


def predicting(undisturbed: "Undisturbed", out: Path) -> Callable:
    "A call of `mtl_predict` on some pictures of the world."
    pictures = sorted(undisturbed.data.rglob("*.png"))[:PICTURES]
    checkpoint = undisturbed.run_folder(0) / "checkpoints" / "model_best.pt"
    names = [str(path) for path in pictures]
    return functools.partial(mtl_predict, images=names, checkpoint=str(checkpoint), out=str(out), tasks="lane")


class Undisturbed:
    "What programs end with that nobody kills; each is run when it is first asked for."

    def __init__(self, root: Path):  # an empty folder for runs of two seeds, and drawn pictures
        self.root = root
        self.data = resolve(make_config("smoke").data_root)
        self._run(functools.partial(prepare_data, make_config("smoke"), False))
        began = time.perf_counter()
        self.run_folder(0)
        self.seconds = time.perf_counter() - began  # of a training

    @functools.cache
    def run_folder(self, seed: int) -> Path:
        folder = self.root / f"run-{seed}"
        self._run(training(self.data, folder, seed=str(seed)))
        return folder

    @functools.cache
    def run_contents(self, seed: int) -> dict:
        return contents(self.run_folder(seed))

    @functools.cache
    def drawn_contents(self) -> dict:
        self._run(predicting(self, self.root / "drawn"))
        return contents(self.root / "drawn")

    def _run(self, call: Callable):
        end = attempt(call, self.root / "output.txt")
        if end.answer != "ended":
            raise RuntimeError(f"an undisturbed program: {end.answer} {end.sentence}")


def copy_run(run: Path, folder: Path, figures: bool):
    "A finished run that was not evaluated; its scores would name another place."
    scores = ["predictions", "evaluation_results.csv", "per_class_*.csv", "confusion_matrix.csv"]
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns(*scores, *([] if figures else ["*.png"])))


def programs(kind: str, moment: Moment, undisturbed: Undisturbed, folder: Path) -> tuple[Callable, Callable]:
    "The call that is killed first, and that of all later attempts."
    data = folder.parent / "world-tiny" if moment is PREPARATION else undisturbed.data
    if kind == "prediction":
        call = predicting(undisturbed, folder)
        return call, call
    if kind == "training":
        return training(data, folder), training(data, folder, resume=True)
    copy_run(undisturbed.run_folder(0), folder, figures=kind == "evaluation")
    if kind == "training over another":
        again = functools.partial(mtl_train, recipe="smoke", resume=True, results_dir=str(folder))
        return training(data, folder, overwrite=True, seed="1"), again
    call = functools.partial(mtl_evaluate, checkpoint=str(folder / "checkpoints" / "model_best.pt"))
    return call, call


def expected_end(kind: str, undisturbed: Undisturbed, folder: Path) -> dict:
    "What the folder shall hold; a training over another may have left that one alone."
    if kind == "prediction":
        return undisturbed.drawn_contents()
    return undisturbed.run_contents(json.loads((folder / "config.json").read_text(encoding="utf-8"))["seed"])


def run_history(kind: str, first: Moment, undisturbed: Undisturbed, draw: random.Random) -> dict:
    "One program with its kills: a row of the table."
    moments = [first]
    while kind.startswith("training") and len(moments) < MOST_KILLS and draw.random() < 1 / 3:
        moments.append(draw.choice(LATER))
    signals = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        start, again = programs(kind, first, undisturbed, folder)
        for moment in [*moments, None]:
            end = attempt(start, Path(place) / "output.txt", moment, draw, undisturbed.seconds)
            start = again
            if end.answer == "killed":
                signals.append(end.sentence)
            elif end.answer != "ended":
                break
        answer, sentence = end
        if answer == "ended":
            sentence = difference(expected_end(kind, undisturbed, folder), contents(folder))
            answer = "different" if sentence else "survived"
    names = ", ".join(moment.name for moment in moments)
    told = dict(kills=len(signals), signals=", ".join(signals))
    return dict(program=kind, moments=names) | told | dict(answer=answer, sentence=sentence)


def run_histories(count: int, seed: int = 0) -> pd.DataFrame:
    "Histories in turn; the same seed draws the same ones."
    rows = []
    with tempfile.TemporaryDirectory() as root:
        undisturbed = Undisturbed(Path(root))
        for number in range(count):
            kind, moment = HISTORIES[number % len(HISTORIES)]
            row = run_history(kind, moment, undisturbed, random.Random(f"{seed}/{number}"))
            rows.append(dict(history=number) | row)
            print(" · ".join(str(value) for value in row.values()), flush=True)
    return pd.DataFrame(rows)


@call_parse
def main(
    histories: Param("how many", int) = 12,
    seed: Param("of the moments", int) = 0,
    out: Param("table", str) = "results/kills.csv",
):
    "Kills programs, starts them again, counts what became of them."
    torch.set_num_threads(1)
    table = run_histories(histories, seed)
    print(f"{table.kills.sum()} kills in {len(table)} histories")
    print(pd.crosstab(table.program, table.answer).to_string())
    with atomic_write(resolve(out)) as temporary:
        table.to_csv(temporary, index=False)
