"""Evaluation records: do figures follow from outcomes, are the rules those of today, is the score plausible?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vibench.datasets.registry import Dataset, dataset_names, get_dataset, is_synthetic
from vibench.doctor.diagnosis import Claims, Diagnosis, Finding, shell
from vibench.doctor.images import Draws
from vibench.doctor.performance import too_good
from vibench.errors import UsageError, cited
from vibench.evaluation.result import PerQuery
from vibench.files.digests import sha256_text
from vibench.files.json_table import read_json
from vibench.protocols import Protocol, load_protocol, protocol_names
from vibench.records.galleries import gallery_problems
from vibench.records.migrations import SCHEMA_VERSION
from vibench.records.recomputation import disagreements, recompute
from vibench.records.record_json import record_from_dict
from vibench.records.schema import LABELLED, Record
from vibench.records.store import LARGEST_RECORD, read_per_query, read_record
from vibench.runtime.progress import Progress, silent

_CITED = 3
_PAIRS = (("regdb-v2t", "regdb-t2v"), ("llcm-v2i", "llcm-i2v"), ("hitsz-v2i", "hitsz-i2v"), ("bupt-v2i", "bupt-i2v"))
_OTHER_DIRECTION = dict(_PAIRS) | {back: forth for forth, back in _PAIRS}


def diagnose_record(path: Path, claims: Claims) -> Diagnosis:
    """A record, or the list of records that ``--json`` writes; `UsageError` where it is none."""
    content = read_json(path, LARGEST_RECORD)
    if isinstance(content, list):
        records = [record_from_dict(one, f"{path}, record {number}") for number, one in enumerate(content, 1)]
        return _of_list(path, records, claims)
    record = record_from_dict(content, str(path))
    diagnosis = Diagnosis(str(path), "evaluation record")
    _show(record, diagnosis)
    if not path.stem.endswith(record.id):
        diagnosis.findings.append(
            Finding(
                "doubtful",
                "a record that was edited or renamed",
                f"its content has the id {record.id}, which its name {path.name} does not end with",
                "evaluate again; the store passes over such a record",
            )
        )
    outcomes = None
    try:
        outcomes = read_per_query(path, record)
    except UsageError as error:
        diagnosis.findings.append(
            Finding(
                "doubtful" if path.with_suffix(".npz").exists() else "note",
                "figures cannot be recomputed",
                str(error),
                "keep the .npz of the same name beside the record",
            )
        )
    if outcomes is not None:
        differing, agreeing = disagreements(record, outcomes)
        diagnosis.note("figures that follow from the outcomes", agreeing)
        if differing:
            diagnosis.findings.append(
                Finding(
                    "wrong",
                    "figures that do not follow from the outcomes",
                    cited(differing, _CITED),
                    "the record was edited, or belongs to another .npz; evaluate again",
                )
            )
    diagnosis.findings += judge(record, outcomes, claims)
    diagnosis.findings += _twins(path, record)
    diagnosis.actions += [shell("leaderboard"), shell("compare", path, "OTHER")]
    return diagnosis


def _of_list(path: Path, records: Sequence[Record], claims: Claims) -> Diagnosis:
    diagnosis = Diagnosis(str(path), f"list of {len(records)} evaluation records")
    for number, record in enumerate(records, 1):
        name = f"{number}: {record.label} under {record.protocol}"
        diagnosis.note(name, f"rank-1 {record.mean['r1']:.2%}, mAP {record.mean['map']:.2%}")
        diagnosis.findings += [
            Finding(found.severity, f"{name}: {found.what}", found.evidence, found.remedy)
            for found in [*judge(record, None, claims), *_mirrored(record, records)]
        ]
    diagnosis.actions.append(shell("leaderboard"))
    return diagnosis


def diagnose_store(path: Path, progress: Progress = silent) -> Diagnosis:
    """A leaderboards folder with its records."""
    done = recompute(path, progress)
    diagnosis = Diagnosis(str(path), "leaderboards folder")
    diagnosis.note("records", done.records)
    diagnosis.note("figures that follow from the outcomes", done.figures)
    diagnosis.findings += [
        Finding("wrong", "a problem of the store", problem, "put right what it names, or remove the record")
        for problem in done.problems
    ]
    diagnosis.actions += [
        shell("leaderboard", "--leaderboards", path),
        shell("report", "--leaderboards", path),
    ]
    return diagnosis


def _show(record: Record, diagnosis: Diagnosis) -> None:
    scores = "" if len(record.trials) == 1 else f" over {len(record.trials)} trials"
    for name, value in (
        ("id", record.id),
        ("method", record.label),
        ("source", record.source),
        ("data set", f"{record.dataset} {record.dataset_version}".strip()),
        ("protocol", f"{record.protocol}, version {record.protocol_version}"),
        ("draw", record.draw),
        ("corruption", "none" if record.corruption is None else record.corruption.label),
        ("distance", record.distance),
        ("re-ranking", record.rerank),
        ("test-time information", record.test_time_information),
        ("score", f"rank-1 {record.mean['r1']:.2%}, mAP {record.mean['map']:.2%}{scores}"),
        ("made", f"{record.created} by vibench {record.environment.vibench}".strip()),
    ):
        diagnosis.note(name, value)


def judge(record: Record, outcomes: Sequence[PerQuery] | None, claims: Claims) -> list[Finding]:
    """What looks wrong with one record."""
    rules = _protocol(record)
    return [
        *_claims(record, claims),
        *_marks(record),
        *_rules(record, rules),
        *_galleries(record, rules, claims),
        *_score(record, rules, outcomes),
    ]


def _protocol(record: Record) -> Protocol | None:
    return load_protocol(record.protocol) if record.protocol in protocol_names() else None


def _claims(record: Record, claims: Claims) -> list[Finding]:
    pairs = (
        ("data set", record.dataset, claims.dataset),
        ("protocol", record.protocol, claims.protocol),
        ("draw", record.draw, claims.draw),
    )
    odd = [f"{name} is {found}, not {said}" for name, found, said in pairs if said not in (None, found)]
    if not odd:
        return []
    return [Finding("wrong", "a record of something else than claimed", cited(odd), "name the right record")]


def _marks(record: Record) -> list[Finding]:
    """What a record says of itself, and why boards treat it apart."""
    found = []
    if record.leaking:
        notes = [note for note in record.notes if "test identities" in note]
        found.append(
            Finding(
                "wrong",
                "test identities in training",
                "; ".join(notes) or "the record is marked as leaking",
                "evaluate the model on the split that it was trained for; boards give this row no rank",
            )
        )
    if not record.complete:
        said = record.run.incomplete or next((note for note in record.notes if "missing" in note or "has" in note), "")
        twin = is_synthetic(record.dataset) and not record.run.incomplete
        found.append(
            Finding(
                "note" if twin else "doubtful",
                "not of the complete data set",
                said or "counts are not those of the complete data set",
                "a twin of another scale is so by design" if twin else "complete the copy or the features",
            )
        )
    if record.rerank != "none":
        found.append(
            Finding(
                "note",
                "scores are re-ranked",
                f"{record.rerank}: every ranking looked at all queries and the whole gallery",
                "compare it with re-ranked rows alone, as boards do",
            )
        )
    if record.test_attributes in LABELLED:
        found.append(
            Finding(
                "note",
                "labels of test images were used",
                f"attributes were given as {record.test_attributes}",
                "compare it with rows of the same information",
            )
        )
    if record.run.seed is None and record.source == "trained":
        found.append(Finding("note", "the seed is unknown", "the record names none", "train with --seed"))
    return found


def _rules(record: Record, rules: Protocol | None) -> list[Finding]:
    """Rules that are not today's."""
    if rules is None:
        return [
            Finding(
                "note",
                "a protocol that vibench does not ship",
                f"{record.protocol} is none of {', '.join(protocol_names())}",
                "its board stands for itself",
            )
        ]
    if record.protocol_version != rules.version:
        return [
            Finding(
                "doubtful",
                "an older version of the protocol",
                f"{rules.name} was version {record.protocol_version} and is {rules.version}: {rules.changelog[-1]}",
                "evaluate again; rows of two versions share no board",
            )
        ]
    found = []
    if record.schema_version != SCHEMA_VERSION:
        found.append(
            Finding(
                "note",
                "an older form of record",
                f"schema version {record.schema_version}, today {SCHEMA_VERSION}",
                "nothing need be done: it is read as it is",
            )
        )
    return found


def _galleries(record: Record, rules: Protocol | None, claims: Claims) -> list[Finding]:
    """Galleries that are not those of the draw that the record claims, and which they are."""
    problems = gallery_problems({Path("record"): record}) if rules is not None else []
    if record.dataset not in dataset_names():
        return []
    found = [
        Finding(
            "wrong",
            "another gallery draw than claimed" if "gallery" in problem else "other rules than claimed",
            problem.removeprefix("record: ") + _named(record, get_dataset(record.dataset), claims),
            "evaluate again with --draw seeded or --draw official",
        )
        for problem in problems
    ]
    if not found and record.draw == "official" and rules is not None:
        draws = Draws(get_dataset(record.dataset), claims, record.dataset_version)
        matches = _by_hash(record, draws)
        if any(drawn.draw == "seeded" for drawn in matches):
            found.append(
                Finding(
                    "wrong",
                    "another gallery draw than claimed",
                    f"the record says official, and its galleries are {matches[0]}",
                    "evaluate again with --draw official",
                )
            )
        elif draws.official and not matches:
            found.append(
                Finding(
                    "doubtful",
                    "a gallery of no known draw",
                    "its galleries equal neither the seeded nor these official draws",
                    "another file of official draws was used; find out which",
                )
            )
    return found


def _by_hash(record: Record, draws: Draws) -> list:  # type: ignore[type-arg]
    hashes = {trial.gallery_sha256 for trial in record.trials if trial.gallery_sha256}
    return [drawn for drawn in draws.all() if sha256_text("\n".join(drawn.names)) in hashes]


def _named(record: Record, dataset: Dataset, claims: Claims) -> str:
    matches = _by_hash(record, Draws(dataset, claims, record.dataset_version))
    return f"; its galleries are {cited(list(map(str, matches)), _CITED)}" if matches else ""


def _score(record: Record, rules: Protocol | None, outcomes: Sequence[PerQuery] | None) -> list[Finding]:
    if rules is None or record.leaking:
        return []
    people = len(np.unique(outcomes[0].pid)) if outcomes else record.trials[0].gallery
    return too_good(record.mean["r1"], record.mean["map"], rules, people, is_synthetic(record.dataset), "")


def _twins(path: Path, record: Record) -> list[Finding]:
    """The record of the other direction beside it in the store, where it has the very same scores."""
    direction = _OTHER_DIRECTION.get(record.protocol)
    if direction is None or path.parent.name != record.protocol:
        return []
    others = []
    for file in sorted((path.parent.parent / direction).glob(f"{record.method[:40]}*.json"))[:100]:
        try:
            others.append(read_record(file))
        except UsageError:
            continue
    return _mirrored(record, others)


def _mirrored(record: Record, others: Sequence[Record]) -> list[Finding]:
    """Two directions with the same scores to the last digit, which no two rankings have."""
    for found in others:
        if found.protocol != _OTHER_DIRECTION.get(record.protocol) or found.label != record.label:
            continue
        if record.mean == found.mean and record.mean["map"] < 1:
            return [
                Finding(
                    "wrong",
                    "both directions have the same scores",
                    f"{record.protocol} and {found.protocol} (record {found.id}) agree in all of "
                    f"{', '.join(record.mean)}",
                    "one of them was computed with queries and gallery of the other; evaluate both again",
                )
            ]
    return []
