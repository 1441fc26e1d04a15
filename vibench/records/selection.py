"""From what a user types to evaluation records: files, ids or their beginnings, and labels of methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vibench.corruption import Corruption, parse_corruptions
from vibench.errors import UsageError, cited, suggestion
from vibench.protocols import load_protocol, require_clean
from vibench.records.schema import Record
from vibench.records.store import read_record

_MOST_NAMED = 8
"""Records that a message lists."""

_SETTING: dict[str, Callable[[Record], object]] = {
    "--dataset": lambda record: record.dataset,
    "--protocol": lambda record: record.protocol,
    "--draw": lambda record: record.draw,
    "dataset version": lambda record: record.dataset_version,
    "fingerprint": lambda record: record.fingerprint[:12],
    "trials": lambda record: tuple(trial.trial for trial in record.trials),
    "query mode": lambda record: record.query_mode,
    "re-ranking": lambda record: record.rerank,
    "distance": lambda record: record.distance,
    "attributes": lambda record: record.test_attributes or "none",
    "source": lambda record: record.source,
    "recipe": lambda record: record.run.recipe_sha256[:12],
    "training data": lambda record: record.run.trained_on or record.dataset,
    "epochs": lambda record: record.run.epochs,
    "pretraining": lambda record: record.run.pretrained,
    "leaking": lambda record: record.leaking,
}
"""What all runs of one label must share; the first three can be chosen by an option."""


@dataclass(frozen=True)
class Wanted:
    """Which records a label may mean; None or an empty text where any will do."""

    dataset: str = ""
    protocol: str = ""
    draw: str = ""
    query_mode: str = "all"
    rerank: str = "none"
    corruption: Corruption | None = None
    """None: of clean images."""

    def matches(self, record: Record) -> bool:
        """Whether a label may mean this record."""
        rules = (record.query_mode, record.rerank, record.corruption)
        return rules == (self.query_mode, self.rerank, self.corruption) and all(
            not wanted or wanted == found
            for wanted, found in (
                (self.dataset, record.dataset),
                (self.protocol, record.protocol),
                (self.draw, record.draw),
            )
        )


def wanted_corruption(protocol: str, request: str | None, modality: str | None) -> Corruption | None:
    """The one corruption that a request means, else that of the protocol's own rules; both may be empty.

    Raises `UsageError` for an unknown protocol, and for a request that means several or does not fit the protocol.
    """
    found = parse_corruptions(request, modality)
    if not found:
        return load_protocol(protocol).corruption if protocol else None
    if protocol:
        require_clean(load_protocol(protocol), str(request))
    if len(found) > 1:
        raise UsageError(f"--corrupt {request}: means {len(found)} boards; name one, such as {found[0].request}.")
    return found[0]


@dataclass(frozen=True)
class Runs:
    """What one argument names: one record, or the records of several training runs."""

    name: str
    records: Mapping[Path, Record]
    """By the path of their JSON files."""


def select(name: str, stored: Mapping[Path, Record], wanted: Wanted) -> Runs:
    """The records that ``name`` means.

    ``name`` is the path of a record file; the id of a record in ``stored`` or a beginning of it that no other has;
    the label of a method, ``METHOD`` or ``METHOD:VARIANT`` or as boards write it; or several of these joined by
    commas, whose records count as runs of one method. Raises `UsageError` for a name that means nothing, and for a
    label whose records differ in more than the seed.
    """
    parts = name.split(",")
    if len(parts) == 1:
        return Runs(*_select_one(name, stored, wanted))
    records: dict[Path, Record] = {}
    for part in parts:
        for path, record in _select_one(part, stored, wanted)[1].items():
            if record.id in {other.id for other in records.values()}:
                raise UsageError(f"{name}: names record {record.id} twice; name each run once.")
            records[path] = record
    labels = {record.label for record in records.values()}
    return Runs(next(iter(labels)) if len(labels) == 1 else name, records)


def _select_one(name: str, stored: Mapping[Path, Record], wanted: Wanted) -> tuple[str, dict[Path, Record]]:
    if name.endswith(".json"):
        record = read_record(Path(name))
        return record.label, {Path(name): record}
    labelled = _of_label(name, stored)
    if labelled:
        return next(iter(labelled.values())).label, _one_setting(name, labelled, wanted)
    by_id = {path: record for path, record in stored.items() if name and record.id.startswith(name.lower())}
    if len(by_id) > 1:
        raise UsageError(f"{name}: {len(by_id)} records have ids that begin so: {_listed(by_id)}; type more of one.")
    if by_id:
        return next(iter(by_id.values())).label, by_id
    known = sorted({_label(record) for record in stored.values()})
    raise UsageError(
        f"{name}: is no record file (.json), no record id and no method with records{suggestion(name, known)}; "
        f"there are records of {', '.join(known) or 'no method'}."
    )


def _label(record: Record) -> str:
    """As it is typed: ``METHOD``, ``METHOD:VARIANT``, or with a named feature as boards write it."""
    if record.feature:
        return record.label
    return ":".join(part for part in (record.method, record.variant) if part)


def _of_label(name: str, stored: Mapping[Path, Record]) -> dict[Path, Record]:
    exact = {path: record for path, record in stored.items() if name in (_label(record), record.label)}
    if exact:
        return exact
    # A method whose records all are of one variant, such as its default, needs no more than its name.
    of_method = {path: record for path, record in stored.items() if record.method == name and not record.feature}
    variants = sorted({_label(record) for record in of_method.values()})
    if len(variants) > 1:
        raise UsageError(f"{name}: has records of several variants; name one of {', '.join(variants)}.")
    return of_method


def _one_setting(name: str, labelled: Mapping[Path, Record], wanted: Wanted) -> dict[Path, Record]:
    chosen = {path: record for path, record in labelled.items() if wanted.matches(record)}
    if not chosen:
        raise UsageError(f"{name}: none of its {len(labelled)} records is {_described(wanted)}: {_listed(labelled)}.")
    for what, value in _SETTING.items():
        values = sorted({str(value(record)) for record in chosen.values()})
        if len(values) > 1:
            remedy = f"choose with {what}" if what.startswith("--") else "name records by id, runs joined by commas"
            raise UsageError(
                f"{name}: means {len(chosen)} records that differ in {what.lstrip('-')} ({', '.join(values)}); "
                f"{remedy}: {_listed(chosen)}."
            )
    seeds: dict[int, Record] = {}
    for record in chosen.values():
        if record.run.seed is None:
            continue
        other = seeds.setdefault(record.run.seed, record)
        if other is not record:
            raise UsageError(
                f"{name}: has two records of seed {record.run.seed}, {other.id} and {record.id}; name records by id, "
                "runs joined by commas."
            )
    return chosen


def _described(wanted: Wanted) -> str:
    parts = (wanted.dataset, wanted.protocol, f"of the {wanted.draw} draw" if wanted.draw else "")
    modes = f"of query mode {wanted.query_mode} and re-ranking {wanted.rerank}"
    modes += ", of clean images" if wanted.corruption is None else f", corrupted by {wanted.corruption.label}"
    return ", ".join([part for part in parts if part] + [modes])


def _listed(records: Mapping[Path, Record]) -> str:
    named = [
        f"{record.id} ({record.dataset} {record.protocol}"
        + ("" if record.run.seed is None else f", seed {record.run.seed}")
        + ")"
        for record in records.values()
    ]
    return cited(named, _MOST_NAMED)
