"""The steps of a reference by vibench's own trainer, in float64 on the CPU."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from tests.methods.steps.reference import Reference
from vibench.data.batch import Batch
from vibench.methods.base import Method
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method
from vibench.runtime.devices import resolve_precision
from vibench.training.trainer import Trainer


@dataclass(frozen=True)
class Step:
    """What is measured of one optimiser step, tensors in the order of the reference's names."""

    losses: dict[str, float]
    rates: tuple[float, float]
    """Lowest and highest of the optimiser's groups."""
    gradient: np.ndarray
    """(T, 2): norm and projection; NaN where there is no gradient."""
    change: np.ndarray
    """(T,): projection of the change since the start; NaN where there is no such tensor."""
    change_norm: np.ndarray
    """(T,)"""


class GivenBatches:
    """In the place of a `TrainingLoader`: the batches of a reference, by epoch."""

    def __init__(self, reference: Reference) -> None:
        self.batch_size = reference.arrays["labels"].shape[1]
        self._reference = reference
        self._numbers: dict[int, list[int]] = defaultdict(list)
        for number, step in enumerate(reference.setup["steps"]):
            self._numbers[step["epoch"]].append(number)

    def batches(self, epoch: int) -> int:
        return len(self._numbers[epoch])

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for number in self._numbers[epoch][start:]:
            yield self._reference.batch(number)


def filled_method(reference: Reference, overrides: Sequence[str] = ()) -> Method:
    """vibench's method as the reference configures it, in float64, with its initial values and without dropout."""
    setup = reference.setup
    recipe = load_recipe(setup["method"], setup["variant"], setup["dataset"], (*setup["overrides"], *overrides))
    method = build_method(recipe, setup["classes"]).double()
    state = method.state_dict()
    filled = {name: reference.initial(name, state[name].shape) for name in reference.rows if name in state}
    method.load_state_dict(filled, strict=False)  # counters keep their zeros
    for path in setup["zero"]:
        owner, _, probability = path.rpartition(".")
        module = _attribute(method, owner)
        assert getattr(module, probability) > 0, f"{path} is no probability to set to 0"
        setattr(module, probability, 0.0)
    return method


def trained_steps(reference: Reference, method: Method) -> Iterator[Step]:
    """Train ``method`` step by step; epochs without a step are counted, not trained."""
    cpu = torch.device("cpu")
    initial = {name: tensor.clone() for name, tensor in method.state_dict().items() if name in reference.rows}
    trainer = Trainer(method, GivenBatches(reference), cpu, resolve_precision("off", cpu), 0)  # type: ignore[arg-type]
    sums: dict[str, float] = {}
    for step in reference.setup["steps"]:
        if step["epoch"] != trainer.epoch:
            trainer.epoch = step["epoch"]
            method.end_of_epoch(trainer.epoch - 1, {})
        before = sums if trainer.step else {}
        count = trainer.step + 1
        with _float64_is_kept():
            report = trainer.train_epoch(lambda: True, lambda *_: None)  # one step: it asks whether to stop after each
        sums = {name: mean * count for name, mean in report.losses.items()}
        losses = {name: value - before.get(name, 0.0) for name, value in sums.items()}
        rates = [group["lr"] for group in trainer.state()["optimizer"]["param_groups"]]
        yield Step(losses, (min(rates), max(rates)), *_projections(reference, method, initial))


def _projections(
    reference: Reference, method: Method, initial: dict[str, Tensor]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The tensor fields of a `Step`."""
    count = len(reference.rows)
    gradient, change, change_norm = np.full((count, 2), np.nan), np.full(count, np.nan), np.zeros(count)
    parameters, state = dict(method.named_parameters()), method.state_dict()
    for name, row in reference.rows.items():
        if name not in state:
            continue
        probe = reference.probe(name, state[name].numel())
        moved = (state[name] - initial[name]).flatten()
        change[row], change_norm[row] = moved @ probe, torch.linalg.vector_norm(moved)
        slope = parameters[name].grad if name in parameters else None
        if slope is not None:
            gradient[row] = torch.linalg.vector_norm(slope), slope.flatten() @ probe
    return gradient, change, change_norm


@contextmanager
def _float64_is_kept() -> Iterator[None]:
    """`Tensor.float`, which leaves half precision in methods ("float32 at least"), must not narrow a float64 run."""
    narrow = Tensor.float

    def leave_half(tensor: Tensor, *arguments: Any, **options: Any) -> Tensor:
        return tensor if tensor.dtype == torch.float64 else narrow(tensor, *arguments, **options)

    with mock.patch.object(Tensor, "float", leave_half):
        yield


def _attribute(owner: Any, path: str) -> Any:
    for name in path.split("."):
        owner = getattr(owner, name)
    return owner
