"""Files: read within bounds, and written either whole or not at all, beside the target and then renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SUFFIX = ".part"
LARGEST_TEXT = 64 << 20
"""Bytes of a text file: lists, tables, recipes and descriptions are far smaller."""
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_bytes(path: Path, largest: int) -> bytes:
    """The bytes of a regular file of at most ``largest`` bytes.

    Raises `OSError`, its ``strerror`` saying why, for every other: a pipe would be waited for, a device never ends.
    """
    try:
        status = Path(path).stat()
    except ValueError:  # no file's name holds a zero byte
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "It is no regular file", str(path))
    if status.st_size > largest:
        raise OSError(errno.EFBIG, f"It has {status.st_size} bytes, more than the {largest} allowed", str(path))
    with Path(path).open("rb") as handle:
        return handle.read(largest)


def read_text(path: Path, encoding: str = "utf-8", largest: int = LARGEST_TEXT) -> str:
    """The text of a regular file of at most ``largest`` bytes, every line ending in ``\\n``.

    Raises `OSError` as `read_bytes` does and `UnicodeDecodeError`.
    """
    return io.StringIO(read_bytes(path, largest).decode(encoding), newline=None).read()


def parse_json(text: str) -> Any:
    """The value of a JSON text; `ValueError` for whatever is none, for nesting too deep and for half letters."""
    try:
        value = json.loads(text)
        # Escaped lone surrogates are legal JSON but no text that could be written anywhere.
        if _ESCAPED_SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder that becomes ``target`` when the block succeeds.

    The parent folder is made. On an exception the temporary file is removed and the old target stays; an `OSError`
    then names ``target``. What a killed writer of ``target`` has left behind is removed.
    """
    target = Path(target)
    try:
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


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``target`` that becomes ``target`` when the block succeeds.

    ``target`` must not exist; its parent folder is made. On an exception nothing is left.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", suffix=_SUFFIX, dir=target.parent) as name:
        # A folder inside, because temporary folders are private and a new folder is as readable as any other.
        temporary = Path(name) / target.name
        temporary.mkdir()
        yield temporary
        temporary.rename(target)


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
    prefix = f".{target.name}."
    # What mkstemp puts between holds no dot: a file "x" must not take the rests of a file "x.json" for its own.
    return name.startswith(prefix) and name.endswith(_SUFFIX) and "." not in name[len(prefix) : -len(_SUFFIX)]


def _lock(handle: int, wait: bool = False) -> bool:
    """Whether the file is now locked by this handle; False where another has it and on a system without locks."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


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


def write_json(target: Path, value: Any) -> None:
    """Write ``value`` as indented JSON to ``target`` atomically; NaN is refused."""
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no white space, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def sha256_text(text: str) -> str:
    """Hexadecimal SHA-256 of a text's UTF-8 bytes."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as handle:
        digest = hashlib.sha256()
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
