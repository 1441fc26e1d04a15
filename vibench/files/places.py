"""Where results go: tried before the work that they come from begins, and replaced where they fail at its end."""

from __future__ import annotations

import errno
import os
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeVar

from vibench.errors import UsageError, VibenchError, VibenchWarning
from vibench.files.writing import atomic_path, require_regular, scratch_folder

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENFILE, errno.EMFILE)
"""What goes wrong with a place that was well chosen."""
_EXPLAINED = 3
"""Results that a sentence says everything of, where several could not be written."""

Written = TypeVar("Written")


def require_writable(path: Path, option: str) -> None:
    """Try whether the file ``path`` can be written, its parent folders made; nothing is left of the trial.

    ``option`` is what chooses another place, such as ``--json``. Raises `UsageError` with one sentence where the file
    cannot be written, and `VibenchError` where only the room is missing.
    """
    path = Path(path)
    if _asked(path.is_dir, path, option):
        raise UsageError(f"{path}: is a folder; name the file to write with {option}.")
    _asked(lambda: require_regular(path), path, option)
    _asked(lambda: _try(path.parent, path.name), path, option)


def require_folder(path: Path, option: str) -> None:
    """As `require_writable`, of a file in the folder ``path``, which may have to be made."""
    path = Path(path)
    _asked(lambda: try_folder(path), path, option)


class Keep(Protocol):
    """What `keeping` hands out: writes one result."""

    def __call__(self, place: Path, write: Callable[[Path], Written]) -> Written | None:
        """``write(place)``, and its answer; where that raises `OSError`, the same for a place where it does not.

        None where there is no such place.
        """
        ...


@contextmanager
def keeping(beside: Path | None = None) -> Iterator[Keep]:
    """Write results so that one which cannot be written to its place is not lost.

    It is then written, under its own name, into a new folder ``vibench-kept-...`` in ``beside`` (default: the working
    folder), else in the folder for temporary files. As the block ends, `VibenchError` says what lies where, in one
    sentence. ``write`` gets the path and may return the path of what it has written, where that differs.
    """
    failures: list[tuple[str, Path | None]] = []
    folders: dict[Path | None, Path] = {}
    names: dict[Path, str] = {}

    def keep(place: Path, write: Callable[[Path], Written]) -> Written | None:
        try:
            return write(place)
        except OSError as error:
            failed = f"{place}: cannot be written ({_reason(error, place)})"
        for room in (beside or Path(), None):
            # The next room, where there is none here either, or no folder for temporary files at all.
            with suppress(OSError):
                if room not in folders:
                    folders[room] = _new_folder(room or Path(tempfile.gettempdir()))
                name = names.setdefault(place, _free(place.name or "results", names.values()))
                written = write(folders[room] / name)
                where = written if isinstance(written, Path) else folders[room] / name
                failures.append((failed, where))
                return written
        failures.append((failed, None))
        return None

    try:
        yield keep
    except BaseException:
        if failures:
            warnings.warn(_said(failures), VibenchWarning, stacklevel=3)
        raise
    finally:
        for folder in folders.values():
            # One in which nothing could be written either.
            with suppress(OSError):
                folder.rmdir()
    if failures:
        raise VibenchError(_said(failures))


def _said(failures: Sequence[tuple[str, Path | None]]) -> str:
    """One sentence about results that could not be written, each with the place where it is kept, if anywhere."""
    parts = [
        f"{failed}, nor could it be kept elsewhere: make room, then run the command again"
        if where is None
        else f"{failed}, so it is kept as {where}"
        for failed, where in failures[:_EXPLAINED]
    ]
    others = [where for _, where in failures[_EXPLAINED:]]
    if kept := [str(where) for where in others if where is not None]:
        parts.append(f"likewise kept are {', '.join(kept)}")
    if lost := others.count(None):
        parts.append(f"{lost} more could not be kept")
    return f"{'; '.join(parts)}."


def try_folder(folder: Path) -> None:
    """As `require_folder`, but raises `OSError`."""
    _try(Path(folder), "result")


def _try(folder: Path, name: str) -> None:
    """Write a file ``name`` in ``folder`` as `atomic_path` would, but leave nothing; `OSError` where that fails."""
    above = folder
    while not os.path.lexists(above):
        if above == above.parent:  # the working folder itself is gone
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(above))
        above = above.parent
    if not above.is_dir():
        dangling = above.is_symlink() and not above.exists()
        why = "It is a link to nothing" if dangling else os.strerror(errno.ENOTDIR)
        raise NotADirectoryError(errno.ENOTDIR, why, str(above))
    if above == folder:
        _write_and_remove(folder / name)
    else:
        # Missing folders are made in one of the trial's own, so that no other process sees them come and go.
        with scratch_folder(above, ".vibench-") as trial:
            _write_and_remove(trial / folder.relative_to(above) / name)


class _Tried(Exception):
    pass


def _write_and_remove(target: Path) -> None:
    with suppress(_Tried), atomic_path(target) as temporary:
        temporary.write_bytes(bytes(4096))
        raise _Tried


def _asked(what: Callable[[], Written], path: Path, option: str) -> Written:
    """``what()``; one sentence where it raises `OSError`, or where ``path`` cannot be a path at all."""
    try:
        return what()
    except ValueError:  # no file's name holds a zero byte
        raise UsageError(f"{path}: cannot be the name of a file; choose another {option}.") from None
    except OSError as error:
        if error.errno in _FULL:
            sentence = f"{path}: cannot be written ({_reason(error, path)}); make room, or choose another {option}."
            raise VibenchError(sentence) from None
        raise UsageError(f"{path}: cannot be written ({_reason(error, path)}); choose another {option}.") from None


def _reason(error: OSError, path: Path) -> str:
    """Why, and of what other file."""
    why = error.strerror or str(error)
    other = None if error.filename is None else os.fsdecode(error.filename)
    hidden = other is None or other == str(path) or ".part" in other
    return why if hidden else f"{other}: {why}"


def _new_folder(room: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="vibench-kept-", dir=room))
    # It holds results, which are as readable as any other new file.
    umask = os.umask(0)
    os.umask(umask)
    folder.chmod(0o777 & ~umask)
    return folder


def _free(name: str, taken: Collection[str]) -> str:
    """A name that no other result has been given, ``name`` if possible."""
    names = (name, *(f"{number}-{name}" for number in range(2, len(taken) + 3)))
    return next(one for one in names if one not in taken)
