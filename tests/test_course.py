"""The notebooks are the source: the package is what they export, and they keep the course's form."""

import filecmp, json, re, shutil, subprocess, sys
from pathlib import Path
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "nbs").rglob("[0-9]*.ipynb"))
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:root|work|home/\w+)/[\w./-]+")


def test_the_package_is_what_the_notebooks_export(tmp_path):
    for name in ("nbs", "mtl_course"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        )
    for name in ("settings.ini", "setup.py", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    for module in (tmp_path / "mtl_course").rglob("*.py"):
        if module != tmp_path / "mtl_course" / "__init__.py":
            module.unlink()  # nothing but the export can bring them back
    subprocess.run([Path(sys.executable).with_name("nbdev_export")], cwd=tmp_path, check=True)
    ours, exported = ({p.relative_to(r): p for p in (r / "mtl_course").rglob("*.py")} for r in (ROOT, tmp_path))
    assert set(ours) == set(exported)
    differ = [str(k) for k in ours if not filecmp.cmp(ours[k], exported[k], shallow=False)]
    assert not differ, f"edit the notebook, then make export: {differ}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_keeps_the_form(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = "".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown").lower()
    assert not [
        part
        for part in ("you will learn", "you need", "minutes on a cpu", "takeaways", "exercise", "further reading")
        if part not in prose
    ]
    assert len({c["id"] for c in cells}) == len(cells) and path.stat().st_size < 600_000
    for c in cells:
        if c["cell_type"] != "code":
            continue
        source = "".join(c["source"])
        assert len(source.splitlines()) <= 40 and not re.search(r"#\|\s*eval:\s*false", source)
        for output in c["outputs"]:
            assert output["output_type"] != "error", source[:200]
            assert not MACHINE_PATH.search(json.dumps(output)), source[:200]


def test_modules_import_only_from_earlier_rooms():
    room = {}
    for path in NOTEBOOKS:
        for c in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if m := re.match(r"#\| default_exp ([\w.]+)", "".join(c["source"])):
                room[m[1]] = path.name
    for module, notebook in room.items():
        text = (ROOT / "mtl_course" / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
        package = module.split(".")[:-1]
        for dots, name, what in re.findall(r"^from (\.+)([\w.]*) import (.+)$", text, re.M):
            inside = (
                [name] if name else [w.split(" as ")[0].strip() for w in what.split(",")]
            )  # from . import a, b names modules
            for target in (".".join([*package[: len(package) - len(dots) + 1], n]) for n in inside):
                assert room[target] < notebook, f"{module} ({notebook}) imports {target} ({room[target]})"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_stored_figure_is_a_picture(path):
    "A Figure whose only output is its `<Figure size …>` was never drawn for the reader."
    for c in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        for output in c.get("outputs", []):
            data = output.get("data", {})
            assert not (set(data) == {"text/plain"} and "".join(data["text/plain"]).startswith("<Figure size")), (
                "".join(c["source"])[:200]
            )
