"""What a file or folder is, told by its first bytes and by what it holds; its name alone decides nothing."""

from __future__ import annotations

import json
import re
import stat
import zipfile
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from vibench.datasets.permutations import VARIABLE, read_permutations
from vibench.doctor.checkpoint import diagnose_checkpoint, diagnose_weights
from vibench.doctor.data_folder import dataset_in, diagnose_data
from vibench.doctor.diagnosis import Claims, Diagnosis, shell
from vibench.doctor.features import diagnose_features
from vibench.doctor.record import diagnose_record, diagnose_store
from vibench.doctor.run import diagnose_run, diagnose_runs, runs_below
from vibench.doctor.scores import are_scores, diagnose_scores
from vibench.doctor.training_log import diagnose_log, diagnose_text
from vibench.errors import UsageError, cited, one_line
from vibench.files.kinds import HEAD_BYTES, file_kind
from vibench.files.reading import is_utf16, parse_json, read_text
from vibench.files.safetensors import is_safetensors
from vibench.files.torch_file import TorchFileError
from vibench.files.unreadable import unreadable_kind
from vibench.files.weights import find_weights, read_content
from vibench.records.store import LARGEST_RECORD, holds_outcomes
from vibench.runtime.progress import Progress, silent
from vibench.scoring.foreign.containers import read_container
from vibench.scoring.foreign.keys import known_key
from vibench.scoring.foreign.sysu_features import camera_files
from vibench.training.checkpoint import is_checkpoint

KNOWN = "features, scores, a checkpoint, a run, a data set's folder, a record or a log of a training"
_OLD_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_NETWORK = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked", "alpha", "gamma", "beta")
"""Last parts of the names of a network's tensors."""
_MOST_ENTRIES = 2000
_CITED = 5
_OF_RUN = ("run.json", "timing.json")


def diagnose(path: Path, claims: Claims, progress: Progress = silent) -> Diagnosis:
    """What ``path`` is and what looks wrong with it.

    `UsageError` where there is nothing, where it cannot be read, or where it is none of `KNOWN`: it then says what it
    is instead.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise UsageError(f"{path}: there is no such file or folder.") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from None
    try:
        if stat.S_ISDIR(status.st_mode):
            return _folder(path, claims, progress)
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{path}: is no regular file; name {KNOWN}.")
        return _file(path, claims, progress)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error}).") from None


def _folder(path: Path, claims: Claims, progress: Progress) -> Diagnosis:
    if (path / "run.json").is_file() or any(path.glob("trial-*/run.json")):
        return diagnose_run(path, claims)
    if path.name == "checkpoints" and (path.parent / "run.json").is_file():
        return diagnose_run(path.parent, claims)
    if (path / "records").is_dir() and any(path.glob("records/*/*/*.json")):
        return diagnose_store(path, progress)
    if path.name == "records" and any(path.glob("*/*/*.json")):
        return diagnose_store(path.parent, progress)
    if any(path.glob("*_cam1.mat")) or any(path.glob("*cam3.mat")):
        return diagnose_features(path, claims, progress)
    found = dataset_in(path, claims)
    if found is not None:
        return diagnose_data(path, *found)
    runs = runs_below(path)
    if runs:
        return diagnose_runs(path, runs)
    entries = sorted(entry.name for entry in islice(path.iterdir(), _MOST_ENTRIES))
    held = f"holds {cited(entries, _CITED)}" if entries else "is empty"
    raise UsageError(f"{path}: is a folder that is nothing known here; it {held}. Name {KNOWN}.")


def _file(path: Path, claims: Claims, progress: Progress) -> Diagnosis:
    with path.open("rb") as handle:
        head = handle.read(HEAD_BYTES)
    if head.startswith(b"PK\x03\x04"):
        return _archive(path, claims, progress)
    if head.startswith(_OLD_TORCH):
        return _torch(path, claims, progress)
    if is_safetensors(path):
        return diagnose_weights(path, claims)
    if head.startswith((b"\x93NUMPY", b"\x89HDF\r\n\x1a\n", b"MATLAB 5.0 ", b"MATLAB 7.3 ", b"PAR1")):
        if head.startswith(b"MATLAB 5.0 ") and _is_draws(path):
            return _draws(path)
        return _arrays(path, claims, progress)
    if head[512:].startswith(b"\x89HDF\r\n\x1a\n") or head[126:128] in (b"IM", b"MI") or camera_files(path):
        return diagnose_features(path, claims, progress)
    if head.lstrip()[:1] in (b"{", b"["):
        return _json(path, claims)
    kind = file_kind(head)
    if kind is not None and not kind.name.startswith("a text"):
        raise UsageError(f"{path}: is {kind.name}; {kind.remedy}.")
    if kind is not None:
        return _text(path, head, claims, progress)
    if is_utf16(head) and path.suffix.lower() in (".csv", ".tsv", ".txt", ".dat"):
        return diagnose_features(path, claims, progress)
    if head.startswith(b"\x80") and path.suffix.lower() in (".npz", ".npy", ".pkl", ".pickle"):
        # A pickle: the reader of features has the lines that convert it.
        return diagnose_features(path, claims, progress)
    other = unreadable_kind(path)
    raise UsageError(f"{path}: is {other.name}; {other.remedy}.")


def _archive(path: Path, claims: Claims, progress: Progress) -> Diagnosis:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[: 10 * _MOST_ENTRIES]
    except Exception:  # zipfile raises almost anything on damaged bytes
        kind = unreadable_kind(path)
        raise UsageError(f"{path}: is {kind.name}; {kind.remedy}.") from None
    arrays = [name.removesuffix(".npy") for name in names if name.endswith(".npy")]
    if arrays and len(arrays) == len(names):
        if are_scores(arrays):
            return diagnose_scores(path, claims)
        if holds_outcomes(arrays):
            return _outcomes(path, claims)
        return diagnose_features(path, claims, progress)
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return _torch(path, claims, progress)
    kind = unreadable_kind(path)
    raise UsageError(f"{path}: is {kind.name}; {kind.remedy}.")


def _outcomes(path: Path, claims: Claims) -> Diagnosis:
    record = path.with_suffix(".json")
    if not record.is_file():
        raise UsageError(f"{path}: holds the outcomes of a record, and {record.name} beside it is missing.")
    return diagnose_record(record, claims)


def _torch(path: Path, claims: Claims, progress: Progress) -> Diagnosis:
    """A file of PyTorch's: a checkpoint, weights, or features."""
    try:
        content = read_content(path)
    except TorchFileError as error:
        if "numpy" in error.code:
            # Features may hold arrays that no checkpoint does.
            return diagnose_features(path, claims, progress)
        raise UsageError(f"{path}: {error}.") from None
    if is_checkpoint(content):
        return diagnose_checkpoint(path, claims)
    if _is_network(content):
        return diagnose_weights(path, claims)
    return _arrays(path, claims, progress)


def _arrays(path: Path, claims: Claims, progress: Progress) -> Diagnosis:
    """Features or scores in a container of arrays by name."""
    if not camera_files(path) and are_scores(read_container(path, "features or scores").arrays):
        return diagnose_scores(path, claims)
    return diagnose_features(path, claims, progress)


def _is_network(content: Any) -> bool:
    """Whether most tensors have names of a network's, wherever its state dict lies."""
    if not isinstance(content, Mapping):
        return False
    try:
        names = list(find_weights(content).state)
    except TorchFileError as error:
        # Several networks are for the reader of weights to tell apart.
        return error.what.startswith("holds several")
    return sum(name.rpartition(".")[2] in _NETWORK or name.endswith(_NETWORK) for name in names) > len(names) / 2


def _is_draws(path: Path) -> bool:
    try:
        return bool(read_permutations(path))
    except UsageError:
        return False


def _draws(path: Path) -> Diagnosis:
    draws = read_permutations(path)
    diagnosis = Diagnosis(str(path), "official gallery draws of SYSU-MM01")
    diagnosis.note("variable", VARIABLE)
    diagnosis.note("folders", len(draws))
    diagnosis.note("identities", len({pid for _, pid in draws}))
    diagnosis.note("sha256", draws.sha256)
    protocol = ("--protocol", "sysu-all", "--draw", "official", "--perm", path)
    diagnosis.actions.append(shell("eval", "--features", "features.npz", *protocol))
    return diagnosis


def _json(path: Path, claims: Claims) -> Diagnosis:
    if path.name in _OF_RUN and (path.parent / "run.json").is_file():
        return diagnose_run(path.parent, claims)
    try:
        content = parse_json(read_text(path, largest=LARGEST_RECORD))
    except (ValueError, RecursionError) as error:
        if found := _log_or_none(path, claims):
            return found
        raise UsageError(
            f"{path}: begins as JSON does and is none ({one_line(str(error), 200)}); copy it again."
        ) from None
    first = content[0] if isinstance(content, list) and content else content
    if isinstance(first, dict) and "schema_version" in first and "protocol" in first:
        return diagnose_record(path, claims)
    keys = cited([json.dumps(key)[:40] for key in first], _CITED) if isinstance(first, dict) else "no object"
    raise UsageError(f"{path}: is a JSON file that is nothing known here (it holds {keys}); name {KNOWN}.")


def _log_or_none(path: Path, claims: Claims) -> Diagnosis | None:
    try:
        return diagnose_text(path, claims)
    except (OSError, ValueError):
        return None


def _is_table(line: str) -> bool:
    """Whether a line is one of a table of features: numbers alone, behind a path, or below a known name."""
    cells = re.split(r"[,;\s]+", line.strip())
    first, *rest = cells
    numbers = all(re.fullmatch(r"[-+]?[\d.]+([eE][-+]?\d+)?", cell) for cell in rest)
    return len(rest) > 1 and (known_key(first) is not None or (numbers and ("/" in first or first[-1:].isdigit())))


def _text(path: Path, head: bytes, claims: Claims, progress: Progress) -> Diagnosis:
    first = head.decode("utf-8", "replace").partition("\n")[0]
    columns = {word.strip().strip('"') for word in first.split(",")}
    if {"epoch", "total"} <= columns:
        return diagnose_log(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        return diagnose_features(path, claims, progress)
    if path.name == "recipe.toml" and (path.parent / "run.json").is_file():
        return diagnose_run(path.parent, claims)
    found = _log_or_none(path, claims)
    if found is not None:
        return found
    if path.suffix.lower() in (".txt", ".dat") and _is_table(first):
        return diagnose_features(path, claims, progress)
    kind = file_kind(head)
    assert kind is not None
    raise UsageError(f"{path}: is {kind.name}, which is nothing known here; name {KNOWN}.")
