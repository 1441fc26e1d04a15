"""Disks that are full and folders that cannot be written, for as long as a context lasts; both need root."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_SIZE = 64 << 20
"""Of the small disk; much of it is filled at once."""


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Root may write wherever files can be written at all: so the folder becomes a read-only mount."""
    with _mounted(folder, "--bind", str(folder)):
        _mount("-o", "remount,bind,ro", str(folder))
        yield


@contextmanager
def full(folder: Path, room: int = 0) -> Iterator[None]:
    """The folder is on a small disk with ``room`` bytes left; afterwards what is on it is back on the large one."""
    aside = folder.with_name(f"{folder.name}-aside")
    shutil.copytree(folder, aside)
    with _mounted(folder, "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs"):
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        shutil.rmtree(aside)
        filler = folder / "filler.part"
        _fill(filler, room)
        yield
        filler.unlink()
        shutil.copytree(folder, aside)
    shutil.rmtree(folder)
    aside.rename(folder)


def _fill(file: Path, room: int) -> None:
    with file.open("wb", buffering=0) as handle:
        try:
            while True:
                handle.write(bytes(1 << 16))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        handle.truncate(max(0, handle.tell() - room))


@contextmanager
def _mounted(folder: Path, *options: str) -> Iterator[None]:
    _mount(*options, str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
