"""Sign predictions in the format of GTSRB: a csv with an image and its class on each line."""

from pathlib import Path

from ..core.errors import UserError
from ..core.files import replaced_folder
from ..core.inputs import refuse_special_file
from .scores import classification_scores, confusion_matrix

__all__ = ["read_gtsrb", "write_gtsrb"]

_CLASSES = 43
_HEADER = "Filename;ClassId"


def write_gtsrb(
    folder: str | Path,  # becomes folder/pred.csv and folder/truth.csv
    names: list,  # of the images, such as 00000.ppm or 00014/00003_00027.ppm
    predictions: list,  # (N,) classes 0…42
    targets: list,  # (N,) classes 0…42
):
    "Writes a GTSRB submission and its targets."
    with replaced_folder(folder) as new:
        for file, classes in (("pred.csv", predictions), ("truth.csv", targets)):
            lines = [f"{name};{int(number)}\n" for name, number in zip(names, classes, strict=True)]
            (new / file).write_text(f"{_HEADER}\n" + "".join(lines), encoding="utf-8")


def read_gtsrb(path: str | Path) -> dict:  # name -> class
    """Reads a csv with the columns Filename and ClassId.

    Raises `UserError` naming the line that is wrong.
    """
    path = Path(path)
    try:
        refuse_special_file(path)
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        reason = getattr(e, "strerror", None) or e
        raise UserError(f"{path}: cannot be read ({reason}), expected lines {_HEADER}") from None
    if not lines or lines[0] != _HEADER:
        raise UserError(f"{path}, line 1: expected the header {_HEADER}: add it")
    classes = {}
    for n, line in enumerate(lines[1:], 2):
        name, _, number = line.partition(";")
        if not (name and number.isdecimal() and int(number) < _CLASSES):
            raise UserError(
                f"{path}, line {n}: {line[:60]!r}, "
                "expected an image's name and a class 0-42 separated by ';': mend the line"
            )
        if name in classes:
            raise UserError(f"{path}, line {n}: {name} was named before: remove one of the lines")
        classes[name] = int(number)
    return classes


def score_gtsrb(folder: str | Path) -> dict:  # metric -> value in 0..1
    """Accuracy and macro scores from files.

    Raises `UserError` when an image has no prediction, or a prediction no image.
    """
    targets = read_gtsrb(Path(folder) / "truth.csv")
    predictions = read_gtsrb(Path(folder) / "pred.csv")
    unpaired = sorted(targets.keys() ^ predictions.keys())
    if unpaired:
        raise UserError(
            f"{folder}: {unpaired[0]} is in only one of truth.csv and pred.csv "
            f"({len(unpaired)} such images): each image needs one prediction"
        )
    ordered = [predictions[name] for name in targets]
    return classification_scores(confusion_matrix(list(targets.values()), ordered, _CLASSES))
