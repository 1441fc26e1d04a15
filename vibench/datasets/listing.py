"""Folders and names -> rows of a sample index; what all layouts share.

A layout recognises an image by the parts of its relative path alone. The same function therefore reads names in a
features file and files on disk, and whatever it does not recognise (hidden files, thumbnails, other extensions)
is no image of the data set.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, NamedTuple

from vibench.errors import UsageError, cited
from vibench.files.reading import read_text

if TYPE_CHECKING:
    from vibench.datasets.index import SampleIndex

_DEEPEST = 6
"""Folder levels below a root that are walked; bounds loops of symbolic links."""


class Sample(NamedTuple):
    """One image: a row of the sample index."""

    path: str
    pid: int
    camera: int
    modality: str
    split: str


class Listing(NamedTuple):
    """What lies in the image folders of a root."""

    samples: list[Sample]
    """Recognised images, sorted by path."""
    ignored: list[str]
    """Relative paths of all other files, sorted."""


def sample_index(samples: Iterable[Sample]) -> SampleIndex:
    """The samples as a frame, in the given order."""
    import pandas as pd

    from vibench.datasets.index import COLUMNS

    frame = pd.DataFrame(list(samples), columns=list(COLUMNS))
    return frame.astype({"pid": "int64", "camera": "int64"})


def require_root(root: Path, dataset: str) -> None:
    """Raise `UsageError` unless ``root`` is a folder."""
    if not Path(root).is_dir():
        state = "is not a folder" if Path(root).exists() else "does not exist"
        raise UsageError(
            f"the root {root} of {dataset} {state}; pass the data set's folder as --root, "
            f"or set VIBENCH_DATA to the folder that holds {dataset}/"
        )


def list_images(root: Path, folders: Sequence[str], parse: Callable[[str], Sample | None]) -> Listing:
    """List the files below ``root``'s ``folders`` (absent ones are empty) and tell images from other files."""
    listing = Listing([], [])
    for folder in folders:
        for path in _files_below(Path(root) / folder, folder, _DEEPEST):
            sample = parse(path)
            if sample is None:
                listing.ignored.append(path)
            else:
                listing.samples.append(sample)
    listing.samples.sort()
    listing.ignored.sort()
    return listing


def _files_below(folder: Path, relative: str, levels: int) -> Iterator[str]:
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UsageError(f"cannot list {folder}: {error.strerror}; check its permissions") from error
    for entry in entries:
        path = f"{relative}/{entry.name}"
        if entry.is_dir():
            if levels > 1:
                yield from _files_below(folder / entry.name, path, levels - 1)
        else:
            yield path


def parse_names(names: Iterable[str], parse: Callable[[str], Sample | None], dataset: str, form: str) -> list[Sample]:
    """Parse image names in the given order.

    Raises `UsageError` when names do not fit (counting them and citing the first three) or occur twice.
    """
    texts = [str(name) for name in names]
    parsed = [parse(text) for text in texts]
    misfits = [text for text, sample in zip(texts, parsed, strict=True) if sample is None]
    if misfits:
        remedy = "; write / instead of \\" if any("\\" in text for text in misfits) else ""
        raise UsageError(
            f"{len(misfits)} of {len(texts)} names are no {dataset} test images ({_cite(misfits)}); expected paths "
            f"relative to the data set's root such as {form}{remedy}"
        )
    repeated = [text for text, count in Counter(texts).items() if count > 1]
    if repeated:
        raise UsageError(f"{len(repeated)} names occur more than once ({_cite(repeated)}); give every image one row")
    return [sample for sample in parsed if sample is not None]


def leads_out(name: str) -> bool:
    """Whether a path from a file could mean a place outside the folder that it is relative to, on any system."""
    windows = PureWindowsPath(name)
    absolute = PurePosixPath(name).is_absolute() or bool(windows.drive or windows.root)
    return absolute or "\\" in name or "\0" in name or ".." in PurePosixPath(name).parts


def _cite(names: Sequence[str]) -> str:
    return cited([repr(name[:200]) for name in names], 3)


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a UTF-8 text file without line ends; `UsageError` when it is absent or no text."""
    try:
        return read_text(path, "utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UsageError(f"{path} is missing: it is {what}; copy it from the data set's archive") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text file: it should be {what}; copy it again") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; it is {what}") from error


def read_id_list(path: Path) -> tuple[int, ...]:
    """The identities of an id file: one line of comma-separated integers, e.g. ``1,2,4``, in file order.

    Raises `UsageError` when the file is absent, has another form or names an identity twice.
    """
    what = "a list of identities, one line of comma-separated integers such as 1,2,4"
    lines = [line for line in read_lines(path, what) if line.strip()]
    if len(lines) != 1:
        raise UsageError(f"{path} has {len(lines)} lines of text; expected {what}")
    words = [word.strip() for word in lines[0].strip().rstrip(",").split(",")]
    wrong = [word for word in words if not is_number(word)]
    if wrong:
        raise UsageError(f"{path} contains {wrong[0][:200]!r}; expected {what}")
    return unique_ids((int(word) for word in words), path)


def is_number(word: str) -> bool:
    """Whether ``word`` is a whole number from 0 on of at most nine digits, as identities, cameras and labels are."""
    return word.isascii() and word.isdigit() and len(word) < 10


def unique_ids(ids: Iterable[int], path: Path) -> tuple[int, ...]:
    """``ids`` as a tuple; `UsageError` naming ``path`` when one occurs twice."""
    listed = tuple(ids)
    repeated = [pid for pid, count in Counter(listed).items() if count > 1]
    if repeated:
        raise UsageError(
            f"{path} names identity {repeated[0]} more than once; copy it again from the data set's archive"
        )
    return listed
