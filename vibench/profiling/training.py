"""What a training step costs, phase by phase."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from vibench.data.batch import Batch
from vibench.errors import VibenchError
from vibench.methods.base import Method
from vibench.methods.noise_batch import noise_batch
from vibench.profiling.flops import flops_of
from vibench.profiling.latency import measure_durations
from vibench.profiling.profile import Phase, PhaseCost, TrainingCost
from vibench.runtime.devices import Precision
from vibench.runtime.memory import PeakMemory, measure_peak_memory, release_cached_memory
from vibench.training.optimizer import build_optimizer, clip_gradients, set_learning_rate


def profile_training(method: Method, device: torch.device, precision: Precision, *, seconds: float) -> TrainingCost:
    """Measure steps of ``method``, on ``device``, on one batch of noise as large as the recipe's.

    The learning rate is 0: the arithmetic is the same and the weights stay, so that every step does the same work;
    statistics of batch normalisation and the mode of the network do change. ``seconds`` bounds the timing (but for
    three steps). `VibenchError` where the batch does not fit.
    """
    try:
        batch = noise_batch(method, device)
        step = TrainingStep(method.train(), precision)
        set_learning_rate(step.optimizer, 0.0)
        phases = step.phases(batch)
        flops = {name: flops_of(work) for name, work in phases.items()}
        # Counting has warmed up.
        durations = measure_durations(phases, device, warm_up=0, at_least=3, seconds=seconds)
        release_cached_memory(str(device))
        memory: dict[Phase, PeakMemory] = {}
        for name, work in phases.items():
            with measure_peak_memory(str(device)) as reading:
                work()
            memory[name] = reading.peak
    except torch.OutOfMemoryError:
        raise VibenchError(
            f"{method.name}: a training step of the recipe's batch does not fit on {device}; make the batch smaller "
            "with --set sampler.images=..., or leave the step out with --part embedding --part matching."
        ) from None
    costs = (PhaseCost(name, flops[name], durations[name], memory[name]) for name in phases)
    return TrainingCost(len(batch), tuple(costs))


class TrainingStep:
    """A step of `vibench.training.trainer`, cut into phases that are called one after another."""

    def __init__(self, method: Method, precision: Precision) -> None:
        self.method = method
        self.optimizer = build_optimizer(method)
        self._precision = precision
        self._scaler = precision.scaler()
        self._adversary_parameters = [p for module in method.adversaries() for p in module.parameters()]
        self._total: Tensor | None = None

    def phases(self, batch: Batch) -> dict[Phase, Callable[[], None]]:
        """The phases on one batch, in their order."""
        found: dict[Phase, Callable[[], None]] = {
            "forward": lambda: self._forward(batch),
            "backward": self._backward,
            "optimiser": self._update,
        }
        if self._adversary_parameters:
            found["adversary"] = self._adversary_step
        return found

    def _forward(self, batch: Batch) -> None:
        with self._precision.autocast():
            losses = self.method.losses(batch)
        self._total = self._weighted_sum(losses)

    def _backward(self) -> None:
        assert self._total is not None
        self.optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(self._total).backward()
        self._total = None
        for parameter in self._adversary_parameters:
            parameter.grad = None

    def _update(self) -> None:
        limit = self.method.recipe.optimizer.clip_grad_norm
        if limit > 0:
            self._scaler.unscale_(self.optimizer)
            clip_gradients(self.optimizer, limit)
        self._scaler.step(self.optimizer)
        self._scaler.update()

    def _adversary_step(self) -> None:
        with self._precision.autocast():
            losses = self.method.adversary_losses()
        self.optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(self._weighted_sum(losses)).backward()
        self._update()

    def _weighted_sum(self, losses: Mapping[str, Tensor]) -> Tensor:
        weights = self.method.recipe.loss_weights
        return torch.stack([weights.get(name, 1.0) * loss.float() for name, loss in losses.items()]).sum()
