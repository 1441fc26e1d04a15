"""Which batch sizes are measured, and why no more."""

from __future__ import annotations

import time

import pytest
import torch

from tests.profiling.toy import Toy
from vibench.profiling import embedding
from vibench.profiling.embedding import profile_embedding
from vibench.profiling.profile import EmbeddingCost
from vibench.runtime.devices import resolve_precision

CPU = torch.device("cpu")


def _sleeping(seconds_of: dict[int, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Embedding a batch takes as long as its size says."""

    def embed(self: Toy, images: torch.Tensor, modality: str) -> dict[str, torch.Tensor]:
        if len(images) not in seconds_of:
            raise torch.OutOfMemoryError("CUDA out of memory")
        time.sleep(seconds_of[len(images)])
        return {"embedding": torch.zeros(len(images), 7)}

    monkeypatch.setattr(Toy, "embed", embed)


def _measure(seconds: float = 0.0, largest: int = 1024) -> EmbeddingCost:
    return profile_embedding(Toy().eval(), CPU, resolve_precision("off", CPU), seconds=seconds, largest=largest)


def _sizes(cost: EmbeddingCost) -> list[int]:
    return [batch.images for batch in cost.batches]


def test_batches_double_until_throughput_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    _sleeping({1: 0.01, 2: 0.01, 4: 0.04, 8: 0.04}, monkeypatch)
    found = _measure(seconds=0.1)
    assert (_sizes(found), found.ended) == ([1, 2, 4], "plateau")
    assert found.fastest.images == 2


def test_batches_end_where_memory_does(monkeypatch: pytest.MonkeyPatch) -> None:
    _sleeping({1: 0.01, 2: 0.01}, monkeypatch)
    found = _measure(seconds=0.1)
    assert (_sizes(found), found.ended) == ([1, 2], "memory")


def test_batches_end_at_the_largest_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    _sleeping({1: 0.01, 2: 0.01, 4: 0.01}, monkeypatch)
    found = _measure(seconds=0.1, largest=3)
    assert (_sizes(found), found.ended) == ([1, 2], "limit")


def test_batches_end_where_a_size_would_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    _sleeping({1: 0.01, 2: 0.01}, monkeypatch)
    found = _measure(seconds=0.01)
    assert (_sizes(found), found.ended) == ([1], "time")


def test_a_host_is_asked_for_its_memory_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    _sleeping({1: 0.01, 2: 0.01}, monkeypatch)
    monkeypatch.setattr(embedding, "available_bytes", lambda: 1000)
    monkeypatch.setattr(embedding, "resident_bytes", lambda: 1)
    found = _measure(seconds=0.1)
    assert (_sizes(found), found.ended) == ([1], "memory")
