"""The store of evaluation records: one folder, one file per record, written by as many processes as there are.

``<leaderboards>/records/<dataset>/<protocol>/<method>[-<variant>]-<id>.json``, and beside it, with the suffix
``.npz``, the outcome of every query. The id follows from what was evaluated and how it came out, so two writers meet
in one file only with the same result; the later one then replaces the file as a whole and its timings stand.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vibench.datasets.registry import dataset_names, get_dataset
from vibench.errors import UsageError
from vibench.evaluation.result import PerQuery, TrialScore
from vibench.files.lock import alone
from vibench.files.npz import read_npz
from vibench.files.places import require_folder
from vibench.files.reading import read_text
from vibench.files.writing import atomic_path, write_text
from vibench.protocols import Protocol
from vibench.records.record_json import RecordError, from_json, to_json
from vibench.records.schema import Record

LARGEST_RECORD = 16 << 20
"""Bytes. A record has some thousand; what is larger is not even opened."""

_SHAPES = {
    "ap": "Q",
    "inp": "Q",
    "first_hit": "Q",
    "pid": "Q",
    "camera": "Q",
    "gallery_camera": "K",
    "camera_ap": "QK",
    "camera_first_hit": "QK",
}
"""The arrays of a trial and their axes: queries, gallery cameras."""
_FRACTIONS = ("ap", "inp", "camera_ap")
_LATER = ("gallery_camera", "camera_ap", "camera_first_hit")
"""Absent from the files of older records."""


def leaderboards_folder(option: Path | None = None) -> Path:
    """``--leaderboards``, else ``$VIBENCH_LEADERBOARDS``, else ``leaderboards`` in the working folder."""
    return option or Path(os.environ.get("VIBENCH_LEADERBOARDS") or "leaderboards")


def record_path(folder: Path, record: Record) -> Path:
    """Where a record lies in the leaderboards folder."""
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", record.label).strip(".-")[:80] or "method"
    return Path(folder) / "records" / record.dataset / record.protocol / f"{label}-{record.id}.json"


def require_store(folder: Path, protocols: Iterable[Protocol]) -> None:
    """`vibench.files.places.require_folder` of every folder that records under ``protocols`` may go to."""
    for protocol in protocols:
        for dataset in dataset_names():
            if get_dataset(dataset).layout == protocol.layout:
                require_folder(Path(folder) / "records" / dataset / protocol.name, "--leaderboards")


def write_record(folder: Path, record: Record, per_query: Sequence[PerQuery]) -> Path:
    """Write a record and its per-query outcome (one entry per trial) below the leaderboards folder.

    Returns the path of the JSON file. The JSON appears last, so a record on disk always has its npz.
    """
    if len(per_query) != len(record.trials):
        raise ValueError(f"{len(record.trials)} trials but {len(per_query)} per-query outcomes")
    path = record_path(folder, record)
    arrays = _arrays(record, per_query)
    # Scores of one id may differ in the last digit from device to device: JSON and npz must be of one writer.
    with alone(path.parent):
        with atomic_path(path.with_suffix(".npz")) as temporary, temporary.open("wb") as handle:
            # numpy dates every member 1980-01-01: the same arrays give the same bytes.
            np.savez_compressed(handle, **arrays)  # type: ignore[arg-type]
        write_text(path, to_json(record))
    return path


def read_record(path: Path) -> Record:
    """Read one record file; `RecordError` where it is unreadable, damaged or was changed by hand."""
    path = Path(path)
    try:
        text = read_text(path, largest=LARGEST_RECORD)
    except UnicodeDecodeError:
        raise RecordError(f"{path}: is not UTF-8 text, so no evaluation record.") from None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror}).") from None
    record = from_json(text, str(path))
    if not path.stem.endswith(f"-{record.id}"):
        raise RecordError(
            f"{path}: its content has the id {record.id}, which its name does not end with: "
            "it was renamed or edited; evaluate again."
        )
    return record


def read_records(folder: Path) -> tuple[list[Record], list[str]]:
    """All sound records below the leaderboards folder, and one sentence per file that is not.

    Never fails on what it finds. A record without its per-query file is read and reported.
    """
    found, problems = find_records(folder)
    return list(found.values()), problems


def find_records(folder: Path) -> tuple[dict[Path, Record], list[str]]:
    """As `read_records`, the records by the paths of their JSON files, in order."""
    records: dict[Path, Record] = {}
    problems: list[str] = []
    first: dict[str, Path] = {}

    def unreadable(error: OSError) -> None:
        problems.append(f"{error.filename}: cannot be listed ({error.strerror}).")

    root = Path(folder) / "records"
    listed = os.walk(root, onerror=unreadable) if os.path.lexists(root) else ()
    for path in sorted(Path(parent, name) for parent, _, names in listed for name in names):
        # Dot-files are the temporary files of running writers.
        if path.name.startswith("."):
            continue
        if path.suffix == ".json":
            try:
                record = read_record(path)
            except RecordError as error:
                problems.append(str(error))
                continue
            if first.setdefault(record.id, path) != path:
                problems.append(f"{path}: is the same record as {first[record.id]}, which counts; remove one of them.")
                continue
            records[path] = record
            if not _is_file(path.with_suffix(".npz")):
                problems.append(
                    f"{path.with_suffix('.npz')}: is missing, so the record's figures cannot be recomputed."
                )
        elif path.suffix != ".npz":
            problems.append(f"{path}: is no file of the record store; move it elsewhere.")
    return records, problems


def read_per_query(path: Path, record: Record) -> tuple[PerQuery, ...]:
    """The per-query outcome of a record, one entry per trial; ``path`` is that of its JSON or npz file.

    `UsageError` where the file is absent, damaged or does not belong to the record.
    """
    path = Path(path).with_suffix(".npz")
    arrays = read_npz(path)
    outcomes = []
    for at, trial in enumerate(record.trials):
        of_trial: dict[str, np.ndarray] = {}
        for name in _SHAPES:
            together, apart = arrays.get(name), arrays.get(_array_name(trial, name))
            if together is not None and together.ndim and len(together) == len(record.trials):
                of_trial[name] = together[at]
            elif apart is not None:
                of_trial[name] = apart
        problem = _misfit(of_trial, trial)
        if problem:
            raise UsageError(f"{path}: does not belong to its record ({problem}); evaluate again.")
        outcomes.append(PerQuery(**of_trial))
    return tuple(outcomes)


def _arrays(record: Record, per_query: Sequence[PerQuery]) -> dict[str, np.ndarray]:
    """What the file holds: arrays with an axis of trials before the others, ``trialT_NAME`` where shapes differ."""
    arrays = {}
    for name in _SHAPES:
        columns = [getattr(outcome, name) for outcome in per_query]
        if len({np.shape(column) for column in columns}) == 1 and columns[0] is not None:
            arrays[name] = np.stack(columns)
        else:
            named = zip(record.trials, columns, strict=True)
            arrays |= {_array_name(trial, name): column for trial, column in named if column is not None}
    return arrays


def holds_outcomes(names: Iterable[str]) -> bool:
    """Whether an archive with arrays of these names is a per-query outcome."""
    return any(name == "first_hit" or re.fullmatch(r"trial\d+_first_hit", name) for name in names)


def _array_name(trial: TrialScore, name: str) -> str:
    return f"trial{trial.trial}_{name}"


def _misfit(arrays: dict[str, np.ndarray], trial: TrialScore) -> str:
    """Why the arrays cannot be the outcome of a trial; empty where they can."""
    absent = [name for name in _SHAPES if name not in arrays]
    if absent and (absent != list(_LATER)):
        return f"it has no array '{absent[0]}' of trial {trial.trial}"
    sizes = {"Q": trial.queries}
    if not absent:
        sizes["K"] = arrays["gallery_camera"].size
    for name, array in arrays.items():
        shape = tuple(sizes[axis] for axis in _SHAPES[name])
        kinds = "f" if name in _FRACTIONS else "iu"
        if array.shape != shape or array.dtype.kind not in kinds:
            return f"array '{name}' of trial {trial.trial} is {array.dtype} {array.shape}, not of shape {shape}"
    return ""


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # Of a folder that lists its files but does not show them.
        return False
