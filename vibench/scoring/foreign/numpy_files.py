"""``.npz`` and ``.npy``, of Python objects only arrays of texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vibench.errors import UsageError
from vibench.files.npz import open_npy, pickled_objects, read_npy, read_plain_arrays
from vibench.scoring.foreign.named import Budget, Named
from vibench.scoring.foreign.object_texts import object_texts
from vibench.scoring.foreign.recipes import unpickle

MAPPED_BYTES = 1 << 30
"""An ``.npy`` larger than this stays in its file, and is read as it is evaluated."""
OBJECTS = "objects of Python, which are never unpickled"


def read_numpy_archive(path: Path) -> Named:
    """The arrays of an ``.npz``; `UsageError` as `vibench.files.npz.read_plain_arrays`."""
    arrays, objects = read_plain_arrays(path)
    found = Named()
    for name, array in arrays.items():
        found.add(name, array)
    budget = Budget(path.stat().st_size)
    for name in objects:
        texts = _texts(path, name, budget)
        if texts is None:
            found.unread[name] = OBJECTS
        else:
            found.add(name, texts)
    if found.unread and not found.arrays:
        raise UsageError(
            f"{path}: holds nothing but {OBJECTS} ({', '.join(found.unread)}). Where you trust it, convert it.",
            recipe=unpickle(
                path, f"np.load(FILE, allow_pickle=True)[{next(iter(found.unread))!r}].tolist()", "import io"
            ),
        )
    return found


def read_numpy_array(path: Path) -> Named:
    """The array of an ``.npy``, under the name ``0``; `UsageError` where it is damaged or of objects."""
    try:
        array = open_npy(path) if path.stat().st_size > MAPPED_BYTES else read_npy(path)
    except Exception as error:  # a damaged header raises almost anything
        texts = _texts(path, None, Budget(path.stat().st_size)) if "objects" in str(error) else None
        if texts is not None:
            return Named({"0": texts})
        if "objects" not in str(error):
            raise UsageError(f"{path}: is no readable .npy file ({str(error)[:200]}); write it again.") from None
        raise UsageError(
            f"{path}: is an array of {OBJECTS}. Where you trust it, convert it.",
            recipe=unpickle(path, "np.load(FILE, allow_pickle=True).tolist()", "import io"),
        ) from None
    found = Named()
    found.add("0", array)
    return found


def _texts(path: Path, name: str | None, budget: Budget) -> np.ndarray | None:
    """An array of objects that are texts; None for any other."""
    try:
        shape, pickled = pickled_objects(path, name)
        texts = object_texts(pickled)
        budget.spend(texts.nbytes)
        return texts.reshape(shape)
    except (ValueError, OSError):
        return None
