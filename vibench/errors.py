"""Errors that end a command with one clear sentence instead of a traceback.

A message names the file (or option), the offending value and the remedy.
"""

from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import ClassVar

_KEPT_AT_END = 500
"""Characters of the end of a message that is too long: the remedy stands there."""


class VibenchError(Exception):
    """A run failed for a reason the user can act on; the command line exits with 1.

    Its text is one printable line of bounded length, whatever the message cites from a file.
    """

    exit_code = 1
    longest: ClassVar[int] = 2000
    """Characters of the text."""

    def __init__(self, *arguments: object, recipe: Collection[str] = ()) -> None:
        super().__init__(*arguments)
        self.recipe = tuple(recipe)
        """Lines of Python that mend the input, for the command line to show below the sentence."""

    def __str__(self) -> str:
        return one_line(super().__str__(), self.longest)


class UsageError(VibenchError):
    """Wrong arguments or unusable input; the command line exits with 2."""

    exit_code = 2


class AlreadyReported(VibenchError):
    """An error that the leading process of the same job reports in the same words."""


class VibenchWarning(UserWarning):
    """Something the user should know although the run can go on."""


def one_line(text: str, longest: int = VibenchError.longest) -> str:
    """``text`` with whatever cannot be printed written as an escape, its middle left out where it is too long.

    Texts from files hold line breaks, sequences that move a terminal's cursor, letters that turn the reading direction
    and halves of letters that no encoding has.
    """
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    if len(text) <= longest:
        return text
    return f"{text[: longest - _KEPT_AT_END - 5]} ... {text[-_KEPT_AT_END:]}"


def suggestion(word: str, known: "list[str] | tuple[str, ...]") -> str:
    """`` (did you mean 'x'?)`` for the nearest of ``known``, or an empty string."""
    import difflib

    # Nothing that long is a slip of the pen, and comparing takes time.
    near = difflib.get_close_matches(word, list(known), n=1) if len(word) < 100 else []
    return f" (did you mean '{near[0]}'?)" if near else ""


def cited(items: Collection[object], most: int = 5) -> str:
    """The first of ``items`` and how many more there are: ``a, b and 7 more``."""
    first = ", ".join(map(str, islice(items, most)))
    return first if len(items) <= most else f"{first} and {len(items) - most} more"


def describe_exception(error: BaseException, folder: Path) -> str:
    """Type and text of an exception on one line, and the innermost line of code below ``folder`` that led to it."""
    import traceback

    said = " ".join(str(error).split())
    text = f"{type(error).__name__}: {said}" if said else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    return f"{text} ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else text
