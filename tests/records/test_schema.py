"""The evaluation record: an id that follows from its content, and what is derived from an evaluation."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.records.made import make_evaluation, make_record
from vibench.records.record_json import from_json, record_dict, to_json
from vibench.records.schema import Cost, RunInfo, effective_information, record_from_evaluation
from vibench.runtime.environment import Environment


def test_id_ignores_what_a_repetition_changes() -> None:
    record = make_record(run=RunInfo(seed=1, train_seconds=10.0))
    repeated = replace(
        record,
        created="2026-02-01T00:00:00Z",
        environment=Environment(gpu="another"),
        profile=Cost(device="another"),
        run=replace(record.run, train_seconds=11.0),
        trials=tuple(replace(trial, map=trial.map + 1e-13) for trial in record.trials),
    )
    assert repeated.id == record.id


@pytest.mark.parametrize(
    "change",
    [
        {"method": "other"},
        {"variant": "other"},
        {"dataset_version": "small-s0-r1"},
        {"fingerprint": "00" * 32},
        {"rerank": "k-reciprocal"},
        {"run": RunInfo(seed=2)},
        {"run": RunInfo(features_sha256="ff" * 32)},
        {"leaking": True},
        {"feature": "pooled"},
        {"test_attributes": "pred"},
    ],
)
def test_id_tells_evaluations_apart(change: dict[str, Any]) -> None:
    record = make_record()
    assert replace(record, **change).id != record.id


def test_a_record_from_before_test_attributes_keeps_its_id() -> None:
    record = make_record(protocol_version=1)
    content = record_dict(record) | {"schema_version": 1}
    assert content.pop("test_attributes") == ""
    old = from_json(json.dumps(content))
    assert old == record and old.id == record.id
    # What vibench gave it before the entry existed.
    assert old.id == "5b1858543fc3"


@pytest.mark.parametrize(
    ("own", "source", "expected"),
    [
        ("none", "pred", "none"),
        ("none", "const", "none"),
        ("none", "gt", "attributes"),
        ("none", "shuffle", "attributes"),
    ],
)
def test_labels_at_test_time_are_information(own: str, source: str, expected: str) -> None:
    evaluation = make_evaluation(0.5, 0.4)
    about = {"method": "m", "source": "trained", "environment": Environment(), "dataset_version": "tiny-s0-r1"}
    record = record_from_evaluation(evaluation, test_time_information=own, test_attributes=source, **about)
    assert (record.test_time_information, record.test_attributes) == (expected, source)


def test_id_covers_scores() -> None:
    assert make_record(r1=0.5).id != make_record(r1=0.5 + 1e-6).id


@pytest.mark.parametrize(
    ("own", "query_mode", "rerank", "expected"),
    [
        ("none", "all", "none", "none"),
        ("none", "all", "k-reciprocal", "gallery+queries"),
        ("gallery+queries", "all", "none", "gallery+queries"),
        ("gallery+queries", "single", "none", "gallery"),
        ("queries", "single", "none", "none"),
        ("attributes", "all", "k-reciprocal", "gallery+queries+attributes"),
    ],
)
def test_effective_information(own: str, query_mode: str, rerank: str, expected: str) -> None:
    assert effective_information(own, query_mode, rerank) == expected


def test_queries_that_float64_settled_are_recorded_and_older_records_keep_their_text() -> None:
    record = make_record(repaired=3)
    assert record.profile.repaired_queries == 3 and record_dict(record)["profile"]["repaired_queries"] == 3
    silent = replace(record, profile=replace(record.profile, repaired_queries=None))
    assert "repaired_queries" not in to_json(silent) and from_json(to_json(silent)) == silent
    assert silent.id == record.id


def test_evaluation_fills_matching_time_and_information() -> None:
    record = make_record(rerank="k-reciprocal", matching_seconds=0.8, trial_count=2)
    assert record.profile.matching_ms_per_query == pytest.approx(100.0)  # 0.8 s over 2 trials of 4 queries
    assert record.test_time_information == "gallery+queries"
