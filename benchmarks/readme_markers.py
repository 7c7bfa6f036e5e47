"""Where programs write into the README: between two comments that the page does not show."""

from pathlib import Path
from mtl_course.core.errors import UserError
from mtl_course.core.files import atomic_write


def between_markers(
    text: str,  # a page
    start: str,
    end: str,
    content: str,  # what shall stand between the two markers
    inline: bool = False,  # inside a line, a table's cell for example: no empty lines around it
) -> str:
    """The same text with `content` between its two markers.

    Raises `UserError` when one is missing, comes twice or stands on the wrong side.
    """
    for marker in (start, end):
        if text.count(marker) != 1:
            raise UserError(
                f"the README has the line {marker} {text.count(marker)} times: expected once, "
                f"with {start} before and {end} behind the place for the table"
            )
    if text.index(end) < text.index(start):
        raise UserError(f"the README has the line {end} before {start}: expected them the other way round")
    before, after = text[: text.index(start)], text[text.index(end) + len(end) :]
    gap = "" if inline else "\n\n"
    return f"{before}{start}{gap}{content}{gap}{end}{after}"


def write_between(readme: Path, start: str, end: str, content: str, inline: bool = False):
    """Puts `content` between the two markers of a file.

    Ends the program with one sentence when they are not there.
    """
    try:
        text = between_markers(readme.read_text(encoding="utf-8"), start, end, content, inline)
    except UserError as e:
        raise SystemExit(str(e)) from None
    with atomic_write(readme) as t:
        t.write_text(text, encoding="utf-8")
