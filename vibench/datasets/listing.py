"""Folders and names -> rows of a sample index; what all layouts share.

A layout recognises an image by the parts of its relative path alone. Names in a features file must be the data set's
own, such as ``cam3/0006/0001.jpg``. On disk, and in lists, another case, another of the extensions of
`IMAGE_SUFFIX` and numbers without their zeros mean the same image (``CAM3/6/1.PNG``): the index has the data set's own
name, so that draws, features and records do not depend on the copy, and `Listing.files` says where the file lies.
Whatever else there is (hidden files, thumbnails, unknown cameras) is no image of the data set, and neither is a file
of 0 bytes, as a full disk or a broken download leaves it.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, NamedTuple

from vibench.errors import UsageError, cited
from vibench.files.reading import LARGEST_TEXT, read_bytes, read_text

if TYPE_CHECKING:
    from vibench.datasets.index import SampleIndex

IMAGE_SUFFIX = r"\.(?:jpg|jpeg|png|bmp)"
"""What the files of images end in, of any case, whatever the data set's own extension is."""
_SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")
"""Between the identities of a list."""
_DEEPEST = 6
"""Folder levels below a root that are walked; bounds loops of symbolic links."""
_DEEPEST_NAME = 5
"""Folders and file of the longest name of an image."""
_NESTED = 3
"""Folder levels below a root in which the data set is looked for."""
_MOST_FOLDERS = 50
"""Folders of one level in which it is looked for."""


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
    """Recognised images by the data set's own names, sorted by path."""
    ignored: list[str]
    """Relative paths of all other files, sorted."""
    files: dict[str, str]
    """The relative paths of images whose files are spelled otherwise, by the data set's own names."""
    doubles: dict[str, list[str]]
    """The files of images that more than one claims to be; the first of them stands in ``samples``."""
    empty: dict[str, str]
    """The relative paths of files of 0 bytes, by the names of the images that they should be, which are not there."""

    def require_unambiguous(self, root: Path) -> None:
        """Raise `UsageError` where two files are the same image: which of them is meant, nobody knows."""
        if self.doubles:
            image, files = next(iter(self.doubles.items()))
            more = f" (and {len(self.doubles) - 1} more images so)" if len(self.doubles) > 1 else ""
            raise UsageError(
                f"{root}: {' and '.join(files[:4])} are all the image {image}{more}; keep the right one of them"
                if len(files) > 2
                else f"{root}: {' and '.join(files)} are both the image {image}{more}; keep the right one of the two"
            )


def sample_index(samples: Iterable[Sample]) -> SampleIndex:
    """The samples as a frame, in the given order."""
    import pandas as pd

    from vibench.datasets.index import COLUMNS

    frame = pd.DataFrame(list(samples), columns=list(COLUMNS))
    return frame.astype({"pid": "int64", "camera": "int64"})


def require_root(root: Path, dataset: str, folders: Sequence[str]) -> None:
    """Raise `UsageError` unless ``root`` is a folder; one without any of ``folders`` when they lie nearby."""
    root = Path(root)
    if not root.is_dir():
        state = "is not a folder" if root.exists() else "does not exist"
        # Names of data sets are their titles in small letters, which the tests of the registry make sure of.
        name = dataset.lower().replace(" ", "-")
        raise UsageError(
            f"the root {root} of {dataset} {state}; pass the data set's folder as --root, "
            f"or set VIBENCH_DATA to the folder that holds {name}/"
        )
    nearby = nearby_root(root, folders)
    if nearby is not None:
        raise UsageError(f"{root} does not hold {dataset} itself, but {nearby} does; pass --root {nearby}")


def nearby_root(root: Path, folders: Sequence[str]) -> Path | None:
    """The folder above or below ``root`` that holds any of ``folders``; None where ``root`` does, or none near it."""
    if holds_any(root, folders):
        return None
    return next((one for one in (root.resolve().parent, *_below(root)) if holds_any(one, folders)), None)


def located(root: Path, relative: str) -> Path:
    """A file or folder of a data set by its relative path; in another case where it lies there only so.

    A path that does not exist is returned as it is. Raises `UsageError` where two differ in case alone.
    """
    exact = Path(root) / relative
    if exact.exists():
        return exact
    place = Path(root)
    for part in PurePosixPath(relative).parts:
        same = [entry for entry in _entries(place) if entry.name.casefold() == part.casefold()]
        if not same:
            return exact
        if len(same) > 1:
            raise UsageError(f"{place}: {same[0].name} and {same[1].name} are both {part}; keep the right one of them")
        place = place / same[0].name
    return place


def list_images(root: Path, folders: Sequence[str], read_name: Callable[[str], Sample | None]) -> Listing:
    """List the files below ``root``'s ``folders`` (absent ones are empty) and tell images from other files.

    ``read_name`` gives the sample, by the data set's own name, of a relative path as it is on disk.
    """
    root, known = Path(root), {folder.casefold() for folder in folders}
    files: dict[str, list[str]] = {}
    samples: dict[str, Sample] = {}
    ignored = []
    empty: dict[str, list[str]] = {}
    for entry in _entries(root):
        if entry.name.casefold() not in known:
            continue
        for path, file in _files_below(root / entry.name, entry.name, _DEEPEST):
            sample = read_name(path)
            size = 0 if sample is None else _size(file)
            if sample is None or size is None:
                ignored.append(path)
            elif size == 0:
                empty.setdefault(sample.path, []).append(path)
            else:
                samples[sample.path] = sample
                files.setdefault(sample.path, []).append(path)
    doubles = {image: sorted(claims) for image, claims in sorted(files.items()) if len(claims) > 1}
    renamed = {image: min(claims) for image, claims in files.items() if min(claims) != image}
    # Beside the image itself they are as good as any other stray file.
    ignored += [path for image, paths in empty.items() for path in (paths if image in samples else sorted(paths)[1:])]
    gone = {image: min(paths) for image, paths in sorted(empty.items()) if image not in samples}
    return Listing(sorted(samples.values()), sorted(ignored), renamed, doubles, gone)


def strays(root: Path, folders: Sequence[str], own: Sequence[str] = ("exp", "idx", "info", "truth")) -> list[str]:
    """Relative paths of the files outside the image folders and the ``own`` others of a data set, sorted.

    Hidden folders are left out.
    """
    root, known = Path(root), {folder.casefold() for folder in (*folders, *own)}
    found = []
    for entry in _entries(root):
        if entry.name.casefold() in known:
            continue
        if not entry.is_dir():
            found.append(entry.name)
        elif not entry.name.startswith("."):
            found += [path for path, _ in _files_below(root / entry.name, entry.name, _DEEPEST)]
    return sorted(found)


def holds_any(root: Path, folders: Sequence[str]) -> bool:
    """Whether any of ``folders`` lies in ``root``, in whatever case."""
    known = {folder.casefold() for folder in folders}
    with contextlib.suppress(UsageError):
        return any(entry.name.casefold() in known and entry.is_dir() for entry in _entries(root))
    return False


def _below(root: Path) -> Iterator[Path]:
    """The folders below ``root``, level by level; not hidden ones, nor what a Mac packs apart."""
    level = [root]
    for _ in range(_NESTED):
        found = []
        for folder in level:
            with contextlib.suppress(UsageError):  # one that may not be read does not hold the data set
                names = sorted(entry.name for entry in _entries(folder) if entry.is_dir())
                found += [folder / name for name in names if not name.startswith((".", "__"))]
        level = found[:_MOST_FOLDERS]
        yield from level


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UsageError(f"cannot list {folder}: {error.strerror}; check its permissions") from error


def _size(file: os.DirEntry[str]) -> int | None:
    """Bytes; None for a link that leads nowhere."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"cannot look at {file.path}: {error.strerror}; check its permissions") from error


def _files_below(folder: Path, relative: str, levels: int) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Relative paths of the files, and links to nothing, below a folder."""
    for entry in _entries(folder):
        path = f"{relative}/{entry.name}"
        if not entry.is_dir():
            yield path, entry
        elif levels > 1:
            yield from _files_below(folder / entry.name, path, levels - 1)


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


def own_name(name: str, read_name: Callable[[str], Sample | None]) -> str | None:
    """The data set's own name of the image that a file calls ``name``; None for what is no image's name.

    Either slash may stand in it, and before it the folders in which the file's author had the data set.
    """
    parts = [part for part in name.strip("\"'").replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts:
        return None
    for start in range(max(0, len(parts) - _DEEPEST_NAME), len(parts)):
        sample = read_name("/".join(parts[start:]))
        if sample is not None:
            return sample.path
    return None


def _cite(names: Sequence[str]) -> str:
    return cited([repr(name[:200]) for name in names], 3)


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a text file in UTF-8, or in UTF-16 that says so; `UsageError` when it is absent or no text."""
    try:
        try:
            return read_text(path, "utf-8-sig").splitlines()
        except UnicodeDecodeError:
            # Some editors and shells of Windows write it, always with its mark.
            if read_bytes(path, LARGEST_TEXT)[:2] not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                raise
            return read_text(path, "utf-16").splitlines()
    except FileNotFoundError:
        raise UsageError(f"{path} is missing: it is {what}; copy it from the data set's archive") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text file: it should be {what}; copy it again") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; it is {what}") from error


def read_id_list(path: Path) -> tuple[int, ...]:
    """The identities of an id file, e.g. ``1,2,4``, in file order; blanks and line ends separate as commas do.

    Raises `UsageError` when the file is absent, has another form or names an identity twice.
    """
    what = "a list of identities, comma-separated integers such as 1,2,4"
    text = "\n".join(read_lines(path, what)).strip()
    if not text:
        raise UsageError(f"{path} is empty; expected {what}")
    words = _SEPARATOR.split(text.removesuffix(",").rstrip())
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
