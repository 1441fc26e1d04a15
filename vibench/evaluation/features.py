"""Features files: what any code base can dump and vibench can evaluate.

A ``.npz`` with ``features`` (N, D) and either ``paths`` (N,) or all of ``pids``, ``cameras`` and ``modalities`` (N,);
further arrays with N rows are kept. ``meta`` is a JSON text that ``vibench extract`` adds. Nothing in a file is ever
unpickled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vibench.errors import UsageError, suggestion
from vibench.files.digests import canonical_json
from vibench.files.npz import read_npz
from vibench.files.reading import parse_json
from vibench.files.writing import atomic_path
from vibench.modality import MODALITIES

_ROWS_BYTES = 4 << 20
_LABELS = ("pids", "cameras", "modalities")


@dataclass(frozen=True)
class Features:
    """Embeddings of images with what names them.

    Either ``paths`` is given, or all of ``pids``, ``cameras`` and ``modalities``.
    """

    features: np.ndarray
    """(N, D) float32, finite; float64 is kept as it is."""
    paths: tuple[str, ...] | None = None
    """N names relative to the data set root, ``/``-separated."""
    pids: np.ndarray | None = None
    """(N,) int64."""
    cameras: np.ndarray | None = None
    """(N,) int64."""
    modalities: np.ndarray | None = None
    """(N,) str, ``visible`` | ``infrared``."""
    extras: dict[str, np.ndarray] = field(default_factory=dict)
    """Further named arrays with N rows (parts, shared or specific features)."""
    meta: dict[str, Any] = field(default_factory=dict)
    """JSON-able provenance that ``vibench extract`` writes: ``dataset``, ``dataset_version``, ``trial`` (the RegDB
    split), method, checkpoint."""


def read_features(path: Path) -> Features:
    """Read and check a features file.

    float16 features are widened to float32, float64 is kept. Raises `UsageError` as `vibench.files.npz.read_npz` does,
    and for everything `check_features` refuses.
    """
    return features_of_arrays(read_npz(Path(path)), str(path))


def features_of_arrays(arrays: dict[str, np.ndarray], where: str) -> Features:
    """The same from the arrays of such a file; sentences begin with ``where``."""
    arrays = dict(arrays)
    if "features" not in arrays:
        raise UsageError(f"{where} has no array 'features'; it holds {', '.join(arrays) or 'nothing'}.")
    features = arrays.pop("features")
    if features.dtype == np.float16:
        features = features.astype(np.float32)
    paths = arrays.pop("paths", None)
    labels = {name: arrays.pop(name, None) for name in _LABELS}
    found = Features(
        features=features,
        paths=None if paths is None else _texts(paths, "paths", where),
        pids=_integers(labels["pids"], "pids", where),
        cameras=_integers(labels["cameras"], "cameras", where),
        modalities=(
            None if labels["modalities"] is None else np.array(_texts(labels["modalities"], "modalities", where))
        ),
        meta=_meta(arrays.pop("meta", None), where),
        extras=arrays,
    )
    check_features(found, where)
    return found


def write_features(path: Path, features: Features) -> None:
    """Check and write a features file atomically; equal content gives equal bytes.

    Raises `UsageError` for what `check_features` refuses.
    """
    check_features(features, str(path))
    arrays: dict[str, np.ndarray] = {"features": features.features}
    if features.paths is not None:
        arrays["paths"] = np.array(features.paths, dtype=np.str_)
    for name in _LABELS:
        column = getattr(features, name)
        if column is not None:
            arrays[name] = np.asarray(column)
    arrays.update({name: features.extras[name] for name in sorted(features.extras)})
    if features.meta:
        arrays["meta"] = np.array(canonical_json(features.meta))
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as handle:
        # 'allow_pickle' would be one more array to NumPy before 2.1.
        np.savez(handle, **arrays)  # type: ignore[arg-type]


def named_feature(features: Features, name: str) -> Features:
    """The same with the array ``name`` as its features, flattened to one row per image; `UsageError` without one."""
    if name not in features.extras:
        known = tuple(features.extras)
        raise UsageError(
            f"--feature {name}: the features file has no such array{suggestion(name, known)}; it has "
            f"{', '.join(known) or 'no further arrays'}."
        )
    values = features.extras[name]
    values = values.reshape(len(values), -1)
    found = replace(features, features=values.astype(np.float32) if values.dtype == np.float16 else values, extras={})
    check_features(found, f"--feature {name}")
    return found


def check_features(features: Features, where: str) -> None:
    """Raise `UsageError`, beginning with ``where``, unless the features can be evaluated.

    Refused: features of another rank or type than (N, D) floating point, no row or column at all, NaN or infinite
    values, arrays of another length or of Python objects, repeated names, neither names nor all three labels, an
    unknown modality.
    """
    values = features.features
    if values.ndim != 2 or 0 in values.shape:
        raise UsageError(f"{where}: 'features' must be an array (images, dimensions), not of shape {values.shape}.")
    if values.dtype not in (np.float32, np.float64):
        raise UsageError(f"{where}: 'features' must be float32, not {values.dtype}; convert them with astype.")
    rows = len(values)
    columns = {name: getattr(features, name) for name in ("paths", *_LABELS)}
    lengths = {
        name: len(column) if np.ndim(column) else 0
        for name, column in (columns | features.extras).items()
        if column is not None
    }
    for name, extra in features.extras.items():
        if extra.dtype.hasobject:
            raise UsageError(f"{where}: '{name}' holds Python objects, which no features file can; give it numbers.")
    for name, length in lengths.items():
        if length != rows:
            raise UsageError(f"{where}: '{name}' has {length} entries but 'features' has {rows} rows.")
    if features.paths is None and any(columns[name] is None for name in _LABELS):
        raise UsageError(f"{where}: needs an array 'paths', or else all of 'pids', 'cameras' and 'modalities'.")
    finite = of_rows(values, np.isfinite)
    if not finite.all():
        first = int(np.argmin(finite))
        name = "" if features.paths is None else f" ({features.paths[first]})"
        raise UsageError(
            f"{where}: {rows - int(finite.sum())} of {rows} rows of 'features' hold NaN or infinite values, "
            f"the first is row {first}{name}; extract them again."
        )
    if features.paths is not None and len(set(features.paths)) < rows:
        name, count = Counter(features.paths).most_common(1)[0]
        raise UsageError(f"{where}: '{name}' occurs {count} times in 'paths'; give every image one row.")
    if features.modalities is not None:
        unknown = sorted(set(map(str, features.modalities)) - set(MODALITIES))
        if unknown:
            raise UsageError(f"{where}: 'modalities' must be {' or '.join(MODALITIES)}, not '{unknown[0]}'.")


def of_rows(values: np.ndarray, test: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(N,) bool: rows of ``values`` (N, D) all of whose entries pass the test; reads some rows at a time."""
    size = max(1, _ROWS_BYTES // max(1, values.itemsize * values.shape[1]))
    parts = [test(values[start : start + size]).all(axis=1) for start in range(0, len(values), size)]
    return np.concatenate(parts) if parts else np.empty(0, dtype=bool)


def _texts(column: np.ndarray, name: str, where: str) -> tuple[str, ...]:
    if column.ndim != 1 or column.dtype.kind not in "US":
        raise UsageError(f"{where}: '{name}' must be a one-dimensional array of texts, not {_kind(column)}.")
    if column.dtype.kind == "S":
        try:
            column = np.char.decode(column, "utf-8")
        except UnicodeDecodeError:
            raise UsageError(f"{where}: '{name}' holds bytes that are no UTF-8; save it as an array of str.") from None
    return tuple(column.tolist())


def _integers(column: np.ndarray | None, name: str, where: str) -> np.ndarray | None:
    if column is None:
        return None
    if column.ndim != 1 or column.dtype.kind not in "iu":
        raise UsageError(f"{where}: '{name}' must be a one-dimensional array of integers, not {_kind(column)}.")
    return column.astype(np.int64)


def _meta(column: np.ndarray | None, where: str) -> dict[str, Any]:
    if column is None:
        return {}
    try:
        meta = parse_json(str(column))
    except ValueError:
        meta = None
    if not isinstance(meta, dict):
        raise UsageError(f"{where}: 'meta' must be the JSON text of an object; leave it out.")
    return meta


def _kind(column: np.ndarray) -> str:
    return f"{column.dtype} of shape {column.shape}"
