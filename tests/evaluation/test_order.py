"""The order is that of a stable sort, with ties, infinities and scores that differ in their last bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vibench.evaluation.order import stable_order

TINY = np.nextafter(0.5, 1.0)


def plain(scores: np.ndarray) -> np.ndarray:
    return np.argsort(-scores, axis=1, kind="stable")


SCORES = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=70),
    elements=st.sampled_from([-np.inf, -2.5, -TINY, -0.5, -0.0, 0.0, 5e-324, 0.5, TINY, 1.0, 1e300]),
)


@given(SCORES)
def test_equals_a_stable_sort(scores: np.ndarray) -> None:
    assert (stable_order(torch.from_numpy(scores)).numpy() == plain(scores)).all()


def test_near_ties_are_no_ties() -> None:
    scores = np.array([[0.5, TINY, np.nextafter(TINY, 1.0), 0.25], [0.1, 0.2, 0.3, 0.4]])
    assert stable_order(torch.from_numpy(scores)).tolist() == [[2, 1, 0, 3], [3, 2, 1, 0]]


def test_many_columns_and_input_untouched() -> None:
    scores = np.random.default_rng(0).standard_normal((40, 1030))
    tensor = torch.from_numpy(scores.copy())
    assert (stable_order(tensor).numpy() == plain(scores)).all()
    assert (tensor.numpy() == scores).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_same_on_cuda() -> None:
    scores = torch.randint(-3, 4, (50, 700), generator=torch.Generator().manual_seed(0)).double()
    assert torch.equal(stable_order(scores.cuda()).cpu(), stable_order(scores))
