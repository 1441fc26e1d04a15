"""Installed in a child before its command runs: counts its steps on files, and kills it at one of them.

A step is whatever changes files: opening one to write, a write, a rename, a removal, a new folder, an fsync. Between
two steps the files do not change, so that killing before every step means killing at every moment that matters.
"""

from __future__ import annotations

import builtins
import functools
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.kills.volatile import stable_digest

_CHANGING = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "os.link", "os.symlink"}
_OPEN = open


class Faults:
    """The steps of one child. Its diary, a text file, gets the lines ``version PATH DIGEST`` for every file that is
    about to get its last name, ``did WORK`` for every unit of work and, at the end, ``steps N``."""

    def __init__(self, folder: Path, diary: Path, kill_at: int | None) -> None:
        self._folder = f"{folder}{os.sep}"
        self._diary = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._kill_at = kill_at
        self._steps = 0
        self._busy = False

    def install(self) -> None:
        sys.addaudithook(self._audit)
        os.fsync = self._counted(os.fsync)
        builtins.open = io.open = self._open

    def finish(self) -> None:
        self.note(f"steps {self._steps}")

    def note(self, line: str) -> None:
        os.write(self._diary, f"{line}\n".encode())

    def does(self, owner: Any, name: str, work: str) -> None:
        """Note a unit of ``work`` after each call of a function."""
        function = getattr(owner, name)

        @functools.wraps(function)
        def noted(*arguments: Any, **options: Any) -> Any:
            result = function(*arguments, **options)
            self.note(f"did {work}")
            return result

        setattr(owner, name, noted)

    def _step(self) -> None:
        if self._steps == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._steps += 1

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._busy or not (event == "open" or event in _CHANGING):
            return
        path = arguments[0]
        if not isinstance(path, (str, bytes, os.PathLike)) or not self._inside(path):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        if event == "os.rename":
            self._busy = True
            self._note_version(Path(os.fsdecode(path)), Path(os.fsdecode(arguments[1])))
            self._busy = False
        self._step()

    def _inside(self, path: Any) -> bool:
        return os.path.join(os.getcwd(), os.fsdecode(path)).startswith(self._folder)  # noqa: PTH109, PTH118

    def _note_version(self, source: Path, target: Path) -> None:
        if source.is_file():
            name = os.path.relpath(target, self._folder)
            self.note(f"version {name} {stable_digest(name, source.read_bytes())}")

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self._step()
            return function(*arguments)

        return counted

    def _open(self, file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        """As the built-in function; what is written to files of the folder counts, write by write."""
        if not set(mode) & set("wax+") or isinstance(file, int) or not self._inside(file):
            return _OPEN(file, mode, *arguments, **options)
        step = self._step

        class Counted(io.BufferedRandom if "+" in mode else io.BufferedWriter):  # type: ignore[misc]
            def write(self, content: Any) -> int:
                step()
                return int(super().write(content))

        handle = Counted(io.FileIO(file, mode.replace("b", "").replace("t", "")))
        if "b" in mode:
            return handle
        names = ("buffering", "encoding", "errors", "newline")
        text = {**dict(zip(names, arguments, strict=False)), **options}
        text.pop("buffering", None)
        return io.TextIOWrapper(handle, **text)
