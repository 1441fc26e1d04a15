"""Records in JSON: faithful on writing, strict on reading."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.records.made import make_record
from vibench.records.migrations import SCHEMA_VERSION
from vibench.records.record_json import RecordError, from_json, record_dict, to_json
from vibench.records.schema import Cost, RunInfo
from vibench.runtime.environment import Environment
from vibench.runtime.memory import PeakMemory

TEXT = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=20)
SIZE = st.none() | st.integers(0, 2**50)
SECONDS = st.none() | st.just(0.0) | st.floats(1e-30, 1e30)


@given(
    method=TEXT,
    variant=st.just("") | TEXT,
    r1=st.floats(0, 0.9),
    trials=st.integers(1, 10),
    seed=st.none() | st.integers(0, 2**63),
    train_seconds=SECONDS,
    memory=SIZE,
    gpu=st.just("") | TEXT,
)
def test_json_round_trip_is_exact(
    method: str,
    variant: str,
    r1: float,
    trials: int,
    seed: int | None,
    train_seconds: float | None,
    memory: int | None,
    gpu: str,
) -> None:
    record = make_record(
        method,
        r1,
        trial_count=trials,
        variant=variant,
        run=RunInfo(id="run", seed=seed, train_seconds=train_seconds),
        cost=Cost(training_memory=PeakMemory(resident=memory)),
    )
    record = replace(record, environment=Environment(gpu=gpu))
    again = from_json(to_json(record))
    assert again == record
    assert to_json(again) == to_json(record)
    assert again.id == record.id


def _broken(path: str, value: Any) -> str:
    content = record_dict(make_record())
    *parents, last = path.split(".")
    inner: Any = content
    for key in parents:
        inner = inner[int(key) if key.isdigit() else key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("method", ..., "'method'"),
        ("method", "", "'method'"),
        ("method", "two\nlines", "'method'"),
        ("method", 3, "'method'"),
        ("dataset", "../up", "'dataset'"),
        ("dataset", "published", "'dataset'"),
        ("protocol", "a/b", "'protocol'"),
        ("dataset_version", "x" * 200, "'dataset_version'"),
        ("colour", "red", "colour"),
        ("source", "guessed", "guessed"),
        ("draw", "any", "any"),
        ("fingerprint", "abc", "'fingerprint'"),
        ("complete", 1, "'complete'"),
        ("trials", [], "'trials'"),
        ("trials", {}, "'trials'"),
        ("trials.0", None, "trials"),
        ("trials.0.trial", 1, "twice"),
        ("trials.0.r1", 1.2, "'r1'"),
        ("trials.0.queries", -1, "counts"),
        ("trials.0.valid_queries", 99, "counts"),
        ("mean.r1", 0.9, "mean of 'r1'"),
        ("mean.map", ..., "'mean'"),
        ("mean", {}, "not nothing"),
        ("std.map", "0", "'map'"),
        ("cmc", [0.1, 3], "'cmc'"),
        ("cmc", [0.1, 1.5], "'cmc'"),
        ("run.seed", 1.5, "'seed'"),
        ("run.train_seconds", -1.0, "'train_seconds'"),
        ("run.train_seconds", 10**400, "range"),
        ("run.train_seconds", 1.7e308, "'train_seconds' must be 0 or a number from 1e-30 to 1e30"),
        ("profile.extraction_images_per_second", 5e-324, "must be 0 or a number from 1e-30 to 1e30"),
        ("profile.training_memory.resident", -5, "resident"),
        ("profile.colour", 1, "colour"),
        ("environment", "linux", "'environment'"),
        ("created", "yesterday", "'created'"),
        ("notes", "text", "'notes'"),
        ("feature", ..., "'feature'"),
        ("dataset", "index.MD", "'dataset'"),
        ("dataset", "Records", "'dataset'"),
        ("run.seed", 2**64 + 1, "'seed'"),
        ("profile.parameters_test", 10**400, "'parameters_test'"),
        ("variant", [[["deep"]]] * 1000, "..."),
        ("schema_version", "1", "schema_version"),
        ("schema_version", True, "schema_version"),
        ("schema_version", 0, "schema_version"),
        ("schema_version", ..., "schema_version"),
    ],
)
def test_damaged_record_is_refused_in_one_sentence(path: str, value: Any, words: str) -> None:
    if path == "trials.0":
        content = record_dict(make_record())
        content["trials"][0] = value
        text = json.dumps(content)
    else:
        text = _broken(path, value) if not path.startswith("trials.0.") else _broken_trial(path, value)
    with pytest.raises(RecordError) as caught:
        from_json(text, "folder/x.json")
    message = str(caught.value)
    assert message.startswith("folder/x.json: ")
    assert words in message
    assert "\n" not in message


def _broken_trial(path: str, value: Any) -> str:
    content = record_dict(make_record())
    content["trials"][0][path.rpartition(".")[2]] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        '"text"',
        "[" * 100_000,
        '{"schema_version": NaN}',
        '{"schema_version": 1, "method": ' + '{"a": ' * 600 + "1" + "}" * 601,
        '{"schema_version": 1, "cmc": ' + "[" * 900 + "]" * 900 + "}",
        '{"schema_version": 1, "method": "\\ud800"}',
        '{"schema_version": ' + "9" * 5000 + "}",
        to_json(make_record())[:-40],
    ],
)
def test_foreign_text_is_refused(text: str) -> None:
    with pytest.raises(RecordError, match=r"^x\.json: "):
        from_json(text, "x.json")


def test_infinite_number_is_refused() -> None:
    text = to_json(make_record(run=RunInfo(train_seconds=1.5))).replace(
        '"train_seconds": 1.5', '"train_seconds": 1e999'
    )
    with pytest.raises(RecordError, match="train_seconds"):
        from_json(text)


def test_newer_schema_is_refused_clearly_whatever_else_it_holds() -> None:
    text = json.dumps({"schema_version": SCHEMA_VERSION + 1, "entirely": "different"})
    with pytest.raises(
        RecordError, match=rf"schema version {SCHEMA_VERSION + 1}.*reads up to {SCHEMA_VERSION}.*upgrade"
    ):
        from_json(text, "x.json")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_refused_without_another_exception(value: Any) -> None:
    with pytest.raises(RecordError):
        from_json(json.dumps(value))
