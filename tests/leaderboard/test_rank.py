"""Ranges of places from what is surely better than what."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibench.leaderboard.rank import Rank, plain, ranks, sure_cuts

Better = set[tuple[int, int]]


@st.composite
def judged(draw: st.DrawFn) -> tuple[list[int], Better]:
    """Scores, and of the pairs of unequal ones those that are sure; nothing says that these follow from each other."""
    scores = draw(st.lists(st.integers(0, 6), min_size=1, max_size=9))
    pairs = [
        (one, other) if scores[one] > scores[other] else (other, one)
        for one, other in combinations(range(len(scores)), 2)
        if scores[one] != scores[other]
    ]
    return scores, set(draw(st.lists(st.sampled_from(pairs), unique=True))) if pairs else set()


def by_order(scores: list[int]) -> list[int]:
    return sorted(range(len(scores)), key=lambda row: -scores[row])


@given(judged())
def test_ranges_hold_the_place_of_the_score(case: tuple[list[int], Better]) -> None:
    scores, better = case
    for row, rank in enumerate(ranks(len(scores), better)):
        before = sum(score > scores[row] for score in scores)
        alike = sum(score == scores[row] for score in scores)
        assert rank.low <= 1 + before and before + alike <= rank.high
        assert rank.low == 1 + sum((other, row) in better for other in range(len(scores)))
        assert rank.high == sum((row, other) not in better for other in range(len(scores)))


@given(judged(), st.randoms(use_true_random=False))
def test_the_order_of_rows_is_irrelevant(case: tuple[list[int], Better], random: object) -> None:
    scores, better = case
    order = list(range(len(scores)))
    random.shuffle(order)  # type: ignore[attr-defined]
    place = {row: at for at, row in enumerate(order)}
    shuffled = ranks(len(scores), {(place[one], place[other]) for one, other in better})
    assert [shuffled[place[row]] for row in range(len(scores))] == ranks(len(scores), better)


@given(judged())
def test_cuts_part_what_is_sure(case: tuple[list[int], Better]) -> None:
    scores, better = case
    order = by_order(scores)
    found = ranks(len(scores), better)
    cuts = sure_cuts([found[row] for row in order])

    def sure(at: int) -> bool:
        return all(found[above].high < found[below].low for above in order[:at] for below in order[at:])

    for at in range(1, len(order)):
        # Where every pair is sure, so is the cut.
        assert sure(at) or not all((above, below) in better for above in order[:at] for below in order[at:])
        # Two rows that stand alone are not parted from one another.
        assert (at in cuts) == (sure(at) and not (sure(at - 1) and sure(at + 1)))
        # Rows of one range, unless it is a single place, are never parted.
        assert at not in cuts or found[order[at - 1]] != found[order[at]]


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_where_nothing_or_everything_is_sure(rows: int) -> None:
    assert ranks(rows, set()) == [Rank(1, rows)] * rows
    everything = set(combinations(range(rows), 2))
    assert ranks(rows, everything) == [plain(place) for place in range(1, rows + 1)]
    assert sure_cuts(ranks(rows, set())) == sure_cuts(ranks(rows, everything)) == []


def test_places_as_text() -> None:
    assert (str(plain(1)), str(Rank(1, 3))) == ("1", "1–3")
    for low, high in ((0, 1), (3, 2)):
        with pytest.raises(ValueError, match="no places"):
            Rank(low, high)
