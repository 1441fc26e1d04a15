"""Ranges of ranks from the outcomes of queries: against a slow reference, and what they must not depend on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.leaderboard.boards import lines_of, rows_of
from tests.records.flips import sign_flip_p
from tests.records.made import seeded_run
from tests.records.scored import scored_record
from vibench.leaderboard import certainty as module
from vibench.leaderboard.board import Board, build_boards
from vibench.leaderboard.certainty import KEPT, Certainty, certainty_of
from vibench.leaderboard.published import load_published
from vibench.leaderboard.row import BY_SCORE, NOT_LEARNT, UNRANKED
from vibench.leaderboard.update import update_boards
from vibench.records.schema import Record
from vibench.records.significance import Resampling, cluster_sums, holm, welch_margin
from vibench.records.store import find_records, read_per_query, write_record

NOTHING = replace(load_published(), results=(), ablations=(), conflicts=(), audits=())
QUICK = Resampling(resamples=400)
SKILLS = (0.95, 0.9, 0.9, 0.75, 0.6, 0.35)


def put(folder: Path, method: str, skill: float, seeds: int = 1, **changes: Any) -> list[Record]:
    """Runs of one method, by default of thirty people, below ``folder``."""
    written = []
    for seed in range(seeds):
        own = {"people": 30, "run": seeded_run(seed), "trials": 1, **changes}
        record, outcomes = scored_record(method, seed, skill, **own)
        write_record(folder, record, outcomes)
        written.append(record)
    return written


def board_of(folder: Path, resampling: Resampling = QUICK) -> Board:
    records, _ = find_records(folder)
    (board,) = build_boards(records.values(), [], certainty=Certainty(records, resampling=resampling))
    return board


def literal_ranges(records: Mapping[Path, Record], rows: Sequence[Sequence[str]]) -> list[str]:
    """The ranges of rows, given by record ids, pair by pair and query by query."""
    places = {record.id: (path, record) for path, record in records.items()}
    values: list[list[np.ndarray]] = []
    scores: list[list[float]] = []
    people: list[np.ndarray] = []
    for ids in rows:
        runs = [read_per_query(*places[name]) for name in ids]
        people = [trial.pid for trial in runs[0]]
        of_trials = zip(*runs, strict=True)
        values.append([np.mean([run.first_hit == 1 for run in of_trial], axis=0) for of_trial in of_trials])
        scores.append([places[name][1].mean["r1"] for name in ids])
    pairs = list(combinations(range(len(rows)), 2))
    sums = [
        cluster_sums([a - b for a, b in zip(values[one], values[other], strict=True)], people) for one, other in pairs
    ]
    flips = QUICK.flips(len(pairs))
    adjusted = holm([sign_flip_p(found.contributions, flips, QUICK.seed) for found in sums])
    better = set()
    for (one, other), found, p in zip(pairs, sums, adjusted, strict=True):
        low, high = QUICK.interval(found)
        margin = welch_margin(scores[one], scores[other], QUICK.level)
        if (low > 0 or high < 0) and p <= 0.05 and (margin is None or abs(found.difference) > margin):
            better.add((one, other) if found.difference > 0 else (other, one))
    shown = []
    for row in range(len(rows)):
        low = 1 + sum((other, row) in better for other in range(len(rows)))
        high = sum((row, other) not in better for other in range(len(rows)))
        shown.append(f"{low}" if low == high else f"{low}–{high}")
    return shown


def shown(board: Board) -> dict[str, str]:
    """The ranks by method, without those that hold none."""
    return {row.method: str(rank) for section in board.sections for rank, row in section.rows if rank is not None}


@pytest.mark.parametrize("seeds", [1, 3])
def test_ranges_equal_the_slow_reference(tmp_path: Path, seeds: int) -> None:
    for number, skill in enumerate(SKILLS):
        put(tmp_path, f"m{number}", skill, seeds, trials=2)
    put(tmp_path, "single", 0.8, trials=2)
    board, (records, _) = board_of(tmp_path), find_records(tmp_path)
    ranked = [(str(rank), row) for section in board.sections for rank, row in section.rows if rank]
    found = [rank for rank, _ in ranked]
    assert found == literal_ranges(records, [row.records for _, row in ranked])
    assert len(set(found)) > 3 and len(found) == len(SKILLS) + 1
    scores = [row.scores["r1"].value for _, row in ranked]
    assert scores == sorted(scores, reverse=True), "no surely better row stands below"


def test_a_wide_spread_of_seeds_makes_a_wide_range(tmp_path: Path) -> None:
    for seed, skill in enumerate((0.2, 0.6, 0.99)):
        record, outcomes = scored_record("wide", seed, skill, people=30, run=seeded_run(seed))
        write_record(tmp_path, record, outcomes)
    put(tmp_path, "poor", 0.3, 3, trials=2)
    put(tmp_path, "good", 0.9, 3, trials=2)
    assert shown(board_of(tmp_path)) == {"good": "1–2", "wide": "1–3", "poor": "2–3"}


@settings(max_examples=5)
@given(st.permutations(range(len(SKILLS))))
def test_the_order_of_records_is_irrelevant(tmp_path_factory: pytest.TempPathFactory, order: list[int]) -> None:
    folder = tmp_path_factory.mktemp("records")
    for number, skill in enumerate(SKILLS):
        put(folder, f"m{number}", skill)
    records, _ = find_records(folder)
    items = list(records.items())
    shuffled = dict(items[at] for at in order)
    found = [
        build_boards(given.values(), [], certainty=Certainty(given, resampling=QUICK)) for given in (records, shuffled)
    ]
    assert found[0] == found[1]


def test_rows_of_the_same_outcomes_share_all_places(tmp_path: Path) -> None:
    _, outcomes = scored_record("one", 0, 0.7, people=30)
    for name in ("a", "b", "c", "d"):
        record, _ = scored_record("one", 0, 0.7, people=30)
        write_record(tmp_path, replace(record, method=name), outcomes)
    assert lines_of(board_of(tmp_path)) == [("none", "1–4", name) for name in ("a", "b", "c", "d")]


def test_what_is_not_surely_above_chance_holds_no_rank(tmp_path: Path) -> None:
    # Thirty people in a gallery of six images count as one image each: one in six is right by chance.
    put(tmp_path, "good", 0.9)
    put(tmp_path, "chance", 1 / 6)
    put(tmp_path, "worse-than-chance", 0.0)
    put(tmp_path, "little", 0.5)
    board = board_of(tmp_path)
    assert board.chance["r1"] == pytest.approx(100 / 6)
    assert board.chance["map"] == pytest.approx(100 * sum(1 / rank for rank in range(1, 7)) / 6)
    assert shown(board) == {"good": "1", "little": "2"}
    unranked = [row for _, row in board.sections[-1].rows]
    assert board.sections[-1].title == UNRANKED
    assert {row.method: row.obstacles for row in unranked} == {
        "chance": (NOT_LEARNT,),
        "worse-than-chance": (NOT_LEARNT,),
    }


def test_rows_that_cannot_be_compared_hold_the_place_of_their_score(tmp_path: Path) -> None:
    for name, skill in (("a", 0.9), ("b", 0.85), ("c", 0.4)):
        put(tmp_path, name, skill)
    (lost,) = put(tmp_path, "lost", 0.99)
    # Asked of other people, and outcomes that are not those of the record.
    record, (outcome,) = scored_record("other", 0, 0.6, people=30, trials=1)
    write_record(tmp_path, record, (replace(outcome, pid=outcome.pid + 1),))
    record, (outcome,) = scored_record("foreign", 0, 0.2, people=30, trials=1)
    write_record(tmp_path, record, (replace(outcome, first_hit=np.maximum(outcome.first_hit, 2)),))
    records, _ = find_records(tmp_path)
    next(path for path, record in records.items() if record == lost).with_suffix(".npz").unlink()
    board = board_of(tmp_path)
    by_score = {name for name, row in rows_of(board).items() if BY_SCORE in row.marks}
    assert by_score == {"lost", "other", "foreign"}
    assert shown(board) == {"lost": "1", "a": "2–3", "b": "2–3", "other": "4", "c": "5", "foreign": "6"}


def test_verdicts_are_kept_beside_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, skill in enumerate(SKILLS):
        put(tmp_path, f"m{number}", skill, 2)
    first = update_boards(tmp_path, NOTHING)
    kept = tmp_path / "records" / KEPT
    before = kept.read_bytes()

    def unread(*_: object) -> None:
        raise AssertionError("read although a verdict is known")

    with monkeypatch.context() as patched:
        patched.setattr(module, "read_per_query", unread)
        assert update_boards(tmp_path, NOTHING).boards == first.boards
        assert kept.read_bytes() == before
        # Of other code, or with another record, nothing is known.
        patched.setattr(module, "_code", lambda _: "other")
        with pytest.raises(AssertionError, match="verdict is known"):
            update_boards(tmp_path, NOTHING)
        patched.undo()
    put(tmp_path, "another", 0.5)
    assert update_boards(tmp_path, NOTHING).boards != first.boards
    assert kept.read_bytes() != before


def test_a_damaged_file_of_verdicts_is_made_anew(tmp_path: Path) -> None:
    put(tmp_path, "a", 0.9)
    put(tmp_path, "b", 0.4)
    first = update_boards(tmp_path, NOTHING)
    kept = tmp_path / "records" / KEPT
    sound = kept.read_text()
    value = json.loads(sound)
    outside = {**value, "better": {key: [[0, 9]] for key in value["better"]}}
    odd = {**value, "standings": {key: ["x", {"r1": None}, 1] for key in value["standings"]}}
    for damage in ("", "{}", "[1, 2", '{"code": 1}', "\x00", json.dumps(outside), json.dumps(odd), "[" * 100_000):
        kept.write_text(damage)
        assert update_boards(tmp_path, NOTHING).boards == first.boards
        assert kept.read_text() == sound


def test_outcomes_damaged_after_they_were_judged(tmp_path: Path) -> None:
    for name, skill in (("a", 0.9), ("b", 0.85)):
        put(tmp_path, name, skill)
    (lost,) = put(tmp_path, "lost", 0.6)
    update_boards(tmp_path, NOTHING)
    records, _ = find_records(tmp_path)
    path = next(path for path, record in records.items() if record == lost).with_suffix(".npz")
    path.write_bytes(bytes(path.stat().st_size))
    put(tmp_path, "new", 0.3)
    (board,) = (board for board in update_boards(tmp_path, NOTHING).boards if board.measured)
    assert shown(board) == {"a": "1–2", "b": "1–2", "lost": "3", "new": "4"}
    assert BY_SCORE in rows_of(board)["lost"].marks


def test_a_file_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    put(tmp_path, "a", 0.9)
    put(tmp_path, "b", 0.4)
    (tmp_path / "records" / KEPT / "in-the-way").mkdir(parents=True)
    update = update_boards(tmp_path, NOTHING)
    assert update.failure is None and update.problems == []
    (board,) = (board for board in update.boards if board.measured)
    assert shown(board) == {"a": "1", "b": "2"}
    empty = tmp_path / "empty"
    update_boards(empty, NOTHING)
    assert not (empty / "records").exists()


def test_kept_verdicts_do_not_grow(tmp_path: Path) -> None:
    put(tmp_path, "a", 0.9)
    (gone,) = put(tmp_path, "b", 0.4)
    records, _ = find_records(tmp_path)
    certainty = certainty_of(tmp_path, records)
    build_boards(records.values(), [], certainty=certainty)
    certainty.keep()
    for path in [path for path, record in records.items() if record == gone]:
        path.unlink()
        path.with_suffix(".npz").unlink()
    update_boards(tmp_path, NOTHING)
    assert gone.id not in (tmp_path / "records" / KEPT).read_text()
