"""The training loop, one epoch at a time; files are the business of `vibench.training.run`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vibench.data.batch import Batch
from vibench.data.loader import TrainingLoader
from vibench.distributed.dealt import Dealt
from vibench.distributed.gradients import check_in_step, sum_gradients
from vibench.distributed.layers import see_whole_batches
from vibench.distributed.world import ALONE, World
from vibench.errors import UsageError
from vibench.methods.base import Method
from vibench.runtime.devices import Precision, compile_function
from vibench.runtime.progress import Advance
from vibench.runtime.randomness import torch_seed
from vibench.training.checkpoint import Checkpoint
from vibench.training.log import EpochReport
from vibench.training.meter import TOTAL, LossMeter, NonFiniteLoss
from vibench.training.optimizer import build_optimizer, clip_gradients, set_learning_rate
from vibench.training.schedule import common_rate, learning_rate

READING_INTERVAL = {"cpu": 1, "cuda": 50}
"""Steps between two readings of the losses. Reading makes the host wait for a GPU."""


class Trainer:
    """Trains a method, one epoch per call.

    Every random number is a function of (seed, epoch, step), so the trainer's whole state is that of the network,
    the optimiser and the loss scaler, the number of epochs and steps trained, and the loss sums of an open epoch.
    """

    def __init__(
        self,
        method: Method,
        loader: TrainingLoader,
        device: torch.device,
        precision: Precision,
        seed: int,
        compiled: bool = False,
        *,
        world: World = ALONE,
        sync_batch_norm: bool = True,
    ) -> None:
        """``compiled``: compute the losses by code of `torch.compile`.

        ``world``: the processes that train together; all of them give the same arguments otherwise.

        ``sync_batch_norm``: normalise by the statistics of the whole batch, which then trains as one process would.
        Raises `UsageError` for a method or a batch that several processes cannot share.
        """
        self.method: Method = method.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.epoch = 0
        """Whole epochs trained."""
        self.step = 0
        """Steps trained of the epoch after these."""
        self._loader = loader
        self._recipe = method.recipe
        self._precision = precision
        self._losses = compile_function(self.method.losses, device.type) if compiled else self.method.losses
        self._seed = seed
        self._interval = READING_INTERVAL[device.type]
        self._world = world
        sampler = self._recipe.sampler
        self._dealt = Dealt(world, sampler.identities, sampler.images) if world.size > 1 else None
        if self._dealt is not None:
            if not method.dealt_modules():
                raise UsageError(
                    f"{method.name} cannot train on {world.size} processes: it does not say which of its modules see a "
                    "share of a batch (Method.dealt_modules); train it on one, without torchrun."
                )
            see_whole_batches(method.dealt_modules(), self._dealt, device, sync_batch_norm)
        self._optimizer = build_optimizer(method)
        self._adversary_parameters = [p for module in method.adversaries() for p in module.parameters()]
        self._scaler = precision.scaler()
        self._loss_sums: dict[str, Tensor] = {}

    @property
    def remaining_steps(self) -> int:
        """Steps until the last epoch of the recipe is trained."""
        epochs = range(self.epoch, self._recipe.schedule.epochs)
        return sum(self._loader.batches(epoch) for epoch in epochs) - self.step

    @property
    def trained_images(self) -> int:
        """Images that have passed the network since the start of the run, repetitions included."""
        return (sum(map(self._loader.batches, range(self.epoch))) + self.step) * self._loader.batch_size

    def batch_images(self, epoch: int, step: int) -> tuple[list[str], list[int]]:
        """Paths and identities, both without repetition, of the images of a batch, past or to come."""
        return self._loader.batch_images(epoch, step)

    def state(self) -> dict[str, Any]:
        """The fields of a `Checkpoint` that change in training."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "model": dict(self.method.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "loss_sums": dict(self._loss_sums),
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint; its weights must already be in the method."""
        self._optimizer.load_state_dict(checkpoint.optimizer)
        if checkpoint.scaler:
            self._scaler.load_state_dict(checkpoint.scaler)
        self.epoch, self.step = checkpoint.epoch, checkpoint.step
        self._loss_sums = dict(checkpoint.loss_sums)

    def train_epoch(self, stop: Callable[[], bool], advance: Advance) -> EpochReport:
        """Train the open epoch to its end, or until ``stop()`` is true after a step.

        Raises `NonFiniteLoss` where a loss or, at the end, a weight is NaN or infinite.
        """
        epochs, steps = self._recipe.schedule.epochs, self._loader.batches(self.epoch)
        schedule = self._recipe.schedule
        lr = learning_rate(schedule, self._recipe.optimizer.lr, self.epoch)
        set_learning_rate(self._optimizer, lr, common_rate(schedule, self.epoch))
        self.method.train()
        meter = LossMeter(self._loss_sums, self.step)
        first_step, uncounted, waited = self.step, 0, 0.0
        start = time.perf_counter()
        with closing(self._loader.epoch(self.epoch, self.step)) as batches, self._precision.float32_products():
            stopping = False
            while self.step < steps and not stopping:
                asked = time.perf_counter()
                batch = next(batches)
                waited += time.perf_counter() - asked
                meter.add(self._train_step(batch), self.step)
                self.step += 1
                uncounted += 1
                stopping = stop()
                if self.step % self._interval == 0 or self.step == steps or stopping:
                    meter.check(self.epoch)
                    speed = (self.step - first_step) * self._loader.batch_size / (time.perf_counter() - start)
                    loss = meter.means()[TOTAL]
                    advance(uncounted, f"epoch {self.epoch + 1}/{epochs} · loss {loss:.3f} · {speed:.0f} images/s")
                    uncounted = 0
        trained = (self.step - first_step) * self._loader.batch_size
        complete = self.step == steps
        report = EpochReport(
            epoch=self.epoch,
            lr=lr,
            losses=meter.means(),
            images=trained,
            seconds=time.perf_counter() - start,
            data_wait_seconds=waited,
            complete=complete,
        )
        self._loss_sums = meter.sums()
        if complete:
            self._end_epoch(report.losses)
        return report

    def _train_step(self, batch: Batch) -> dict[str, Tensor]:
        """One update, or two with adversaries; the losses by name, their weighted sum last as `TOTAL`."""
        # Dropout and whatever else a method draws follow from the step, not from the steps before.
        # All processes draw alike, as what they draw for is the whole batch.
        torch.manual_seed(torch_seed(self._seed, "step", self.epoch, self.step))
        if self._dealt is not None:
            batch = replace(batch, images=self._dealt.take(batch.images), dealt=self._dealt)
        with self._precision.autocast():
            losses = self._losses(batch)
        total = self._weighted_sum(losses)
        self._update(total, without_adversaries=True)
        if self._adversary_parameters:
            with self._precision.autocast():
                adversary_losses = self.method.adversary_losses()
            self._update(self._weighted_sum(adversary_losses), without_adversaries=False)
        return {**losses, TOTAL: total}

    def _weighted_sum(self, losses: Mapping[str, Tensor]) -> Tensor:
        weights = self._recipe.loss_weights
        return torch.stack([weights.get(name, 1.0) * loss.float() for name, loss in losses.items()]).sum()

    def _update(self, total: Tensor, without_adversaries: bool) -> None:
        """One step down the gradient of ``total``. A parameter without gradient, and its optimiser state, stays."""
        self._optimizer.zero_grad(set_to_none=True)
        # Every process has the loss of the whole batch, see `Dealt`.
        self._scaler.scale(total / self._world.size).backward()
        if without_adversaries:
            for parameter in self._adversary_parameters:
                parameter.grad = None
        sum_gradients(self.method.parameters(), self._world)
        limit = self._recipe.optimizer.clip_grad_norm
        if limit > 0:
            self._scaler.unscale_(self._optimizer)
            clip_gradients(self._optimizer, limit)
        self._scaler.step(self._optimizer)
        self._scaler.update()

    def _end_epoch(self, mean_losses: dict[str, float]) -> None:
        # A gradient of the last step can be NaN although its loss was not.
        weights = dict(self.method.named_parameters())
        finite = torch.stack([torch.isfinite(weight).all() for weight in weights.values()]).tolist()
        if not all(finite):
            name = next(name for name, is_finite in zip(weights, finite, strict=True) if not is_finite)
            message = f"the weight '{name}' was not finite at the end of epoch {self.epoch}"
            raise NonFiniteLoss(message, self.epoch, self.step - 1)
        check_in_step(weights.items(), self._world)
        self.method.end_of_epoch(self.epoch, {name: mean for name, mean in mean_losses.items() if name != TOTAL})
        self.epoch, self.step, self._loss_sums = self.epoch + 1, 0, {}
