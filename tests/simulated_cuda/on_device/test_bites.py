"""The simulated device finds what it is there for: each test takes one line out of vibench and expects to be told."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.simulated_cuda.order import Fault
from tests.training.test_waits import make_trainer, step
from vibench.data import loader, pixels
from vibench.data.batch import Batch
from vibench.data.loader import TrainingLoader
from vibench.data.sections import AugmentationRecipe, SamplerRecipe
from vibench.methods.cm_ssft import query_graph
from vibench.methods.cm_ssft.transfer import TransferNetwork
from vibench.methods.sections import Recipe
from vibench.profiling import latency
from vibench.scoring import extraction
from vibench.training.meter import LossMeter

DEVICE = torch.device("cuda")
IMAGES = np.random.default_rng(0).integers(0, 256, (24, 32, 16, 3), dtype=np.uint8)

Change = Callable[..., None]


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch) -> Change:
    """Replace a piece of a function's text, which must stand there once."""

    def change_(owner: Any, name: str, old: str, new: str = "pass") -> None:
        function = getattr(owner, name)
        text = textwrap.dedent(inspect.getsource(function))
        assert text.count(old) == 1
        found: dict[str, Any] = {}
        exec("from __future__ import annotations\n" + text.replace(old, new), function.__globals__, found)
        monkeypatch.setattr(owner, name, found[name])

    return change_


def sums() -> list[float]:
    """Of the images of every batch, as the device gets them."""
    batches = np.arange(24).reshape(6, 4)
    found = [one.double().sum() for one in pixels.images_on_device(IMAGES, batches, DEVICE)]
    return torch.stack(found).tolist()


def test_batches_reach_the_device() -> None:
    assert sums() == IMAGES.reshape(6, -1).sum(axis=1, dtype=np.float64).tolist()


def test_a_copy_that_nobody_waits_for(change: Change) -> None:
    change(pixels, "_arrived", "current.wait_event(arrived)")
    with pytest.raises(Fault, match="has not waited for it"):
        sums()


def test_memory_that_the_copying_stream_takes_back_too_early(change: Change) -> None:
    change(pixels, "_arrived", "copy.record_stream(current)")
    with pytest.raises(Fault, match="record_stream"):
        sums()


def gathered() -> np.ndarray:
    """Three batches of results."""
    results = extraction._Results(12, DEVICE)
    values = torch.arange(24.0).reshape(12, 2)
    for rows in np.arange(12).reshape(3, 4):
        results.add({"embedding": values[rows].to(DEVICE)}, rows)
    return results.arrays()["embedding"]


def test_results_that_the_host_does_not_wait_for(change: Change) -> None:
    expected = np.arange(24.0).reshape(12, 2)
    np.testing.assert_array_equal(gathered(), expected)
    change(extraction._Results, "_take_over", "arrived.synchronize()")
    assert np.isnan(gathered()).any()


def training_batches() -> list[Any]:
    recipe = Recipe(
        "m",
        "",
        "d",
        None,
        sampler=SamplerRecipe(2, 2),
        augmentation=AugmentationRecipe(greyscale=0.5, erasing=1.0, erasing_random_fill=True),
    )
    index = pd.DataFrame({"pid": np.repeat([1, 2, 3], 8), "camera": 1, "modality": ["visible", "infrared"] * 12})
    return list(TrainingLoader(IMAGES, np.arange(24), index, recipe, 0, DEVICE).epoch(0))


def test_codes_that_stay_on_the_host(change: Change) -> None:
    assert training_batches()
    change(loader.TrainingLoader, "_device_batch", "host.codes.to(self._device, non_blocking=True)", "host.codes")
    with pytest.raises(RuntimeError, match="same device"):
        training_batches()


def test_an_index_that_is_made_on_the_host(change: Change) -> None:
    network = TransferNetwork(4, 4, 2, True, True, True, True).eval().to(DEVICE)
    query, gallery = torch.randn(3, 12, device=DEVICE), torch.randn(5, 12, device=DEVICE)
    with torch.no_grad():
        query_graph.graph_distances(network, query, gallery, 1)
        change(
            query_graph._GroupGraphs, "distances", "torch.arange(groups, device=query.device)", "torch.arange(groups)"
        )
        with pytest.raises(RuntimeError, match="same device"):
            query_graph.graph_distances(network, query, gallery, 1)


def test_time_of_another_device(change: Change) -> None:
    matrix = torch.randn(128, 128, device="cuda:1")

    def median() -> float:
        return latency.measure_duration(lambda: matrix @ matrix, matrix.device, seconds=0.01).median

    assert median() > 0
    change(latency, "_repetition_on_cuda", "torch.cuda.current_stream(device)", "torch.cuda.current_stream()")
    assert median() == 0


def test_a_step_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, batch = make_trainer("baseline", DEVICE)
    losses = trainer._losses

    def waiting(batch: Batch) -> dict[str, torch.Tensor]:
        assert batch.labels.min() >= 0
        return losses(batch)

    step(trainer, batch, LossMeter({}, 0))
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(trainer, batch, LossMeter({}, 0))
        monkeypatch.setattr(trainer, "_losses", waiting)
        with pytest.raises(RuntimeError, match="a number is read"):
            step(trainer, batch, LossMeter({}, 0))
    finally:
        torch.cuda.set_sync_debug_mode("default")
