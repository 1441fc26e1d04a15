"""Rows chosen by what they say of themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.leaderboard.boards import PRINTED, lines_of
from vibench.errors import UsageError
from vibench.leaderboard.board import build_boards
from vibench.leaderboard.method_facts import Setup
from vibench.leaderboard.selection import KEYS, parse_filter, selected

SETUPS = {
    "plain": Setup("288x144", "resnet50", "imagenet", "none"),
    "language": Setup("288x144", "clip", "clip", "none"),
    "both": Setup("384x144", "resnet50", "imagenet+roberta", "text"),
    "persons": Setup("384x128", "vit-b", "luperson", "cameras"),
    "untold": Setup(),
}


@pytest.mark.parametrize(
    ("texts", "methods"),
    [
        (["pretrained=imagenet"], {"plain", "both"}),
        (["pretrained=clip"], {"language"}),
        (["pretrained=other"], {"both", "persons"}),
        (["pretrained=unknown"], {"untold"}),
        (["pretrained=imagenet,clip", "input=288x144"], {"plain", "language"}),
        (["backbone=ResNet50"], {"plain", "both"}),
        (["extra-labels=text,cameras"], {"both", "persons"}),
        (["dataset=regdb"], set()),
        (["dataset=sysu-mm01", "method=plain"], {"plain"}),
        (["source=published", "information=none", "supervision=supervised"], set(SETUPS)),
        (["supervision=noisy-labels"], set()),
    ],
)
def test_rows_that_filters_keep(texts: list[str], methods: set[str]) -> None:
    prints = [
        replace(PRINTED, method=method, setup=setup, values={"r1": f"{50 - at}.00"})
        for at, (method, setup) in enumerate(SETUPS.items())
    ]
    (board,) = build_boards([], prints)
    shown = selected(board, [parse_filter(text) for text in texts])
    assert {row.method for row in shown.rows} == methods
    # A rank is that among all rows of the section.
    ranks = {method: rank for _, rank, method in lines_of(board)}
    assert all(ranks[method] == rank for _, rank, method in lines_of(shown))
    assert all(section.rows for section in shown.sections)


def test_kinds_of_supervision_may_be_written_with_a_hyphen() -> None:
    (board,) = build_boards([], [replace(PRINTED, supervision="noisy labels")])
    for text in ("supervision=noisy labels", "supervision=noisy-labels"):
        assert selected(board, [parse_filter(text)]).rows


@pytest.mark.parametrize("text", ["", "backbone", "=resnet50", "backbone=", "backbone=,", "colour=red"])
def test_bad_filters_are_one_sentence(text: str) -> None:
    with pytest.raises(UsageError, match=r"--only") as caught:
        parse_filter(text)
    assert "\n" not in str(caught.value) and (KEYS[0] in str(caught.value) or "VALUE" in str(caught.value))
