"""The store: atomic, deterministic, safe for concurrent writers, and never startled by what it finds."""

from __future__ import annotations

import contextlib
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.records.made import make_per_query, make_record
from vibench.errors import UsageError
from vibench.evaluation.result import PerQuery
from vibench.leaderboard.board import build_boards
from vibench.leaderboard.render import write_boards
from vibench.records.record_json import record_dict
from vibench.records.schema import RunInfo
from vibench.records.store import (
    alone,
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


def _write_and_render(folder: Path, first: int) -> None:
    for number in range(first, first + 8):
        write_record(folder, make_record(f"method{number:02d}"), OUTCOMES)
        with alone(folder):
            write_boards(folder, build_boards(read_records(folder)[0], []))


def test_two_writers_that_render_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    writers = [context.Process(target=_write_and_render, args=(tmp_path, first)) for first in (0, 8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    records, problems = read_records(tmp_path)
    assert problems == []
    assert {record.method for record in records} == {f"method{number:02d}" for number in range(16)}
    # Whoever rendered last had seen everything.
    (board,) = (tmp_path / "sysu-mm01-twin").glob("*.csv")
    assert all(record.method in board.read_text() for record in records)
    assert not list(tmp_path.rglob("*.part"))


def _write_same(folder: Path, digit: int) -> None:
    for repetition in range(20):
        # Same id, and a last digit that tells who wrote.
        record = make_record("agw", mean_ap=0.4 + digit * 1e-12, run=RunInfo(train_seconds=float(repetition)))
        outcomes = [replace(outcome, ap=np.full(4, 0.4 + digit * 1e-12)) for outcome in OUTCOMES]
        write_record(folder, record, outcomes)


def test_json_and_npz_are_of_one_writer(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    writers = [context.Process(target=_write_same, args=(tmp_path, digit)) for digit in (0, 5)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    (record,), problems = read_records(tmp_path)
    assert problems == []
    outcomes = read_per_query(record_path(tmp_path, record), record)
    assert [outcome.ap[0] for outcome in outcomes] == [trial.map for trial in record.trials]


def test_one_at_a_time(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    with alone(tmp_path):
        waiting = context.Process(target=_write_and_render, args=(tmp_path, 0))
        waiting.start()
        waiting.join(1.0)
        assert waiting.is_alive() and not list(tmp_path.rglob("*.csv"))
    waiting.join()
    assert waiting.exitcode == 0 and list(tmp_path.rglob("*.csv"))


def test_outcomes_of_another_size_do_not_belong(tmp_path: Path) -> None:
    record = make_record()
    short = [replace(outcome, ap=outcome.ap[:3]) for outcome in OUTCOMES]
    path = write_record(tmp_path, record, short)
    with pytest.raises(UsageError, match=r"does not belong to its record \(array 'ap' of trial 0 is float64 \(3,\)"):
        read_per_query(path, record)
    write_record(tmp_path, record, [replace(outcome, first_hit=outcome.ap) for outcome in OUTCOMES])
    with pytest.raises(UsageError, match="'first_hit' of trial 0 is float64"):
        read_per_query(path, record)
    cameras = [replace(outcome, gallery_camera=np.array([1, 2])) for outcome in OUTCOMES]
    write_record(tmp_path, record, cameras)
    with pytest.raises(UsageError, match="no array 'camera_ap' of trial 0"):
        read_per_query(path, record)


SEEING = tuple(
    replace(
        outcome,
        gallery_camera=np.array([1, 2]),
        camera_ap=np.stack([outcome.ap, outcome.ap / 2], axis=1),
        camera_first_hit=np.stack([outcome.first_hit, outcome.first_hit], axis=1),
    )
    for outcome in OUTCOMES
)
"""With scores by gallery camera."""


def _assert_same(one: Sequence[PerQuery], other: Sequence[PerQuery]) -> None:
    for ours, theirs in zip(one, other, strict=True):
        for field in fields(PerQuery):
            np.testing.assert_array_equal(getattr(ours, field.name), getattr(theirs, field.name))


def test_trials_lie_together_in_one_array_and_older_files_are_read(tmp_path: Path) -> None:
    record = make_record()
    path = write_record(tmp_path, record, SEEING)
    _assert_same(read_per_query(path, record), SEEING)
    with np.load(path.with_suffix(".npz")) as file:
        together = dict(file)
    assert together["ap"].shape == (2, 4) and together["camera_ap"].shape == (2, 4, 2)
    apart = {f"trial{at}_{name}": array[at] for name, array in together.items() for at in range(2)}
    np.savez_compressed(path.with_suffix(".npz"), **apart)
    _assert_same(read_per_query(path, record), SEEING)


def test_trials_of_other_sizes_lie_apart(tmp_path: Path) -> None:
    record = make_record()
    (first, second) = record.trials
    record = replace(record, trials=(first, replace(second, queries=3)))
    whole, cut = SEEING[0], {field.name: getattr(SEEING[1], field.name)[:3] for field in fields(PerQuery)}
    outcomes = (whole, replace(PerQuery(**cut), gallery_camera=whole.gallery_camera))
    _assert_same(read_per_query(write_record(tmp_path, record, outcomes), record), outcomes)


def test_one_trial_too_many_does_not_belong(tmp_path: Path) -> None:
    record = make_record()
    path = write_record(tmp_path, record, OUTCOMES)
    with np.load(path.with_suffix(".npz")) as file:
        arrays = {name: np.concatenate([array, array[:1]]) for name, array in file.items()}
    np.savez(path.with_suffix(".npz"), **arrays)
    with pytest.raises(UsageError, match="no array 'ap' of trial 0"):
        read_per_query(path, record)


@settings(max_examples=100)
@given(st.data())
def test_damaged_outcomes_are_one_sentence(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        record = make_record()
        path = write_record(Path(name), record, OUTCOMES).with_suffix(".npz")
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
        with contextlib.suppress(UsageError):
            read_per_query(path, record)


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
