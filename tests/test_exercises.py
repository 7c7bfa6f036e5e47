"""Every exercise: stub "not yet", solution "right", plausible wrong answers told the slip."""

import ast
import builtins
import contextlib
import importlib
import io
import itertools
import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "nbs").rglob("[0-9]*.ipynb"))
CHECK = re.compile(r"^check\(\"(\d\d\.\d+)\"", re.M)
FOLDED = re.compile(r"<details>\s*<summary>(Hint|Solution)</summary>(.*?)</details>", re.S)
CODE = re.compile(r"^[ \t]*```python\n(.*?)^[ \t]*```", re.S | re.M)
NAMES = ast.FunctionDef | ast.ClassDef


@dataclass
class Exercise:
    "One exercise as it stands in its notebook."

    number: str
    stub: str  # the code cell
    printed: str  # what the stored stub printed
    before: str  # the question's cell
    after: str  # what is folded behind it: a hint and the solution

    @property
    def solution(self) -> str:
        "The code of the folded solution; empty when there is none."
        folded = dict(FOLDED.findall(self.after))
        block = CODE.search(folded.get("Solution", ""))
        return block[1] if block else ""


def folded_behind(cells, i):
    "The text of the folded cells right behind a code cell."
    texts = []
    for cell in cells[i + 1 :]:
        text = "".join(cell["source"])
        if cell["cell_type"] != "markdown" or not text.startswith("<details>"):
            break
        texts.append(text)
    return "\n".join(texts)


def read_exercises(path):
    "The exercises of a notebook, in order."
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    exercises = []
    for i, cell in enumerate(cells):
        number = CHECK.search(sources[i])
        if cell["cell_type"] == "code" and number:
            printed = "".join("".join(output.get("text", "")) for output in cell["outputs"])
            exercises.append(Exercise(number[1], sources[i], printed, sources[i - 1], folded_behind(cells, i)))
    return exercises


EXERCISES = sum(map(read_exercises, NOTEBOOKS), [])
each_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.number)


def defined_names(statement):
    "The names that a statement defines."
    if isinstance(statement, NAMES):
        return {statement.name}
    if not isinstance(statement, ast.Assign):
        return set()
    nodes = itertools.chain.from_iterable(map(ast.walk, statement.targets))
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def stub_names(stub):
    "The names of the stub: of its first function, class or value."
    return next(names for names in map(defined_names, ast.parse(stub).body) if names)


def replaced(stub, answer):
    "The cell with another answer in the stub's place."
    statement = next(s for s in ast.parse(stub).body if defined_names(s))
    lines = stub.splitlines()
    decorators = [d.lineno for d in getattr(statement, "decorator_list", [])]
    first = min([statement.lineno, *decorators])
    return "\n".join([*lines[: first - 1], answer, *lines[statement.end_lineno :]])


def run(code):
    "What a cell prints in a namespace of its own."
    names = {"__name__": "__main__", "__builtins__": builtins}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()) as printed:
        warnings.simplefilter("ignore")
        exec(compile(code, "exercise", "exec"), names)
    return printed.getvalue().strip()


def wrong_answers(number):
    "{what slips: code} of an exercise."
    module = importlib.import_module(f"exercises.lesson_{number.split('.')[0]}")
    return module.WRONG[number]


@pytest.fixture(autouse=True)
def in_notebooks_folder(monkeypatch):
    "Cells run in the folder of the notebooks; answers may draw."
    monkeypatch.chdir(NOTEBOOKS[0].parent)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.syspath_prepend(Path(__file__).parent)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_lesson_has_two_to_four_exercises(path):
    if path.parent.name in ("6_play", "nbs"):
        return
    numbers = [exercise.number for exercise in read_exercises(path)]
    assert numbers == [f"{path.stem[:2]}.{k}" for k in range(1, len(numbers) + 1)]
    assert 2 <= len(numbers) <= 4


@each_exercise
def test_an_exercise_has_its_cells(exercise):
    lesson, place = exercise.number.split(".")
    assert f"**Exercise {int(lesson)}.{place}.**" in exercise.before
    assert [title for title, _ in FOLDED.findall(exercise.after)] == ["Hint", "Solution"]
    assert exercise.printed.strip() == "not yet"


@each_exercise
def test_the_stub_is_not_yet(exercise):
    assert run(exercise.stub) == "not yet"


@each_exercise
def test_the_solution_is_right(exercise):
    solution_names = set().union(*map(defined_names, ast.parse(exercise.solution).body))
    assert stub_names(exercise.stub) <= solution_names
    assert run(replaced(exercise.stub, exercise.solution)).startswith("right")


@each_exercise
def test_the_solution_stands_nowhere_in_its_check(exercise):
    body = exercise.stub.split("check(")[1]
    assert len(body.splitlines()) <= 2


@each_exercise
def test_two_wrong_answers_are_told_the_slip(exercise):
    answers = wrong_answers(exercise.number)
    assert len(answers) >= 2
    for slip, code in answers.items():
        told = run(replaced(exercise.stub, code))
        assert told.startswith("not right: ") and len(told) >= 40, f"{slip}: {told!r}"
        assert "Traceback" not in told


@each_exercise
@pytest.mark.parametrize("nonsense", ["'nonsense'", "lambda *given, **named: 'nonsense'", "[[None]]"])
def test_nonsense_is_no_traceback(exercise, nonsense):
    name = next(iter(stub_names(exercise.stub)))
    assert run(replaced(exercise.stub, f"{name} = {nonsense}")).startswith("not right: ")
