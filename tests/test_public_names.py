"""What `__all__` says: the names that other rooms, several lessons and users need, and not many."""

import ast
import importlib
import json
from collections import Counter

import pytest
from test_course import MODULES, NOTEBOOKS, imported_from, room_of

MOST_PUBLIC_NAMES = 250  # one that a package hands on (`mtl_course.data.GTSRB`) counted once
DRAWINGS = "drawings of lessons"  # the comment beside an empty `__all__`
LESSON_DRAWINGS = sorted(
    name for name, path in MODULES.items() if f"__all__ = []  # {DRAWINGS}\n" in path.read_text(encoding="utf-8")
)


def lesson_code(path):
    "The code of a notebook that is not exported: what is exported is its module."
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    lines = "\n".join(source for source in sources if not source.startswith("#| export")).splitlines()
    return "\n".join("" if line.startswith(("%", "!")) else line for line in lines)


def public_names(module):
    "The `__all__` of a module of the package."
    return getattr(importlib.import_module(f"mtl_course.{module}".rstrip(".")), "__all__", ())


def unlisted(imports):
    "Imported names, without an underscore, that the `__all__` of their module lacks."
    public = [(module, name) for module, name in imports if name and name[0] != "_"]
    return {f"{module}.{name}" for module, name in public if name not in public_names(module)}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_all_has_what_another_room_imports(name):
    imports = imported_from(name, MODULES[name], ast.parse(MODULES[name].read_text(encoding="utf-8")))
    assert not unlisted((module, x) for module, x in imports if room_of(module) not in ("", room_of(name)))


def test_all_has_what_several_lessons_import():
    """What one lesson alone looks at in a module is shown there, and promised to nobody."""
    lessons = Counter()
    for path in NOTEBOOKS:
        lessons.update(set(imported_from("", path, ast.parse(lesson_code(path)))))
    several = [place for place, count in lessons.items() if count > 1]
    assert not unlisted((module, x) for module, x in several if module not in LESSON_DRAWINGS)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_drawings_of_lessons_are_for_lessons_alone(name):
    """Pictures that a notebook shows and no other room draws are nobody's interface."""
    imports = imported_from(name, MODULES[name], ast.parse(MODULES[name].read_text(encoding="utf-8")))
    assert not {x for module, x in imports if module in LESSON_DRAWINGS and room_of(name) != "plots"}


def test_the_package_has_few_public_names():
    """`__all__` names what other rooms, several lessons and users need.

    What only its own room or one lesson uses is not in it, nor the drawings of lessons.
    """
    places = {}
    for name in MODULES:
        for public in public_names(name):
            thing = getattr(importlib.import_module(f"mtl_course.{name}".rstrip(".")), public)
            places.setdefault((public, id(thing)), name)
    assert len(places) <= MOST_PUBLIC_NAMES, Counter(places.values()).most_common(20)
