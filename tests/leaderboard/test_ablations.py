"""Ablation boards: whose variants they hold, in which order, and what was measured of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.leaderboard.boards import PRINTED, real_record
from tests.records.made import make_record, seeded_run
from vibench.leaderboard.ablations import AblationBoard, ablation_boards
from vibench.leaderboard.board import build_boards, protocol_fingerprint
from vibench.leaderboard.consensus import ablation_rows, published_rows
from vibench.leaderboard.published import Published, load_published
from vibench.records.schema import Record


@pytest.fixture(scope="module")
def published() -> Published:
    return load_published()


def _boards(published: Published, records: list[Record]) -> dict[str, AblationBoard]:
    boards = build_boards(records, [*published_rows(published), *ablation_rows(published)])
    return {found.name: found for found in ablation_boards(boards, published.papers)}


def _names(ablation: AblationBoard) -> list[str]:
    return [f"{line.printed.method}/{line.printed.variant}" for line in ablation.lines if line.printed]


def test_printed_variants_stand_in_the_order_of_the_tables(published: Published) -> None:
    boards = _boards(published, [])
    assert _names(boards["ddag-sysu-indoor-seeded"]) == ["ddag/", "ddag/b", "ddag/b-p", "ddag/b-g", "ddag/b-p-g"]
    assert _names(boards["cm-ssft-regdb-v2t"])[1:4] == ["cm-ssft/shl", "cm-ssft/shl-spl", "cm-ssft/shl-spl-moa"]
    # Hosts and rivals belong to the paper that prints them.
    assert "agw/base" in _names(boards["paenet-sysu-all-seeded"])
    assert "pgfa/pgfa" in _names(boards["pose-sysu-all-seeded"])
    assert not any(name.startswith(("agw-sysu", "mpanet-sysu", "caj-")) for name in boards)


def test_every_printed_ablation_stands_on_a_board(published: Published) -> None:
    shown = {
        (line.printed.method, line.printed.variant, found.board.protocol)
        for found in _boards(published, []).values()
        for line in found.lines
        if line.printed
    }
    printed = {(row.method, row.variant, row.protocol) for row in published.ablations}
    # Of the official draw there is only MPANet, a host in PAENet's Table 6.
    missing = {row for row in printed - shown if row[0] != "mpanet"}
    assert missing == set()


def test_a_measured_variant_stands_beside_its_print(published: Published) -> None:
    records = [
        real_record("ddag", 0.45, variant="b"),
        real_record("ddag", 0.50, variant="b-p"),
        real_record("ddag", 0.52),
        real_record("baseline", 0.46, variant="b"),
        real_record("baseline", 0.30, variant="one-stream"),
    ]
    boards = _boards(published, records)
    lines = {line.measured.variant: line for line in boards["ddag-sysu-all-seeded"].lines if line.measured}
    assert {name: line.difference("r1") for name, line in lines.items()} == {
        "b": pytest.approx(49.5 - 48.18),
        "b-p": pytest.approx(54.5 - 53.69),
        "": pytest.approx(56.5 - 54.75),
    }
    # DDAG's baseline is the default variant of another method, too.
    lines_of_baseline = boards["baseline-sysu-all-seeded"].lines
    assert [line.measured and line.measured.variant for line in lines_of_baseline] == ["b", "one-stream"]
    assert [line.printed and line.printed.variant for line in lines_of_baseline] == ["b", None]


def test_prints_of_an_unknown_draw_stand_on_the_default_draws_board_and_where_something_was_measured() -> None:
    prints = [
        replace(PRINTED, method="cal", variant=variant, draw="unknown", sources=("cal-iccv2023 Table 3",))
        for variant in ("baseline", "tca")
    ]
    papers = load_published().papers
    names = [found.name for found in ablation_boards(build_boards([], prints), papers)]
    assert names == ["cal-sysu-all-seeded"]
    fingerprint = protocol_fingerprint("sysu-all", "sysu-mm01", "official")
    official = real_record("cal", variant="tca", draw="official", fingerprint=fingerprint)
    found = {found.name: found for found in ablation_boards(build_boards([official], prints), papers)}
    assert set(found) == {"cal-sysu-all-seeded", "cal-sysu-all-official"}
    assert [line.measured is not None for line in found["cal-sysu-all-official"].lines] == [False, True]


def test_twins_have_measured_variants_alone(published: Published) -> None:
    records = [make_record("ddag", variant=variant, run=seeded_run(0)) for variant in ("b-p", "b", "mine")]
    found = _boards(published, records)["ddag-sysu-all-seeded-tiny-s0-r1"]
    # A variant that the recipe does not know comes first, the others in its order.
    assert [line.measured.variant for line in found.lines if line.measured] == ["mine", "b", "b-p"]
    assert not any(line.printed for line in found.lines)


def test_one_variant_alone_is_no_ablation() -> None:
    assert ablation_boards(build_boards([make_record("ddag", variant="b")], []), {}) == []
