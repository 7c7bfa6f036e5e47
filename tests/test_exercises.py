"""Exercises: every solution can be pasted over its stub, and where the notebook is quick the check is run with stub, solution and nonsense."""

import ast, builtins, contextlib, io, json, re, warnings
from pathlib import Path
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "nbs").rglob("[0-9]*.ipynb"))
EXECUTED = ("01_signs", "02_objects", "03_lanes", "05_loaders")
FOLDED = re.compile(r"\s*<details>\s*<summary>Solution</summary>(.*?)</details>", re.S)
CODE = re.compile(r"^[ \t]*```(?:python)?\n(.*?)^[ \t]*```", re.S | re.M)


def read_cells(path):
    "(kind, source, printed text) of every cell."
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = lambda c: "".join("".join(o.get("text", "")) for o in c.get("outputs", []))
    return [(c["cell_type"], "".join(c["source"]), text(c)) for c in cells]


def stubs_and_solutions(cells):
    """[(indices of the cells with stub and check, what they printed, code of the solution or None)].

    An exercise is a run of code cells below the heading "Exercises" that is followed by a folded solution, or that printed "not yet"."""
    begun = next(
        (
            i
            for i, (kind, source, _) in enumerate(cells)
            if kind == "markdown" and re.search(r"^## Exercises", source, re.M)
        ),
        len(cells),
    )
    found, run = [], []
    for i, (kind, source, _) in enumerate([*cells[begun:], ("markdown", "", "")], begun):
        if kind == "code":
            run.append(i)
            continue
        folded, printed = FOLDED.match(source), "".join(cells[k][2] for k in run)
        if run and (folded or "not yet" in printed):
            code = CODE.search(folded[1]) if folded else None
            found.append((run, printed, code[1] if code else None))
        run = []
    return found


def bound_names(statement):
    "The names that a statement of a cell gives something to."
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return {statement.name}
    if not isinstance(statement, ast.Assign):
        return set()
    return {n.id for target in statement.targets for n in ast.walk(target) if isinstance(n, ast.Name)}


def stub_statement(source):
    "What a learner replaces: the first statement of the cell that gives something to a name."
    return next(s for s in ast.parse(source).body if bound_names(s))


def pasted(source, replacement):
    "The stub's cell with other code in place of the stub."
    stub, lines = stub_statement(source), source.splitlines()
    first = min([stub.lineno, *(d.lineno for d in getattr(stub, "decorator_list", []))])
    return "\n".join([*lines[: first - 1], replacement, *lines[stub.end_lineno :]])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_solution_can_be_pasted_over_its_stub(path):
    cells = read_cells(path)
    exercises = stubs_and_solutions(cells)
    assert exercises, "no exercise with a stub that prints 'not yet'"
    faults = []
    for (i, *more), printed, solution in exercises:
        wanted = bound_names(stub_statement(cells[i][1]))
        if not any("not yet" in cells[k][1] or "attempt(" in cells[k][1] for k in (i, *more)):
            faults.append(f"cell {i}: nothing says 'not yet' to an untouched stub")
        if printed and "not yet" not in printed:
            faults.append(f"cell {i}: the untouched stub printed {printed[:60]!r}, expected 'not yet'")
        if solution is None:
            faults.append(f"cell {i}: no folded solution with a block of code for {wanted}")
            continue
        try:
            given = set().union(*map(bound_names, ast.parse(compile_whole(solution)).body))
        except SyntaxError as e:
            faults.append(f"cell {i}: the solution is no whole code ({e})")
            continue
        if not wanted <= given:
            faults.append(f"cell {i}: the solution defines {sorted(given)}, the stub {sorted(wanted)}")
    assert not faults, "\n".join(faults)


def compile_whole(code):
    "The same code; raises SyntaxError also for what only a compiler sees, such as a return outside a function."
    compile(code, "solution", "exec")
    return code


def run_cell(source, names):
    "What a cell prints; line magics are left out."
    source = "\n".join(l for l in source.splitlines() if not l.startswith("%"))
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(source, "cell", "exec"), names)
    return out.getvalue()


@pytest.fixture
def in_notebooks_folder(monkeypatch):
    "The place and the settings in which notebooks run, pictures drawn but shown nowhere."
    monkeypatch.chdir(NOTEBOOKS[0].parent)
    monkeypatch.setenv("IN_TEST", "1")
    import matplotlib

    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # figures that cannot be shown
        with matplotlib.rc_context():
            yield
    import matplotlib.pyplot as plt

    plt.close("all")
    matplotlib.use(backend)


@pytest.mark.parametrize("name", EXECUTED)
def test_a_check_tells_the_solution_from_the_stub_and_from_nonsense(name, in_notebooks_folder):
    cells = read_cells(next(p for p in NOTEBOOKS if p.stem == name))
    exercises = {run[0]: (run, code) for run, _, code in stubs_and_solutions(cells)}
    rest = {i for run, _ in exercises.values() for i in run[1:]}
    names = {"__name__": "__main__", "__builtins__": builtins, "display": lambda *things: None}
    for i, (kind, source, _) in enumerate(cells):
        if kind != "code" or i in rest:
            continue
        if i not in exercises:
            run_cell(source, names)
            continue
        run, solution = exercises[i]
        (stub,) = bound_names(stub_statement(source))
        react = lambda first: "".join(run_cell(s, names) for s in (first, *(cells[k][1] for k in run[1:]))).strip()
        assert react(source) == "not yet", f"cell {i}"
        nonsense = react(pasted(source, f"def {stub}(*given, **named): return 'nonsense'"))
        assert nonsense.startswith("not right"), f"cell {i}: {nonsense!r}"
        right = react(pasted(source, solution))
        assert right.startswith("right"), f"cell {i}: {right!r}"
