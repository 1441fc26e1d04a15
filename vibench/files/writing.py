"""Files written either whole or not at all: beside the target, then renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vibench.files.lock import take

_SUFFIX = ".part"
_STREAMS = ("/dev/std", "/dev/fd/", "/proc/")
"""Beginnings of the names that open streams have, which can be regular files."""


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder that becomes ``target`` when the block succeeds.

    The parent folder is made. On an exception the temporary file is removed and the old target stays; an `OSError`
    then names ``target``. What a killed writer of ``target`` has left behind is removed.
    """
    target = Path(target)
    try:
        require_regular(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = _begin_file(target)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
        _sync_folder(target.parent)
    except OSError as error:
        # A failed write() does not say of what, and the temporary name says nothing to anybody.
        if error.filename is None or _is_temporary(Path(os.fsdecode(error.filename)).name, target):
            error.filename, error.filename2 = str(target), None
        raise


def require_regular(target: Path) -> None:
    """`OSError` where ``target`` is a device, a pipe or an open stream: renaming a file to it would replace it."""
    stream = str(Path(target).absolute()).startswith(_STREAMS)
    if stream or (target.exists() and not (target.is_file() or target.is_dir())):
        raise OSError(errno.EINVAL, "It is no regular file", str(target))


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``target`` that becomes ``target`` when the block succeeds.

    ``target`` must not exist; its parent folder is made. On an exception nothing is left.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(target.parent, f".{target.name}.") as scratch:
        # A folder inside, because temporary folders are private and a new folder is as readable as any other.
        temporary = scratch / target.name
        temporary.mkdir()
        yield temporary
        temporary.rename(target)


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a new private folder in ``parent``, whose name begins with ``prefix``; it is gone when the block ends.

    So are those that killed processes have left: nobody has these locked.
    """
    while True:
        scratch = Path(tempfile.mkdtemp(prefix=prefix, suffix=_SUFFIX, dir=parent))
        # Until it is locked, another process may take it for a rest and remove it.
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(scratch, os.O_RDONLY)
            _lock(handle, wait=True)
            if scratch.exists():
                break
            os.close(handle)
    try:
        for rest in [path for path in parent.iterdir() if _begins_with(path.name, prefix) and path != scratch]:
            with contextlib.suppress(OSError):
                other = os.open(rest, os.O_RDONLY)
                if _lock(other):
                    shutil.rmtree(rest, ignore_errors=True)
                os.close(other)
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(handle)


def _begin_file(target: Path) -> tuple[int, Path]:
    """A new temporary file for ``target`` and the open handle whose lock says that its writer is alive."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=_SUFFIX, dir=target.parent)
        temporary = Path(name)
        # Until it is locked, another writer may take the file for a rest and remove it.
        _lock(handle, wait=True)
        if temporary.exists():
            break
        os.close(handle)
    # mkstemp makes files private; a leaderboard or a checkpoint is as readable as any other new file.
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)
    _remove_rests(target, temporary)
    return handle, temporary


def _remove_rests(target: Path, own: Path) -> None:
    """Remove the temporary files of ``target`` whose writers were killed: those that nobody has locked."""
    for rest in [path for path in target.parent.iterdir() if _is_temporary(path.name, target) and path != own]:
        # Somebody else may be removing it, or own it.
        with contextlib.suppress(OSError), rest.open("r+b") as handle:
            if _lock(handle.fileno()):
                rest.unlink()


def _is_temporary(name: str, target: Path) -> bool:
    """Whether a file is called as `atomic_path` calls its temporary files for ``target``."""
    return _begins_with(name, f".{target.name}.")


def _begins_with(name: str, prefix: str) -> bool:
    """Whether a temporary file or folder was made with this prefix."""
    # What is put between holds no dot: a file "x" must not take the rests of a file "x.json" for its own.
    return name.startswith(prefix) and name.endswith(_SUFFIX) and "." not in name[len(prefix) : -len(_SUFFIX)]


def _lock(handle: int, wait: bool = False) -> bool:
    """Whether the file is now locked by this handle; False where another has it and on a file system without locks."""
    try:
        return take(handle, wait)
    except OSError:
        return False


def _sync_folder(folder: Path) -> None:
    """See to it that a power failure cannot undo a rename; not every file system knows how."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_text(target: Path, text: str) -> None:
    """Write ``text`` (UTF-8, ``\\n`` line ends) to ``target`` atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def update_text(target: Path, text: str) -> None:
    """`write_text`, unless ``target`` holds just that: then it keeps its date, and nothing is written."""
    try:
        known = Path(target).read_bytes()
    except OSError:
        known = None
    if known != text.encode("utf-8"):
        write_text(target, text)


def write_json(target: Path, value: Any) -> None:
    """Write ``value`` as indented JSON to ``target`` atomically; NaN is refused."""
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
