"""Real methods beside literal ones: in float64, under the literal names, value and gradient, and trained."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor, nn

from tests.methods.literal.numerics import Network, Weights, nesterov_step
from vibench.data.batch import Batch
from vibench.methods.base import Method
from vibench.training.meter import TOTAL
from vibench.training.trainer import Trainer

TOLERANCE = 1e-9
SMALL = 20_000
"""Weights of more numbers than that are drawn widely enough as they are."""
Names = Sequence[tuple[str, str]]
"""Pairs of a regular expression for a real name and its replacement; the first that fits the whole name counts."""


def keep_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `Tensor.float` return float64 as it is: the package means "float32 at least" by it."""
    convert = Tensor.float
    monkeypatch.setattr(Tensor, "float", lambda t: t if t.dtype == torch.float64 else convert(t))


def in_float64(batch: Batch) -> Batch:
    """The same batch with all its fractions in float64."""
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    wide = {name: v.double() for name, v in values.items() if isinstance(v, Tensor) and v.is_floating_point()}
    return replace(batch, **wide)


def scrambled(method: Method, seed: int = 3) -> Method:
    """The method in float64, nothing in it at a start value that hides it: shifts at 0, scales at 1, tiny logits."""
    method.double()
    draw = torch.Generator().manual_seed(seed)

    def normal(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=draw, dtype=torch.float64)

    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)
    scales = {id(module.weight) for module in method.modules() if isinstance(module, norms)}
    with torch.no_grad():
        for name, value in method.state_dict(keep_vars=True).items():
            if name.endswith("running_mean"):
                value.copy_(0.1 * normal(value))
            elif name.endswith("running_var"):
                value.copy_(0.5 + normal(value).abs())
            elif name.endswith(".bias"):
                value.copy_(0.1 * normal(value))
            elif id(value) in scales:
                value.copy_(1.0 + 0.1 * normal(value))
            elif name.endswith("weight") and value.numel() < SMALL:
                value.add_(0.02 * normal(value))
    return method


def renamed(tensors: Mapping[str, Tensor], names: Names, others: tuple[str, ...] = ()) -> Weights:
    """``tensors`` under the literal names; ``others``: endings of names that the literal method has nothing for."""
    found = {}
    for name, tensor in tensors.items():
        if name.endswith(("num_batches_tracked", *others)):
            continue
        pattern, replacement = next((pair for pair in names if re.fullmatch(pair[0], name)), ("", None))
        assert replacement is not None, f"no literal name for {name}"
        literal = re.fullmatch(pattern, name).expand(replacement)
        assert literal not in found, literal
        found[literal] = tensor
    return found


def leaves(weights: Weights, trainable: Iterable[str]) -> Weights:
    """Copies, of which those that train take a gradient."""
    trains = set(trainable)
    return {name: value.detach().clone().requires_grad_(name in trains) for name, value in weights.items()}


def gradients(loss: Tensor, weights: Weights) -> Weights:
    """Of every weight that takes one; zeros where the loss does not depend on it."""
    trains = {name: value for name, value in weights.items() if value.requires_grad}
    found = torch.autograd.grad(loss, list(trains.values()), retain_graph=True, allow_unused=True)
    pairs = zip(trains.items(), found, strict=True)
    return {name: torch.zeros_like(value) if gradient is None else gradient for (name, value), gradient in pairs}


def difference(ours: Mapping[str, Tensor], literal: Mapping[str, Tensor]) -> tuple[float, str]:
    """The largest difference of two sets of tensors relative to the tensor's largest entry, and where it is.

    A tensor counts as no smaller than a ten-thousandth of the largest: the bias before a batch norm has the gradient 0
    but for rounding, which comes to a billionth of a millionth of the largest.
    """
    assert set(ours) == set(literal)
    floor = 1e-4 * max(float(value.detach().abs().max()) for value in literal.values())
    worst = (0.0, "")
    for name, value in literal.items():
        assert ours[name].shape == value.shape, name
        scale = max(float(value.detach().abs().max()), floor)
        apart = float((ours[name].detach() - value.detach()).abs().max())
        worst = max(worst, (apart / scale if scale else apart, name))
    return worst


def assert_same(what: str, ours: Mapping[str, Tensor], literal: Mapping[str, Tensor], tolerance: float) -> None:
    """No tensor differs by more than ``tolerance`` of its size."""
    apart, where = difference(ours, literal)
    assert apart <= tolerance, f"{what}: {where} differs by {apart:.1e}"


def assert_same_losses(
    ours: Mapping[str, Tensor],
    ours_from: Weights,
    literal: Mapping[str, Tensor],
    literal_from: Weights,
    each_but: tuple[str, ...] | None = (),
    tolerance: float = TOLERANCE,
) -> None:
    """Every loss in value; an odd mixture of them in the gradient of all weights; each in the gradient of most.

    ``each_but``: beginnings of names that only the mixture's gradient is taken of, which takes less time; None: the
    mixture alone.
    """
    assert_same("values", ours, literal, tolerance)
    mixture = {name: 1.0 + 0.37 * place for place, name in enumerate(literal)}
    cases = [(mixture, ())] + ([({name: 1.0}, each_but) for name in literal] if each_but is not None else [])
    for shares, left_out in cases:
        found = []
        for losses, weights in ((ours, ours_from), (literal, literal_from)):
            total = sum(share * losses[name] for name, share in shares.items())
            among = {name: value for name, value in weights.items() if not name.startswith(left_out or "-")}
            found.append(gradients(total, among))
        assert_same(f"gradient of {', '.join(shares)}", *found, tolerance)


def recorded_batches(trainer: Trainer) -> list[Batch]:
    """The batches that the trainer will have met, in float64, which it is given as well."""
    met: list[Batch] = []
    epoch_of_loader = trainer._loader.epoch

    def epoch(*place: int):
        for batch in epoch_of_loader(*place):
            met.append(in_float64(batch))
            yield met[-1]

    trainer._loader.epoch = epoch
    return met


def assert_trains_alike(
    trainer: Trainer,
    names: Names,
    losses: Callable[[Network, Batch, int], dict[str, Tensor]],
    loss_weights: Mapping[str, float],
    rate: Callable[[str], float],
    frozen: tuple[str, ...] = (),
    others: tuple[str, ...] = (),
    decay: float = 5e-4,
    momentum: float = 0.9,
    tolerance: float = TOLERANCE,
) -> None:
    """An epoch of the real trainer moves all weights and running statistics as the literal method says.

    ``losses``: of a batch and the number of its step. ``rate``: a weight's learning rate. ``frozen``: beginnings of
    the names of weights that do not train. Compared is the change of every tensor, relative to the largest change in
    it.
    """
    method = trainer.method.double()
    batches = recorded_batches(trainer)
    start = {name: value.clone() for name, value in renamed(method.state_dict(), names, others).items()}
    report = trainer.train_epoch(lambda: False, lambda count, status="": None)
    end = renamed(method.state_dict(), names, others)
    assert report.complete and len(batches) >= 2
    weights, buffers, met = dict(start), {}, []
    trains = [n for n in start if not n.startswith(frozen or "-") and "running_" not in n]
    for step, batch in enumerate(batches):
        now = leaves(weights, trains)
        net = Network(now)
        terms = losses(net, batch, step)
        total = torch.stack([loss_weights[name] * term for name, term in terms.items()]).sum()
        met.append({**terms, TOTAL: total})
        for name, gradient in gradients(total, now).items():
            weights[name], buffers[name] = nesterov_step(
                weights[name], gradient, buffers.get(name), rate(name), momentum, decay
            )
        weights.update(net.statistics)
    assert set(report.losses) == set(met[0])
    for name, mean in report.losses.items():
        expected = sum(terms[name].item() for terms in met) / len(met)
        assert mean == pytest.approx(expected, rel=tolerance, abs=tolerance), name
    assert_same(
        "change", {n: end[n] - start[n] for n in start}, {n: weights[n].detach() - start[n] for n in start}, tolerance
    )
