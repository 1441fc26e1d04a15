"""What an extraction counts as its speed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.methods.checks import HEIGHT, WIDTH, small_method
from vibench.data.cache import ImageCache
from vibench.modality import MODALITIES
from vibench.runtime.devices import resolve_precision
from vibench.scoring import extraction

CPU = torch.device("cpu")


def _embedded_batches(monkeypatch: pytest.MonkeyPatch, device_type: str) -> tuple[list[str], extraction.Extraction]:
    """The modalities of all batches that the network meets where an extraction believes in such a device."""
    index = pd.DataFrame({"path": [f"{row}.jpg" for row in range(10)], "modality": np.resize(MODALITIES, 10)})
    pixels = np.random.default_rng(0).integers(0, 256, (10, HEIGHT, WIDTH, 3), dtype=np.uint8)
    cache = ImageCache(Path("noise"), pixels, index, "", "made", ())
    method = small_method("baseline").eval()
    met: list[str] = []
    embed = method.embed
    monkeypatch.setattr(method, "embed", lambda images, modality: met.append(modality) or embed(images, modality))
    count = extraction.uncounted_batches
    monkeypatch.setattr(extraction, "uncounted_batches", lambda _, compiled: count(device_type, compiled))
    precision = resolve_precision("off", CPU)
    found = extraction.extract_features(method, cache, index, device=CPU, precision=precision, batch_size=3)
    return met, found


def test_a_gpu_meets_one_batch_of_each_modality_before_the_clock_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = MODALITIES
    cold, plain = _embedded_batches(monkeypatch, "cpu")
    assert cold == [first] * 2 + [second] * 2
    monkeypatch.undo()
    warm, warmed = _embedded_batches(monkeypatch, "cuda")
    assert sorted(warm[:2]) == sorted(MODALITIES) and warm[2:] == cold
    assert np.array_equal(plain.features.features, warmed.features.features)
    assert extraction.uncounted_batches("cpu", compiled=True) == extraction.WARM_UP
