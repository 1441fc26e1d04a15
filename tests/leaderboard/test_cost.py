"""Cost tables: one per device, means over runs, and a front that nobody beats."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.leaderboard.boards import COST, PRINTED
from tests.records.made import make_record, seeded_run
from vibench.errors import UsageError
from vibench.leaderboard.board import build_boards
from vibench.leaderboard.catalogue import registered_methods
from vibench.leaderboard.cost import COSTS, CostTable, cost_kinds, cost_of, cost_tables, pareto
from vibench.records.schema import Record, RunInfo

CATALOGUE = registered_methods()
KINDS = {kind.name: kind for kind in COSTS}


def _tables(records: list[Record]) -> dict[str, CostTable]:
    (board,) = build_boards(records, [], catalogue=CATALOGUE)
    return {table.device: table for table in cost_tables(board)}


def _on(device: str) -> object:
    return replace(COST, device=device)


def test_timings_compare_within_one_device_and_sizes_across() -> None:
    records = [make_record("a", cost=_on("A100")), make_record("b", cost=_on("H200")), make_record("c", cost=_on(""))]
    tables = _tables(records)
    assert {device: [line.row.method for line in table.lines] for device, table in tables.items()} == {
        "A100": ["a"],
        "H200": ["b"],
        "unknown device": ["c"],
        "": ["a", "b", "c"],
    }
    assert [kind.name for kind in tables["A100"].kinds] == ["latency", "throughput", "memory"]
    assert [kind.name for kind in tables[""].kinds] == ["embedding", "parameters", "flops"]


def test_costs_of_seeds_are_means_over_the_runs_on_that_device() -> None:
    seconds = {0: ("A100", 100.0), 1: ("A100", 200.0), 2: ("H200", 50.0)}
    records = [
        make_record(r1=0.4, run=seeded_run(seed, train_seconds=spent), cost=_on(device))
        for seed, (device, spent) in seconds.items()
    ]
    tables = _tables(records)
    found = {device: (line.value(KINDS["train-time"]), line.runs) for device, t in tables.items() for line in t.lines}
    assert found["A100"] == (150.0, 2) and found["H200"] == (50.0, 1)


def test_cost_of_a_row_is_unknown_where_its_runs_had_several_devices() -> None:
    records = [make_record(r1=0.4, run=seeded_run(seed), cost=_on(device)) for seed, device in enumerate(("A", "B"))]
    (board,) = build_boards(records, [], catalogue=CATALOGUE)
    assert cost_of(board.rows[0], KINDS["train-time"]) is None
    assert cost_of(board.rows[0], KINDS["embedding"]) == 2048


def test_query_time_is_embedding_and_matching() -> None:
    (line,) = _tables([make_record(cost=COST)])["cpu_x"].lines
    assert line.value(KINDS["latency"]) == pytest.approx(1000 / 40 + 0.25)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=7))
def test_front_is_what_no_other_row_beats(points: list[tuple[int, int]]) -> None:
    records = [
        make_record(f"m{at}", r1 / 10, cost=COST, run=RunInfo(train_seconds=float(seconds)))
        for at, (r1, seconds) in enumerate(points)
    ]
    lines = {line.row.method: line for line in _tables(records)["cpu_x"].lines}
    for at, (r1, seconds) in enumerate(points):
        beaten = any(
            other >= r1 and spent <= seconds and (other > r1 or spent < seconds)
            for place, (other, spent) in enumerate(points)
            if place != at
        )
        assert ("train-time" in lines[f"m{at}"].pareto) == (not beaten)


def test_more_throughput_is_better() -> None:
    records = [
        make_record(name, 0.5, cost=replace(COST, extraction_images_per_second=speed))
        for name, speed in (("slow", 10.0), ("fast", 20.0))
    ]
    table = _tables(records)["cpu_x"]
    assert [line.row.method for line in table.sorted_by(KINDS["throughput"])] == ["fast", "slow"]
    assert ["throughput" in line.pareto for line in table.sorted_by(KINDS["throughput"])] == [True, False]


def test_front_is_of_one_section_and_of_ranked_rows() -> None:
    records = [
        make_record("plain", 0.3, cost=COST),
        make_record("graph", 0.9, cost=COST, test_time_information="gallery"),
        make_record("leak", 0.8, cost=COST, leaking=True),
        make_record("worse", 0.2, cost=COST),
    ]
    lines = {line.row.method: line for line in _tables(records)["cpu_x"].lines}
    assert {name for name, line in lines.items() if "memory" in line.pareto} == {"plain", "graph"}


def test_a_cost_that_was_not_measured_is_neither_shown_nor_marked() -> None:
    table = _tables([make_record("a"), make_record("b", cost=COST)])["unknown device"]
    assert table.kinds == ()
    assert table.sorted_by(KINDS["memory"]) == []
    (board,) = build_boards([make_record("a")], [], catalogue=CATALOGUE)
    assert pareto(board) == {id(board.rows[0]): set()}


def test_published_rows_have_no_costs() -> None:
    (board,) = build_boards([], [PRINTED], catalogue=CATALOGUE)
    assert cost_tables(board) == []


def test_costs_by_name() -> None:
    assert cost_kinds("cost") == COSTS
    assert [kind.name for kind in cost_kinds("memory")] == ["memory"]
    with pytest.raises(UsageError, match=r"--by memry: .*did you mean 'memory'"):
        cost_kinds("memry")
