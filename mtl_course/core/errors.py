"""The one kind of error that speaks to the user."""

import errno
import re

__all__ = ["UserError", "is_disk_full", "shorten"]

_LONGEST_WORD = 400  # characters: longer than any path or list of names that is told
_LONGEST_SENTENCE = 4000


class UserError(Exception):
    """A mistake in the input that the user can mend: one sentence naming what, what was expected,
    and what to do. A value of many thousand characters in it is shortened.
    """

    def __str__(self):
        return shorten(super().__str__())


def is_disk_full(error: BaseException) -> bool:
    "Whether the disk, a quota or the largest size of a file has set an end."
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def shorten(text: str) -> str:
    """A sentence with the middle of overlong words, and of an overlong whole, left out."""
    text = re.sub(rf"\S{{{_LONGEST_WORD + 1},}}", lambda word: _cut(word[0], 60), text)
    return text if len(text) <= _LONGEST_SENTENCE else _cut(text, _LONGEST_SENTENCE // 3)


def _cut(text: str, ends: int) -> str:  # ends: characters that stay at each end
    return f"{text[:ends]} … ({len(text):,} characters) … {text[-ends:]}"
