"""The store: atomic, deterministic, safe for concurrent writers, and never startled by what it finds."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest

from tests.leaderboard.records import make_per_query, make_record
from vibench.errors import UsageError
from vibench.leaderboard.record import RunInfo, record_dict
from vibench.leaderboard.store import (
    leaderboards_folder,
    read_per_query,
    read_records,
    record_path,
    write_record,
)

OUTCOMES = (make_per_query(0), make_per_query(1))


def test_written_record_and_outcomes_are_read_back(tmp_path: Path) -> None:
    record = make_record("agw", variant="no-nl")
    path = write_record(tmp_path, record, OUTCOMES)
    assert path == tmp_path / "records" / "sysu-mm01-twin" / "sysu-all" / f"agw-no-nl-{record.id}.json"
    assert read_records(tmp_path) == ([record], [])
    for found, written in zip(read_per_query(path, record), OUTCOMES, strict=True):
        for name in ("ap", "inp", "first_hit", "pid", "camera"):
            np.testing.assert_array_equal(getattr(found, name), getattr(written, name))
            assert getattr(found, name).dtype == getattr(written, name).dtype


def test_bytes_do_not_depend_on_the_time_of_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = make_record()
    first = write_record(tmp_path / "a", record, OUTCOMES)
    moment = time.localtime(1_900_000_000)
    monkeypatch.setattr(time, "localtime", lambda *_: moment)
    monkeypatch.setattr(time, "time", lambda: 1_900_000_000.0)
    second = write_record(tmp_path / "b", record, OUTCOMES)
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".npz").read_bytes() == second.with_suffix(".npz").read_bytes()


def test_label_becomes_a_safe_file_name(tmp_path: Path) -> None:
    record = make_record("../../My Net v2/é")
    path = record_path(tmp_path, record)
    assert path.parent == tmp_path / "records" / "sysu-mm01-twin" / "sysu-all"
    write_record(tmp_path, record, OUTCOMES)
    assert read_records(tmp_path) == ([record], [])


def test_repetition_replaces_the_file(tmp_path: Path) -> None:
    write_record(tmp_path, make_record(run=RunInfo(train_seconds=10.0)), OUTCOMES)
    later = make_record(run=RunInfo(train_seconds=12.0), created="2025-03-01T00:00:00Z")
    write_record(tmp_path, later, OUTCOMES)
    assert read_records(tmp_path) == ([later], [])


def test_outcomes_must_match_the_trials(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 trials but 1"):
        write_record(tmp_path, make_record(), OUTCOMES[:1])
    assert not (tmp_path / "records").exists()


def test_damaged_and_foreign_files_are_reported_and_skipped(tmp_path: Path) -> None:
    record = make_record()
    good = write_record(tmp_path, record, OUTCOMES)
    folder = good.parent
    (folder / "truncated-0123456789ab.json").write_text(good.read_text()[:200])
    (folder / "binary.json").write_bytes(b"\xff\xfe\x00")
    (folder / "list.json").write_text("[]")
    (folder / "notes.txt").write_text("hello")
    (folder / "renamed.json").write_text(good.read_text())
    (folder / "folder.json").mkdir()
    (folder / ".agw.json.abc.part").write_text("{")
    (folder / "dangling.json").symlink_to(folder / "nowhere.json")
    edited = good.read_text().replace('"variant": ""', '"variant": "better"')
    (folder / f"agw-better-{record.id}.json").write_text(edited)
    records, problems = read_records(tmp_path)
    assert records == [record]
    named = sorted(Path(problem.partition(": ")[0]).name for problem in problems)
    assert named == [
        f"agw-better-{record.id}.json",
        "binary.json",
        "dangling.json",
        "list.json",
        "notes.txt",
        "renamed.json",
        "truncated-0123456789ab.json",
    ]


def test_missing_or_damaged_outcomes(tmp_path: Path) -> None:
    record = make_record()
    path = write_record(tmp_path, record, OUTCOMES)
    other = make_record("agw", 0.6, trial_count=3)
    with pytest.raises(UsageError, match="does not belong"):
        read_per_query(path, other)
    path.with_suffix(".npz").write_bytes(path.with_suffix(".npz").read_bytes()[:100])
    with pytest.raises(UsageError, match="no readable"):
        read_per_query(path, record)
    path.with_suffix(".npz").unlink()
    records, problems = read_records(tmp_path)
    assert records == [record]
    assert len(problems) == 1 and "is missing" in problems[0]


def test_absent_folder_holds_nothing(tmp_path: Path) -> None:
    assert read_records(tmp_path / "none") == ([], [])


def test_place_of_the_leaderboards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIBENCH_LEADERBOARDS", raising=False)
    assert leaderboards_folder() == Path("leaderboards")
    monkeypatch.setenv("VIBENCH_LEADERBOARDS", "elsewhere")
    assert leaderboards_folder() == Path("elsewhere")
    assert leaderboards_folder(Path("here")) == Path("here")


def _write_many(folder: Path, first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 20):
        write_record(folder, make_record(run=RunInfo(seed=seed)), OUTCOMES)


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    # Seeds 10 to 19 are written by both.
    writers = [context.Process(target=_write_many, args=(tmp_path, first)) for first in (0, 10)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        # A reader meanwhile sees whole records only.
        assert read_records(tmp_path)[1] == []
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    records, problems = read_records(tmp_path)
    assert problems == []
    assert sorted(record.run.seed for record in records if record.run.seed is not None) == list(range(30))
    assert not list(tmp_path.rglob("*.part"))
    for record in records:
        assert len(read_per_query(record_path(tmp_path, record), record)) == 2


def test_record_file_says_everything_in_plain_json(tmp_path: Path) -> None:
    content = record_dict(make_record())
    needed = {
        "schema_version", "method", "variant", "source", "dataset", "dataset_version", "protocol", "protocol_version",
        "fingerprint", "draw", "query_mode", "test_time_information", "distance", "rerank", "complete", "leaking",
        "trials", "mean", "std", "cmc", "run", "profile", "environment", "created", "notes",
        "feature", "test_attributes",
    }  # fmt: skip
    assert set(content) == needed
    assert set(content["trials"][0]) >= {"trial", "r1", "map", "minp", "queries", "valid_queries", "gallery"}
