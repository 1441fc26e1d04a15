"""The store of evaluation records: one folder, one file per record, written by as many processes as there are.

``<leaderboards>/records/<dataset>/<protocol>/<method>[-<variant>]-<id>.json``, and beside it, with the suffix
``.npz``, the outcome of every query. The id follows from what was evaluated and how it came out, so two writers meet
in one file only with the same result; the later one then replaces the file as a whole and its timings stand.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vibench.errors import UsageError
from vibench.evaluation.result import PerQuery
from vibench.files import atomic_path, write_text
from vibench.leaderboard.record import Record, RecordError, from_json, to_json

_ARRAYS = ("ap", "inp", "first_hit", "pid", "camera")


def leaderboards_folder(option: Path | None = None) -> Path:
    """``--leaderboards``, else ``$VIBENCH_LEADERBOARDS``, else ``leaderboards`` in the working folder."""
    return option or Path(os.environ.get("VIBENCH_LEADERBOARDS") or "leaderboards")


def record_path(folder: Path, record: Record) -> Path:
    """Where a record lies in the leaderboards folder."""
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", record.label).strip(".-")[:80] or "method"
    return Path(folder) / "records" / record.dataset / record.protocol / f"{label}-{record.id}.json"


def write_record(folder: Path, record: Record, per_query: Sequence[PerQuery]) -> Path:
    """Write a record and its per-query outcome (one entry per trial) below the leaderboards folder.

    Returns the path of the JSON file. The JSON appears last, so a record on disk always has its npz.
    """
    if len(per_query) != len(record.trials):
        raise ValueError(f"{len(record.trials)} trials but {len(per_query)} per-query outcomes")
    path = record_path(folder, record)
    arrays = {
        f"trial{trial.trial}_{name}": getattr(outcome, name)
        for trial, outcome in zip(record.trials, per_query, strict=True)
        for name in _ARRAYS
    }
    with atomic_path(path.with_suffix(".npz")) as temporary, temporary.open("wb") as handle:
        # numpy dates every member 1980-01-01: the same arrays give the same bytes.
        np.savez_compressed(handle, **arrays)
    write_text(path, to_json(record))
    return path


def read_record(path: Path) -> Record:
    """Read one record file; `RecordError` where it is unreadable, damaged or was changed by hand."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
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
    records: list[Record] = []
    problems: list[str] = []
    for path in sorted((Path(folder) / "records").rglob("*")):
        # Dot-files are the temporary files of running writers.
        if path.name.startswith(".") or path.is_dir():
            continue
        if path.suffix == ".json":
            try:
                records.append(read_record(path))
            except RecordError as error:
                problems.append(str(error))
                continue
            if not path.with_suffix(".npz").is_file():
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
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return tuple(
                PerQuery(**{name: arrays[f"trial{trial.trial}_{name}"] for name in _ARRAYS}) for trial in record.trials
            )
    except KeyError as error:
        raise UsageError(f"{path}: does not belong to its record ({error.args[0]}); evaluate again.") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path}: cannot be read as per-query outcomes ({error}); evaluate again.") from None
