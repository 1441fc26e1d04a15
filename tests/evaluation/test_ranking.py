"""The shared ranking against explicit loops over queries, trials and ranked lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vibench.evaluation import ranking
from vibench.evaluation.distances import Comparison, Matrix, Rows
from vibench.evaluation.metrics import cmc_curve
from vibench.evaluation.ranking import Outcome, Ranker, Sought, TieOrder
from vibench.protocols import Skip


@dataclass
class Case:
    scores: np.ndarray
    query: np.ndarray
    """(Q, 2) pid, camera."""
    candidates: np.ndarray
    """(C, 2) pid, camera."""
    drawn: np.ndarray
    """(C, T)."""
    skip: Skip
    cmc: Literal["unique", "standard"]

    def outcome(self, device: str = "cpu", tie_orders: Sequence[TieOrder] = ()) -> Outcome:
        query, candidates, drawn, scores = (
            torch.from_numpy(array.copy()).to(device)
            for array in (self.query, self.candidates, self.drawn, self.scores)
        )
        ranker = Ranker(Sought(*candidates.T.contiguous()), drawn, self.skip, self.cmc, tie_orders)
        # Memory for some queries at a time.
        return ranker.rank(Matrix(scores.__getitem__), Sought(*query.T.contiguous()), 3000, lambda count: None)


@st.composite
def cases(draw: st.DrawFn, distinct: bool = False) -> Case:
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    queries, columns, trials = draw(st.integers(1, 6)), draw(st.integers(1, 25)), draw(st.integers(1, 4))
    levels = draw(st.sampled_from([1, 2, 4, 50]))
    scores = generator.integers(-levels, levels + 1, (queries, columns)) / 4.0
    if distinct:
        scores = generator.permuted(np.tile(np.arange(columns) - columns / 3.0, (queries, 1)), axis=1)

    def people(count: int) -> np.ndarray:
        return np.stack(
            [generator.integers(1, draw(st.integers(2, 8)), count), generator.integers(1, 4, count)], axis=1
        )

    drawn = generator.random((columns, trials)) < draw(st.sampled_from([0.3, 0.8, 1.0]))
    drawn[generator.integers(0, columns, trials), np.arange(trials)] = True
    pairs = draw(st.sampled_from([(), ((1, 2),), ((1, 1), (2, 2), (3, 3)), ((1, 2), (1, 3), (2, 1))]))
    return Case(
        scores=scores,
        query=people(queries),
        candidates=people(columns),
        drawn=drawn,
        skip=Skip(draw(st.sampled_from(["any", "same"])), pairs),
        cmc=draw(st.sampled_from(["unique", "standard"])),
    )


def by_loops(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AP, INP and first hit as golden definitions put them: rank, remove what is skipped, walk down the list."""
    shape = (len(case.query), case.drawn.shape[1])
    ap, inp, first = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, dtype=int)
    for q, (pid, camera) in enumerate(case.query.tolist()):
        for t in range(shape[1]):
            ranked = sorted(np.flatnonzero(case.drawn[:, t]).tolist(), key=lambda c: -case.scores[q, c])
            people = []
            for c in ranked:
                other, place = case.candidates[c].tolist()
                same = case.skip.identities == "any" or other == pid
                if not (same and (camera, place) in case.skip.cameras):
                    people.append(other)
            hits = [rank for rank, other in enumerate(people, start=1) if other == pid]
            if hits:
                ap[q, t] = np.mean([nth / rank for nth, rank in enumerate(hits, start=1)])
                inp[q, t] = len(hits) / hits[-1]
                listed = list(dict.fromkeys(people)) if case.cmc == "unique" else people
                first[q, t] = listed.index(pid) + 1
    return ap, inp, first


@settings(max_examples=300)
@given(cases())
def test_equals_loops(case: Case) -> None:
    outcome = case.outcome()
    ap, inp, first = by_loops(case)
    np.testing.assert_allclose(outcome.ap, ap, rtol=0, atol=1e-14)
    np.testing.assert_allclose(outcome.inp, inp, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(outcome.first_hit, first)


def alone_by_loops(case: Case, cameras: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """AP and first rank per gallery camera: rank, remove what is skipped and true matches of other cameras."""
    shape = (len(case.query), case.drawn.shape[1], len(cameras))
    ap, first = np.full(shape, np.nan), np.zeros(shape, dtype=int)
    for q, t, k in np.ndindex(shape):
        pid, camera = case.query[q].tolist()
        ranked = sorted(np.flatnonzero(case.drawn[:, t]).tolist(), key=lambda c: -case.scores[q, c])
        hits: list[int] = []
        length = 0
        for other, place in case.candidates[ranked].tolist():
            same = case.skip.identities == "any" or other == pid
            if (same and (camera, place) in case.skip.cameras) or (other == pid and place != cameras[k]):
                continue
            length += 1
            if other == pid:
                hits.append(length)
        if hits:
            ap[q, t, k] = np.mean([nth / rank for nth, rank in enumerate(hits, start=1)])
            first[q, t, k] = hits[0]
    return ap, first


@settings(max_examples=300)
@given(cases())
def test_matches_of_one_camera_equal_loops(case: Case) -> None:
    outcome = case.outcome()
    ap, first = alone_by_loops(case, np.unique(case.candidates[:, 1]).tolist())
    np.testing.assert_allclose(outcome.camera_ap, ap, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(outcome.camera_first_hit, first)
    # The first match of all is nobody's first rank but 1 exactly where no wrong image comes before it.
    np.testing.assert_array_equal((outcome.camera_first_hit == 1).any(dim=2), outcome.first_hit == 1)


@settings(max_examples=60)
@given(cases(), st.integers(0, 2**32 - 1))
def test_some_trials_may_break_ties_by_another_order(case: Case, seed: int) -> None:
    generator = np.random.default_rng(seed)
    columns = generator.permutation(len(case.candidates))
    chosen = generator.random(case.drawn.shape[1]) < 0.5
    other = Case(
        case.scores[:, columns], case.query, case.candidates[columns], case.drawn[columns], case.skip, case.cmc
    )
    orders = [
        TieOrder(torch.from_numpy(np.flatnonzero(which)), places)
        for which, places in ((~chosen, None), (chosen, torch.from_numpy(np.argsort(columns))))
        if which.any()
    ]
    outcome = case.outcome(tie_orders=orders)
    for name in ("ap", "inp", "first_hit", "camera_ap", "camera_first_hit"):
        expected = getattr(case.outcome(), name)
        expected[:, chosen] = getattr(other.outcome(), name)[:, chosen]
        assert torch.equal(getattr(outcome, name).nan_to_num(-1), expected.nan_to_num(-1))


@settings(max_examples=60)
@given(cases(distinct=True), st.randoms(use_true_random=False))
def test_gallery_order_is_irrelevant_without_ties(case: Case, shuffle: object) -> None:
    order = np.random.default_rng(shuffle.randint(0, 2**32)).permutation(len(case.candidates))  # type: ignore[attr-defined]
    other = Case(case.scores[:, order], case.query, case.candidates[order], case.drawn[order], case.skip, case.cmc)
    for name in ("ap", "inp", "first_hit"):
        np.testing.assert_allclose(getattr(case.outcome(), name), getattr(other.outcome(), name), rtol=0, atol=1e-14)


@settings(max_examples=60)
@given(cases())
def test_only_the_order_of_scores_matters(case: Case) -> None:
    other = Case(np.exp(case.scores) * 3 - 100, case.query, case.candidates, case.drawn, case.skip, case.cmc)
    for name in ("ap", "inp", "first_hit"):
        assert torch.equal(getattr(case.outcome(), name).nan_to_num(-1), getattr(other.outcome(), name).nan_to_num(-1))


@settings(max_examples=60)
@given(cases())
def test_ranges_and_rising_cmc(case: Case) -> None:
    outcome = case.outcome()
    valid = outcome.first_hit > 0
    assert torch.equal(valid, ~outcome.ap.isnan()) and torch.equal(valid, ~outcome.inp.isnan())
    for values in (outcome.ap[valid], outcome.inp[valid]):
        assert bool(((values > 0) & (values <= 1)).all())
    for first_hit in outcome.first_hit.T.numpy():
        if first_hit.any():
            curve = cmc_curve(first_hit, 20)
            assert (np.diff(curve) >= 0).all() and curve[0] >= 0 and curve[-1] <= 1


def test_cmc_stays_level_behind_the_last_identity() -> None:
    assert cmc_curve(np.array([1, 3, 0, 2]), 6).tolist() == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@settings(max_examples=50)
@given(cases())
def test_same_on_cuda(case: Case) -> None:
    here, there = case.outcome(), case.outcome("cuda")
    torch.testing.assert_close(there.ap.cpu(), here.ap, rtol=0, atol=1e-14, equal_nan=True)
    torch.testing.assert_close(there.inp.cpu(), here.inp, rtol=0, atol=1e-14, equal_nan=True)
    assert torch.equal(there.first_hit.cpu(), here.first_hit)


def test_progress_is_told_piece_by_piece_of_the_gallery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "_CANDIDATES", 3)
    random = np.random.default_rng(0)
    query, gallery = (random.normal(size=(count, 4)).astype(np.float32) for count in (5, 11))
    pids = torch.arange(11) % 4
    ranker = Ranker(
        Sought(pids, torch.zeros(11, dtype=torch.int64)), torch.ones(11, 1, dtype=torch.bool), Skip(), "standard"
    )
    told: list[int] = []
    scores = Comparison(Rows(query, np.arange(5)), Rows(gallery, np.arange(11)), "cosine")
    ranker.rank(
        scores, Sought(torch.arange(5) % 4, torch.ones(5, dtype=torch.int64)), 1 << 20, lambda n, *_: told.append(n)
    )
    assert sum(told) == 5 and len(told) == 4
