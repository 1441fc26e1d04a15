"""Standard output and error through which neither a letter nor a closed pipe ends a command before its work is done.

``vibench eval ... | head`` closes the pipe while records are still to be written, and a table with ``±`` may go to a
terminal of an old encoding.
"""

from __future__ import annotations

import codecs
import errno
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

PLAIN = "vibench.plain"
"""The error handler of encodings that writes letters which an encoding lacks in plainer ones, else as escapes."""
_PLAINER = {
    "±": "+-",
    "–": "-",
    "—": "-",
    "−": "-",
    "×": "x",
    "·": "*",
    "•": "*",
    "…": "...",
    "→": "->",
    "◆": "*",
    "✓": "ok",
    "✗": "x",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "≥": ">=",
    "≤": "<=",
    "\u00a0": " ",
}


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(_PLAINER.get(letter, ascii(letter)[1:-1]) for letter in letters), error.end


codecs.register_error(PLAIN, _plainer)


def encodable(text: str, encoding: str) -> str:
    """The text in letters that the encoding has."""
    return text.encode(encoding, PLAIN).decode(encoding)


@contextmanager
def lasting_streams() -> Iterator[Callable[[], OSError | None]]:
    """Let ``sys.stdout`` and ``sys.stderr`` take whatever is printed in the block, wherever it goes.

    Yields a function that flushes both and says why not all of standard output was written; a reader who has had
    enough (``| head``) is no such reason.
    """
    before = sys.stdout, sys.stderr
    out, err = map(_lasting, before)

    def lost() -> OSError | None:
        for _, stream in (out, err):
            if stream is not None:
                stream.flush()
        raw = out[0]
        return None if raw is None or raw.failure is None or raw.failure.errno == errno.EPIPE else raw.failure

    sys.stdout, sys.stderr = out[1], err[1]
    try:
        yield lost
    finally:
        lost()
        sys.stdout, sys.stderr = before


class _Lasting(io.FileIO):
    """An open file that swallows what is written to it once that has failed."""

    failure: OSError | None = None

    def write(self, content) -> int | None:  # type: ignore[no-untyped-def, override]  # any buffer
        if self.failure is None:
            try:
                return super().write(content)
            except OSError as error:
                self.failure = error
        return memoryview(content).nbytes


def _lasting(stream: TextIO) -> tuple[_Lasting | None, TextIO]:
    """The stream in a new form, and the file below it; None and the stream where it is none of the process's own."""
    # A closed one is None; tests put others in their place.
    if type(stream) is not io.TextIOWrapper:
        return None, stream
    stream.flush()
    raw = _Lasting(stream.fileno(), "wb", closefd=False)
    # As Python itself does where nothing may be held back (PYTHONUNBUFFERED).
    buffer = raw if stream.write_through else io.BufferedWriter(raw)
    text = io.TextIOWrapper(
        buffer,  # type: ignore[arg-type]
        encoding=stream.encoding,
        errors=PLAIN,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
    return raw, text
