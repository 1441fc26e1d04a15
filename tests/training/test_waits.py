"""No training step makes the host wait for a GPU: shown on CUDA by its debug mode, on a CPU by the operations."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.methods.built_in import BUILT_IN
from vibench.conformance.subject import CLASSES, Subject, small_settings
from vibench.data.batch import Batch
from vibench.data.loader import TrainingLoader
from vibench.data.sections import AugmentationRecipe, SamplerRecipe
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, get_method
from vibench.methods.sections import Recipe
from vibench.runtime.devices import Precision
from vibench.training.meter import LossMeter
from vibench.training.trainer import Trainer


class Waits(TorchDispatchMode):
    """Collects operations whose result, or whose shape, a host would have to ask a GPU for, and where they stand.

    ``lift_fresh`` is what `torch.tensor` of Python numbers does: a copy from memory that is not pinned.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(
        self, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = function.overloadpacket.__name__
        asks = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}.intersection(function.tags)
        # Indexing carries the tag in general, but needs the host only for masks.
        if name.removesuffix("_") in ("index", "index_put", "_index_put_impl"):
            asks = any(place is not None and place.dtype is torch.bool for place in args[1])
        if asks or name in ("equal", "lift_fresh"):
            stack = traceback.extract_stack()
            frame = next((frame for frame in reversed(stack) if "/vibench/" in frame.filename), stack[0])
            self.found.add(f"{name} in {frame.filename}:{frame.lineno}: {frame.line}")
        return function(*args, **(kwargs or {}))


def make_trainer(method: str, device: torch.device, variant: str = "") -> tuple[Trainer, Batch]:
    """A trainer of a small network without data, and a batch of noise on the device."""
    subject = Subject(load_recipe(method, variant, "sysu-mm01", small_settings(get_method(method).options)))
    torch.manual_seed(0)
    trainer = Trainer(build_method(subject.recipe, CLASSES), None, device, Precision("fp32", device.type), seed=0)
    trainer.method.train()
    tensors = {
        field.name: value.to(device)
        for field in fields(Batch)
        if isinstance(value := getattr(subject.batch, field.name), Tensor)
    }
    return trainer, replace(subject.batch, **tensors)


def step(trainer: Trainer, batch: Batch, meter: LossMeter) -> None:
    meter.add(trainer._train_step(batch), trainer.step)
    trainer.step += 1


def test_operations_that_wait_are_found():
    values = torch.arange(3.0)
    for wait in (
        lambda: values.sum().item(),
        lambda: values[values > 1],
        lambda: values.nonzero(),
        lambda: torch.unique(values),
        lambda: torch.tensor([1.0]),
        lambda: bool((values > 1).any()),
        lambda: values[torch.tensor(1)],
    ):
        with Waits() as waits:
            wait()
        assert waits.found
    with Waits() as waits:
        values[torch.arange(2)] = torch.where(values > 1, values, 0.0).topk(2).values
    assert not waits.found


@pytest.mark.parametrize("method", BUILT_IN)
def test_a_training_step_asks_for_nothing(method: str):
    trainer, batch = make_trainer(method, torch.device("cpu"))
    meter = LossMeter({}, 0)
    # What the first step makes and keeps, the others need not wait for.
    step(trainer, batch, meter)
    with Waits() as waits:
        step(trainer, batch, meter)
    assert not waits.found


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", BUILT_IN)
def test_a_training_step_does_not_wait_for_the_gpu(method: str):
    trainer, batch = make_trainer(method, torch.device("cuda"))
    meter = LossMeter({}, 0)
    step(trainer, batch, meter)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(trainer, batch, meter)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    meter.check(epoch=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_reach_the_gpu_without_a_wait():
    augmentation = AugmentationRecipe(
        greyscale=0.5,
        erasing=1.0,
        erasing_random_fill=True,
        visible_views=("exchange+grey",),
        infrared_jitter=(0.7, 1.3),
        infrared_blur=(0.1, 3.0),
    )
    recipe = Recipe("m", "", "d", None, sampler=SamplerRecipe(2, 2), augmentation=augmentation)
    images = np.random.default_rng(0).integers(0, 256, (24, 32, 16, 3), dtype=np.uint8)
    index = pd.DataFrame({"pid": np.repeat([1, 2, 3], 8), "camera": 1, "modality": ["visible", "infrared"] * 12})
    loader = TrainingLoader(images, np.arange(24), index, recipe, 0, torch.device("cuda"))
    list(loader.epoch(0))
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert len(list(loader.epoch(1))) == loader.batches(1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
