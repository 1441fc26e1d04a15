"""Galleries of records against those that their protocols draw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vibench.datasets.twin.plan import plan_twin
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features
from vibench.protocols import load_protocol
from vibench.records.galleries import gallery_problems
from vibench.records.schema import Record, record_from_evaluation
from vibench.runtime.environment import Environment

HERE = Path("record.json")


@pytest.fixture(scope="module")
def record() -> Record:
    """Of random features of the tiny twin's test images."""
    names = tuple(shot.path for shot in plan_twin("sysu-mm01", "tiny", 0) if shot.split == "test")
    values = np.random.default_rng(0).standard_normal((len(names), 4)).astype(np.float32)
    meta = {"dataset": "sysu-mm01-twin", "dataset_version": "tiny-s0-r1"}
    (found,) = evaluate_features(Features(values, names, meta=meta), [load_protocol("sysu-all")])
    return record_from_evaluation(
        found, method="noise", source="features", environment=Environment(), dataset_version="tiny-s0-r1"
    )


def altered(record: Record, **changes: object) -> Record:
    """With another third trial."""
    trials = list(record.trials)
    trials[2] = replace(trials[2], **changes)  # type: ignore[arg-type]
    return replace(record, trials=tuple(trials))


def test_a_true_record_stands_in_the_galleries_of_its_protocol(record: Record) -> None:
    assert gallery_problems({HERE: record}) == []


def test_another_gallery_is_noticed(record: Record) -> None:
    (said,) = gallery_problems({HERE: altered(record, gallery_sha256="ab" * 32)})
    assert said.startswith("record.json: trial 2 was ranked in another gallery of") and "evaluate again" in said
    (said,) = gallery_problems({HERE: altered(record, gallery=7)})
    assert "trial 2 has a gallery of 7 images, but its protocol draws" in said
    (said,) = gallery_problems({HERE: altered(record, trial=42)})
    assert "trial 42 is none of its protocol" in said


def test_another_fingerprint_is_noticed(record: Record) -> None:
    (said,) = gallery_problems({HERE: replace(record, fingerprint="ab" * 32)})
    assert "has the fingerprint abababababab..., but protocol sysu-all version 1" in said
    (said,) = gallery_problems({HERE: replace(record, draw="none")})
    assert "fingerprint" in said or "draw" in said


def test_records_that_cannot_be_drawn_anew_must_agree(record: Record) -> None:
    """Official draws need a file; features without names have no hash."""
    official = replace(record, draw="official")
    odd, nameless = altered(official, gallery_sha256="ab" * 32), altered(official, gallery_sha256="")
    records = {Path("a.json"): official, Path("b.json"): official, Path("c.json"): odd, Path("d.json"): nameless}
    (said,) = gallery_problems(records)
    assert said.startswith("c.json: trial 2 was ranked in another gallery than other records of the same fingerprint")
