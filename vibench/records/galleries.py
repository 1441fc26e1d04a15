"""Are the galleries that records were ranked in those that their protocols draw?

A fingerprint says by which rules a gallery is drawn, a record's hashes which images were drawn. Of SYSU-MM01 and of
twins every image is known by name, so that seeded galleries can be drawn anew without the data set; all others must at
least agree among the records of one fingerprint.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from vibench.datasets.registry import dataset_names, get_dataset
from vibench.errors import UsageError
from vibench.evaluation.draws import draw_trials
from vibench.evaluation.images import images_of
from vibench.files.digests import sha256_text
from vibench.protocols import Protocol, load_protocol, protocol_names
from vibench.records.schema import Record

_TWIN_VERSION = re.compile(r"(tiny|demo|small|full)-s([0-9]{1,18})-r([0-9]{1,9})(-[a-z-]+[1-3])?")


def gallery_problems(records: Mapping[Path, Record]) -> list[str]:
    """A sentence per record whose fingerprint or whose galleries are not those of its protocol."""
    problems = []
    compared: dict[str, dict[Path, Record]] = defaultdict(dict)
    for path, record in records.items():
        protocol = protocol_of(record)
        problem = "" if protocol is None else _fingerprint_problem(record, protocol)
        drawn = None if protocol is None or problem else _drawn_anew(record, protocol)
        if drawn is None:
            compared[record.fingerprint][path] = record
        elif not problem:
            problem = _gallery_problem(record, drawn)
        if problem:
            problems.append(f"{path}: {problem}; evaluate again.")
    for group in compared.values():
        problems += _disagreements(group)
    return problems


def protocol_of(record: Record) -> Protocol | None:
    """The protocol file that a record is of, with the corruption of the record; None for an unknown or an older one."""
    if record.protocol not in protocol_names():
        return None
    protocol = load_protocol(record.protocol)
    if protocol.version != record.protocol_version:
        return None
    try:
        # Most corruptions were asked for, and do not stand in the protocol's file.
        return replace(protocol, corruption=record.corruption)
    except ValueError:
        return None


def _fingerprint_problem(record: Record, protocol: Protocol) -> str:
    # That of an official draw holds the hash of a file of permutations, which may be anywhere.
    if record.draw == "official":
        return ""
    try:
        expected = protocol.fingerprint(record.dataset, record.draw, dataset_version=record.dataset_version)
    except UsageError as error:
        return str(error).rstrip(".")
    if record.fingerprint == expected:
        return ""
    return (
        f"has the fingerprint {record.fingerprint[:12]}..., but protocol {protocol.name} version {protocol.version} on "
        f"{record.dataset} has {expected[:12]}..., so it was ranked by other rules"
    )


def _drawn_anew(record: Record, protocol: Protocol) -> dict[int, tuple[int, str]] | None:
    """Size and hash of the gallery of every trial; None where the names of all images are not known."""
    if record.draw != "seeded" or record.dataset not in dataset_names():
        return None
    return _seeded_galleries(protocol, record.dataset, record.dataset_version)


@lru_cache(maxsize=32)
def _seeded_galleries(protocol: Protocol, dataset: str, version: str) -> dict[int, tuple[int, str]] | None:
    names = names_of_test_images(dataset, version)
    if names is None:
        return None
    images = images_of(get_dataset(dataset).index_from_names(names))
    trials = draw_trials(protocol, images, "seeded")
    return {
        trial.number: (len(trial.gallery), sha256_text("\n".join(images.paths[trial.gallery].tolist())))
        for trial in trials
        if images.paths is not None
    }


def names_of_test_images(dataset: str, version: str) -> list[str] | None:
    """All test images of a data set with SYSU-MM01's layout, in no order; None where they are not known."""
    if dataset == "sysu-mm01":
        from vibench.datasets.testing import sysu_test_names

        return sysu_test_names()
    match = _TWIN_VERSION.fullmatch(version)
    if dataset != "sysu-mm01-twin" or match is None:
        return None
    from vibench.datasets.twin.plan import plan_twin
    from vibench.datasets.twin.truth import RENDERER_VERSION

    if int(match[3]) != RENDERER_VERSION["sysu-mm01"]:
        return None
    return [shot.path for shot in plan_twin("sysu-mm01", match[1], int(match[2])) if shot.split == "test"]


def _gallery_problem(record: Record, drawn: Mapping[int, tuple[int, str]]) -> str:
    for trial in record.trials:
        if trial.trial not in drawn:
            return f"trial {trial.trial} is none of its protocol, which has {', '.join(map(str, drawn))}"
        images, names = drawn[trial.trial]
        if trial.gallery != images:
            return f"trial {trial.trial} has a gallery of {trial.gallery} images, but its protocol draws {images}"
        # Features without names have no hash.
        if trial.gallery_sha256 not in ("", names):
            return f"trial {trial.trial} was ranked in another gallery of {images} images than its protocol draws"
    return ""


def _disagreements(records: Mapping[Path, Record]) -> list[str]:
    """Records of one fingerprint whose galleries are not those of most others of it."""
    hashes: dict[int, Counter[str]] = defaultdict(Counter)
    for record in records.values():
        hashes_of = {trial.trial: trial.gallery_sha256 for trial in record.trials if trial.gallery_sha256}
        for number, names in hashes_of.items():
            hashes[number][names] += 1
    problems = []
    for path, record in records.items():
        odd = [
            trial.trial
            for trial in record.trials
            if trial.gallery_sha256 and hashes[trial.trial].most_common(1)[0][0] != trial.gallery_sha256
        ]
        if odd:
            problems.append(
                f"{path}: trial {odd[0]} was ranked in another gallery than other records of the same fingerprint: "
                "one of them is of other images; check the data set with 'vibench data check' and evaluate again."
            )
    return problems
