"""How long the lessons take to read: words at 150 a minute, lines of code at ten a minute.

python benchmarks/reading_times.py
"""

import json
from pathlib import Path

WORDS_PER_MINUTE = 150
LINES_PER_MINUTE = 10
NOTEBOOKS = Path(__file__).parents[1] / "nbs"


def read_cells(path: Path, kind: str) -> list[str]:
    "The texts of a notebook's cells of one kind, up to its exercises."
    texts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if text.startswith("## Exercises"):
            break
        if cell["cell_type"] == kind:
            texts.append(text)
    return texts


def minutes(path: Path) -> float:
    "Minutes of reading, exercises left out."
    words = sum(len(text.split()) for text in read_cells(path, "markdown"))
    code = "\n".join(read_cells(path, "code"))
    lines = len([line for line in code.splitlines() if line.strip()])
    return words / WORDS_PER_MINUTE + lines / LINES_PER_MINUTE


def folder_minutes() -> dict[str, float]:
    "Folder -> minutes of reading of all its notebooks."
    times = {}
    for path in sorted(NOTEBOOKS.rglob("[0-9]*.ipynb")):
        times[path.parent.name] = times.get(path.parent.name, 0) + minutes(path)
    return times


if __name__ == "__main__":
    for path in sorted(NOTEBOOKS.rglob("[0-9]*.ipynb")):
        print(f"{minutes(path):5.0f} min  {path.relative_to(NOTEBOOKS)}")
    for folder, time in folder_minutes().items():
        print(f"{time:5.0f} min  {folder}")
