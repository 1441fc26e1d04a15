"""A reader of files from outside, and what it may do with any of them: accept, or refuse in one sentence."""

from __future__ import annotations

import resource
import shutil
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vibench.errors import VibenchError, VibenchWarning

LONGEST_MESSAGE = 2000
"""Characters of a refusal, with whatever it cites."""
LONGEST_SECONDS = 10.0
"""Of processor time; a case that takes longer hangs, whatever else the machine does."""
MEMORY = 256 << 20
"""Bytes that the process may grow by in one case; the largest valid file of a reader here has a few thousand."""

Verdict = Literal["accepted", "refused"]


@dataclass(frozen=True)
class Reader:
    """One way in for files. To add one, append it to `tests.fuzz.readers.READERS`."""

    name: str
    form: str
    """Format of the file, a key of `tests.fuzz.forms.FORMS`: how it is mutated, and which nasties there are."""
    file: str
    """Relative path of the file that is mutated."""
    make: Callable[[Path], object]
    """Fills an empty folder with a valid file and whatever else the reader looks at."""
    read: Callable[[Path], object]
    """Reads the file, by the path of its folder, as the command line does, and uses what it has read."""
    writes: bool = False
    """Whether reading changes the folder, so that every case needs a fresh one."""
    names_file: bool = True
    """Whether a refusal names the file."""


class Fault(AssertionError):
    """A reader did what none may do."""


class Place:
    """Folders with a reader's valid files, made once."""

    def __init__(self, folder: Path, reader: Reader) -> None:
        self.reader = reader
        self._pristine = folder / "pristine"
        self._used = folder / "used"
        self._pristine.mkdir(parents=True)
        reader.make(self._pristine)
        self.valid = (self._pristine / reader.file).read_bytes()
        shutil.copytree(self._pristine, self._used, symlinks=True)

    def with_content(self, content: bytes) -> Path:
        """The folder with ``content`` in the place of the reader's file."""
        if self.reader.writes:
            shutil.rmtree(self._used)
            shutil.copytree(self._pristine, self._used, symlinks=True)
        target = self._used / self.reader.file
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        elif target.is_symlink() or target.exists():
            target.unlink()
        target.write_bytes(content)
        return self._used


def judge(reader: Reader, folder: Path) -> Verdict:
    """What the reader does with the file in ``folder``; `Fault` for anything but acceptance or a sound refusal."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    verdict: Verdict = "accepted"
    try:
        with warnings.catch_warnings():
            # A warning of a library is as helpful to a user as its traceback.
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", VibenchWarning)
            reader.read(folder)
    except VibenchError as error:
        verdict = "refused"
        _check_refusal(reader, error)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = str(error)[:200]
        raise Fault(f"{type(error).__name__}: {said} ({Path(last.filename).name}, line {last.lineno})") from error
    seconds = time.process_time() - start
    if seconds > LONGEST_SECONDS:
        raise Fault(f"took {seconds:.1f} s")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if grown > MEMORY:
        raise Fault(f"grew by {grown >> 20} MiB")
    return verdict


def _check_refusal(reader: Reader, error: VibenchError) -> None:
    text = str(error)
    if not text.strip() or not text.isprintable():
        raise Fault(f"its refusal is no printable line: {text[:200]!r}") from error
    if len(text) > LONGEST_MESSAGE:
        raise Fault(f"its refusal has {len(text)} characters: {text[:200]!r}") from error
    if reader.names_file and Path(reader.file).name not in text:
        raise Fault(f"its refusal does not name {reader.file}: {text[:300]!r}") from error
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            raise Fault(f"asked for more memory than there is: {text[:200]!r}") from error
        cause = cause.__context__
