"""A training step in phases: the trainer's own step, its operations, and a batch that does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from tests.profiling.toy import FLOPS_BACKWARD, FLOPS_FORWARD, Toy
from vibench.conformance.subject import small_settings
from vibench.data.batch import Batch
from vibench.errors import VibenchError
from vibench.methods.base import Method
from vibench.methods.noise_batch import noise_batch
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, get_method
from vibench.profiling.training import TrainingStep, profile_training
from vibench.runtime.devices import resolve_precision
from vibench.training.optimizer import set_learning_rate
from vibench.training.schedule import learning_rate
from vibench.training.trainer import Trainer

CPU = torch.device("cpu")
FP32 = resolve_precision("off", CPU)


class OneBatch:
    """A loader of a single batch."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.batch_size = len(batch)

    def batches(self, epoch: int) -> int:
        return 1

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        yield self.batch


def _twins(name: str, *settings: str) -> tuple[Method, Method]:
    sizes = [*small_settings(get_method(name).options), *settings]
    recipe = load_recipe(name, "", "sysu-mm01", sizes)
    made = []
    for _ in range(2):
        torch.manual_seed(0)
        made.append(build_method(recipe, 7))
    return made[0], made[1]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("baseline", ("optimizer.clip_grad_norm=0.5",)),
        ("cm-ssft", ("model.adv=alternate", "input.height=64", "input.width=32")),
    ],
)
def test_the_phases_are_the_trainers_step(name: str, settings: tuple[str, ...]) -> None:
    profiled, trained = _twins(name, *settings, "model.backbone=resnet18-slim", "schedule.epochs=2")
    batch = noise_batch(trained)
    Trainer(trained, OneBatch(batch), CPU, FP32, 0).train_epoch(lambda: False, lambda count, status="": None)  # type: ignore[arg-type]
    profiled.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    step = TrainingStep(profiled, FP32)
    set_learning_rate(step.optimizer, learning_rate(profiled.recipe.schedule, profiled.recipe.optimizer.lr, 0))
    phases = step.phases(batch)
    for work in phases.values():
        work()
    assert ("adversary" in phases) == bool(profiled.adversaries())
    theirs = trained.state_dict()
    for key, value in profiled.state_dict().items():
        torch.testing.assert_close(value, theirs[key], rtol=1e-5, atol=1e-6, msg=key)


def test_operations_of_each_phase_are_those_counted_by_hand() -> None:
    found = profile_training(Toy(), CPU, FP32, seconds=0.0)
    assert found.images == 64
    flops = {phase.name: phase.flops for phase in found.phases}
    assert (flops["forward"], flops["backward"], flops["optimiser"]) == (FLOPS_FORWARD, FLOPS_BACKWARD, 0)
    assert all(phase.duration.repetitions == 3 for phase in found.phases)


def test_a_batch_that_does_not_fit_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def losses(self: Toy, batch: Batch) -> dict[str, torch.Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Toy, "losses", losses)
    with pytest.raises(VibenchError, match="toy: a training step of the recipe's batch does not fit"):
        profile_training(Toy(), CPU, FP32, seconds=0.0)


def test_a_batch_of_noise_has_what_recipe_and_needs_ask_for() -> None:
    method = Toy()
    method.needs = frozenset({"attributes", "heatmaps"})
    augmentation = replace(method.recipe.augmentation, visible_views=("none", "exchange"))
    sampler = replace(method.recipe.sampler, identities=3, images=2)
    method.recipe = replace(method.recipe, augmentation=augmentation, sampler=sampler)
    batch = noise_batch(method)
    assert len(batch) == 3 * 3 * 2 and batch.visible_views == 2
    assert batch.modality.tolist() == [0] * 12 + [1] * 6
    assert batch.labels.tolist() == [0, 0, 1, 1, 2, 2] * 3
    assert batch.attributes is not None and batch.heatmaps is not None
    assert torch.equal(batch.attributes[:6], batch.attributes[12:])
    assert batch.heatmaps.shape == (18, 1, 16, 8)
    assert torch.equal(batch.images, noise_batch(method).images)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_backward_pass_on_cuda_needs_what_the_forward_pass_keeps() -> None:
    device = torch.device("cuda")
    found = profile_training(Toy().to(device), device, resolve_precision("off", device), seconds=0.05)
    memory = {phase.name: phase.memory for phase in found.phases}
    assert (memory["backward"].allocated or 0) > 0
    assert all((peak.reserved or 0) >= (peak.allocated or 0) for peak in memory.values())
