"""How far vibench is from an official code, quantity by quantity; README.md defines the differences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from tests.methods.steps.reference import Reference
from tests.methods.steps.training import Step, filled_method, trained_steps
from vibench.methods.base import Method
from vibench.training.optimizer import build_optimizer, set_learning_rate
from vibench.training.schedule import common_rate, learning_rate

KINDS = ("loss", "gradient", "parameter", "buffer", "rate")

_GRADIENT_FLOOR = 1e-8
"""Share of the step's largest gradient below which a difference is not scaled up. A bias in front of a batch norm has
the gradient 0 but for rounding, and the ratio of two roundings means nothing."""
_CHANGE_FLOOR = 1e-9
"""The same for changes, as a share of the tensor's initial norm."""


@dataclass(frozen=True)
class Difference:
    """Of one quantity, at the place where it is largest."""

    kind: str
    """Of `KINDS`."""
    quantity: str
    size: float
    """Relative; infinite for what only one side has."""
    where: str

    def __str__(self) -> str:
        return f"{self.quantity}: {self.size:.1e} ({self.where})"


def differences(reference: Reference, overrides: Sequence[str] = (), steps: int | None = None) -> list[Difference]:
    """The largest difference of every quantity over the first ``steps`` steps, None for all of them.

    ``overrides`` change the recipe: what a wrong recipe would give.
    """
    method = filled_method(reference, overrides)
    found = [*_one_sided(reference, method), *_rates(reference, method)]
    state = method.state_dict()
    initial_norms = {name: float(torch.linalg.vector_norm(state[name])) for name in reference.rows if name in state}
    parameters = frozenset(name for name, _ in method.named_parameters())
    for number, step in enumerate(islice(trained_steps(reference, method), steps)):
        found += _losses(reference, number, step)
        found += _step_rates(reference, number, step)
        found += _tensors(reference, number, step, initial_norms, parameters)
    worst: dict[tuple[str, str], Difference] = {}
    for difference in found:
        key = difference.kind, difference.quantity
        if key not in worst or difference.size > worst[key].size:
            worst[key] = difference
    return list(worst.values())


def largest(found: Sequence[Difference]) -> dict[str, float]:
    """The largest difference of each kind."""
    return {kind: max(difference.size for difference in found if difference.kind == kind) for kind in KINDS}


def _one_sided(reference: Reference, method: Method) -> Iterator[Difference]:
    """Parameters and batch-norm statistics that only vibench or only the official code has."""
    state = method.state_dict()
    trained = {name for name, _ in method.named_parameters()} | {name for name in state if ".running_" in name}
    for side, names in (
        ("vibench", trained - reference.rows.keys()),
        ("official", reference.rows.keys() - state.keys()),
    ):
        for name in sorted(names):
            yield Difference("parameter", f"tensors of the {side} side only", math.inf, name)


def _rates(reference: Reference, method: Method) -> Iterator[Difference]:
    """Lowest and highest learning rate of the optimiser's groups, in every epoch."""
    recipe, official = method.recipe, reference.arrays["schedule"]
    if len(official) != recipe.schedule.epochs:
        where = f"official {len(official)}, vibench {recipe.schedule.epochs}"
        yield Difference("rate", "number of epochs", math.inf, where)
    optimizer = build_optimizer(method)
    for epoch, bounds in enumerate(official.tolist()):
        rate = learning_rate(recipe.schedule, recipe.optimizer.lr, epoch)
        set_learning_rate(optimizer, rate, common_rate(recipe.schedule, epoch))
        ours = [group["lr"] for group in optimizer.param_groups]
        for name, theirs, mine in zip(("lowest", "highest"), bounds, (min(ours), max(ours)), strict=True):
            where = f"epoch {epoch}: official {theirs:.6g}, vibench {mine:.6g}"
            yield Difference("rate", f"{name} rate of the epochs", apart(theirs, mine, theirs), where)


def _step_rates(reference: Reference, number: int, step: Step) -> Iterator[Difference]:
    """The rates that the step really took."""
    official = reference.arrays["schedule"][reference.setup["steps"][number]["epoch"]].tolist()
    for theirs, ours in zip(official, step.rates, strict=True):
        where = f"step {number}: official {theirs:.6g}, vibench {ours:.6g}"
        yield Difference("rate", "rates of the steps", apart(theirs, ours, theirs), where)


def _losses(reference: Reference, number: int, step: Step) -> Iterator[Difference]:
    official = dict(zip(reference.setup["losses"], reference.arrays["losses"][number].tolist(), strict=True))
    for name in {**official, **step.losses}:
        theirs, ours = official.get(name, math.nan), step.losses.get(name, math.nan)
        where = f"step {number}: official {theirs:.10g}, vibench {ours:.10g}"
        yield Difference("loss", f"loss {name}", apart(theirs, ours, abs(theirs)), where)


def _tensors(
    reference: Reference, number: int, step: Step, initial_norms: dict[str, float], parameters: frozenset[str]
) -> Iterator[Difference]:
    """Gradients of the parameters, and changes of parameters and batch-norm statistics."""
    gradient, change = (reference.arrays[key][number] for key in ("gradient", "change"))
    floor = _GRADIENT_FLOOR * float(np.nanmax(gradient[:, 0]))
    for name, row in reference.rows.items():
        where = f"step {number}, {name}"
        kind = "parameter" if name in parameters else "buffer"
        # fmax: a norm that is not there is no scale.
        scale = max(step.change_norm[row], np.fmax(abs(change[row]), _CHANGE_FLOOR * initial_norms.get(name, 0.0)))
        yield Difference(kind, f"changes of {kind}s", apart(change[row], step.change[row], scale), where)
        if kind == "parameter":
            scale = np.fmax(np.fmax(gradient[row, 0], step.gradient[row, 0]), floor)
            for column, what in enumerate(("norms", "projections")):
                size = apart(gradient[row, column], step.gradient[row, column], scale)
                yield Difference("gradient", f"{what} of gradients", size, where)


def apart(official: float, ours: float, scale: float) -> float:
    """|official - ours| / scale; infinite where only one of them is a number, and 0 where neither is."""
    if math.isnan(official) or math.isnan(ours):
        return 0.0 if math.isnan(official) and math.isnan(ours) else math.inf
    return 0.0 if official == ours else abs(official - ours) / scale if scale > 0 else math.inf
