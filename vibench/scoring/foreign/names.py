"""Names of images from any machine: brought to the form that the data set's layout has, and sought beside features."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from vibench.datasets.registry import Dataset

_ENDINGS = (".txt", ".csv", ".json", ".npy")
_OWN = (".names", "_names", "-names", ".paths", "_paths", "-paths", "_img_paths", "")
_FEATURES = re.compile(r"(features?|feats?|embeddings?)$", re.IGNORECASE)


def relative_names(names: Iterable[str], dataset: Dataset) -> list[str]:
    """The names without what leads to the data set's folder; a name that is of no image stays as it is.

    ``D:\\data\\cam3\\0006\\0001.jpg`` becomes ``cam3/0006/0001.jpg``.
    """
    return [name if dataset.is_image(name) else dataset.relative_name(name) or name for name in names]


def names_beside(path: Path) -> Path | None:
    """The file of names beside a file of features that gives none: ``x.txt``, ``x_names.csv``; of ``q_feat``,
    ``q_names``; None where there is no such file, or more than one."""
    stem = path.with_suffix("").name
    stems = [stem + own for own in _OWN]
    stems += [_FEATURES.sub(word, stem) for word in ("names", "paths", "img_paths") if _FEATURES.search(stem)]
    found = [path.with_name(one + ending) for one in dict.fromkeys(stems) for ending in _ENDINGS]
    there = [file for file in found if file.is_file() and file != path]
    return there[0] if len(there) == 1 else None
