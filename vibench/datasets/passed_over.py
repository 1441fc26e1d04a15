"""The files in a copy of a data set that are none of its images, and why not."""

from __future__ import annotations

import re
from pathlib import Path

from vibench.datasets.listing import Listing, strays
from vibench.datasets.registry import Dataset
from vibench.errors import cited

_IMAGE = re.compile(r".*\.(?:jpe?g|jpe|jfif|png|bmp|dib|gif|tiff?|webp|jp2|heic|avif)", re.IGNORECASE)
_READ = re.compile(r".*\.(?:jpe?g|png|bmp)", re.IGNORECASE)
_CITED = 2
_EMPTY = "files of 0 bytes, which are to be copied again"


def passed_over(dataset: Dataset, root: Path, listing: Listing) -> list[tuple[str, str]]:
    """(relative path, reason) of the files in the image folders, and of the images elsewhere, that are not used.

    Apart from those of `Listing.empty`, whose images are missing.
    """
    outside = [path for path in strays(root, dataset.image_folders) if _IMAGE.fullmatch(path)]
    return [(path, _reason(dataset, root, path, outside=False)) for path in listing.ignored] + [
        (path, _reason(dataset, root, path, outside=True)) for path in outside
    ]


def passed_over_note(dataset: Dataset, root: Path, listing: Listing) -> str:
    """One sentence that counts and names the images of a copy that are not used; empty where all are."""
    images: dict[str, list[str]] = {_EMPTY: list(listing.empty.values())} if listing.empty else {}
    for path, reason in passed_over(dataset, root, listing):
        if _IMAGE.fullmatch(path):
            images.setdefault(reason, []).append(path)
    if not images:
        return ""
    kinds = []
    for reason, paths in images.items():
        named = ", ".join(paths[:_CITED]) + (", ..." if len(paths) > _CITED else "")
        kinds.append(f"{len(paths)} ({named}): {reason}")
    total = sum(map(len, images.values()))
    return f"{root}: {total} image files are not used, {'; '.join(kinds)}"


def empty_note(listing: Listing) -> str:
    """Counts and names the image files of 0 bytes, as half a sentence; empty where there are none."""
    files = list(listing.empty.values())
    if not files:
        return ""
    return f"{len(files)} of its image files {'has' if len(files) == 1 else 'have'} 0 bytes ({cited(files, _CITED)})"


def _reason(dataset: Dataset, root: Path, path: str, outside: bool) -> str:
    name = path.rpartition("/")[2]
    if name.startswith("."):
        return "hidden files are no images of the data set"
    if (root / path).is_symlink() and not (root / path).exists():
        return "the link leads to no file"
    if (root / path).is_file() and (root / path).stat().st_size == 0 and dataset.own_name(path) is not None:
        return _EMPTY
    if outside:
        return f"outside the folders of images, {', '.join(dataset.image_folders)}"
    if _IMAGE.fullmatch(name) and not _READ.fullmatch(name):
        return "images are read from jpg, png and bmp files"
    if not _IMAGE.fullmatch(name):
        return "it is no image file"
    return f"its name is not that of an image of this data set, such as {dataset.name_form}"
