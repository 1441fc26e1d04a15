"""Records of every earlier shape are read, with the ids they were given; those of a newer version are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vibench.records.migrations import SCHEMA_VERSION, STEPS, from_version_1, migrate
from vibench.records.record_json import RecordError, from_json, record_dict, to_json
from vibench.records.store import find_records, read_per_query

OLD = Path(__file__).parent / "old_records"
FILES = sorted(OLD.rglob("*.json"))


def test_every_shape_is_kept() -> None:
    assert {path.relative_to(OLD).parts[0] for path in FILES} >= {"landing", "feature", "test-attributes", "version-1"}
    entries = {path.relative_to(OLD).parts[0]: set(json.loads(path.read_text())) for path in FILES}
    later = {"feature", "test_attributes"}
    assert {name: entries[name] & later for name in ("landing", "feature", "test-attributes", "version-1")} == {
        "landing": set(),
        "feature": {"feature"},
        "test-attributes": {"test_attributes"},
        "version-1": later,
    }
    versions = {json.loads(path.read_text())["schema_version"] for path in FILES}
    assert versions == set(range(1, SCHEMA_VERSION + 1)), "keep a record of every schema version in old_records/"


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join((path.relative_to(OLD).parts[0], path.stem)))
def test_old_record_is_read_with_its_id_and_outcomes(path: Path) -> None:
    record = from_json(path.read_text(), str(path))
    # The id in the file's name is what the writing version gave it.
    assert path.stem.endswith(f"-{record.id}")
    assert record.schema_version == SCHEMA_VERSION
    content = json.loads(path.read_text())
    today = record_dict(record)
    # Of what the run and the environment say, later versions say more.
    tables = ("run", "environment")
    today |= {table: {key: today[table][key] for key in content[table]} for table in tables}
    assert {key: today[key] for key in content if key != "schema_version"} == {
        key: value for key, value in content.items() if key != "schema_version"
    }
    outcomes = read_per_query(path, record)
    assert [len(outcome.ap) for outcome in outcomes] == [trial.queries for trial in record.trials]
    # Written again in today's form, it is still the same record.
    assert from_json(to_json(record)).id == record.id


@pytest.mark.parametrize("folder", sorted({path.relative_to(OLD).parts[0] for path in FILES}))
def test_an_old_store_is_sound(folder: str) -> None:
    records, problems = find_records(OLD / folder)
    assert records and not problems


def test_steps_are_pure_and_keep_what_is_said() -> None:
    content = {"schema_version": 1, "feature": "pooled", "further": [1]}
    before = json.dumps(content)
    assert from_version_1(content) == {**content, "test_attributes": ""}
    assert migrate(content, 1) == {**content, "test_attributes": "", "schema_version": 2}
    assert migrate({"schema_version": SCHEMA_VERSION, "any": 1}, SCHEMA_VERSION) == {
        "schema_version": SCHEMA_VERSION,
        "any": 1,
    }
    assert json.dumps(content) == before
    assert len(STEPS) == SCHEMA_VERSION - 1


def test_a_newer_record_is_refused_and_older_ones_beside_it_are_read(tmp_path: Path) -> None:
    record = from_json(FILES[0].read_text())
    folder = tmp_path / "records" / record.dataset / record.protocol
    folder.mkdir(parents=True)
    for suffix in (".json", ".npz"):
        old = FILES[0].with_suffix(suffix)
        (folder / old.name).write_bytes(old.read_bytes())
    newer = {**record_dict(record), "schema_version": SCHEMA_VERSION + 1}
    (folder / "newer-0123456789ab.json").write_text(json.dumps(newer))
    records, problems = find_records(tmp_path)
    assert list(records.values()) == [record]
    assert len(problems) == 1
    assert f"schema version {SCHEMA_VERSION + 1}" in problems[0] and "upgrade vibench" in problems[0]
    with pytest.raises(RecordError, match="upgrade vibench"):
        from_json(json.dumps(newer))
