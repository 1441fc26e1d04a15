"""Small methods in double precision, to be compared with their literal versions; the real trainer on given batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from unittest import mock

import torch
from torch import Tensor, nn

from tests.methods.checks import WIDTH, small_method
from vibench.data.batch import Batch
from vibench.methods.base import Method
from vibench.nn import resnet
from vibench.runtime.devices import resolve_precision
from vibench.training.trainer import Trainer

LABELS = ([4, 4, 1, 1, 5, 5], [0, 0, 2, 2, 4, 4])
"""Of the visible images of two batches, as of the infrared ones."""


WIDTHS = (4, 8, 16, 32)
"""Of the layers of the network, so that many gradients take no time."""


def double_method(name: str, variant: str = "", overrides: Sequence[str] = ()) -> Method:
    """A method on a narrow ResNet-18, with norms and classifiers that do not start as ones, zeros and nearly zeros."""
    with (
        mock.patch.dict(resnet.STEM_WIDTHS, {"resnet18-slim": WIDTHS[0]}),
        mock.patch.dict(resnet.WIDTHS, {"resnet18-slim": WIDTHS}),
    ):
        method = small_method(name, variant, overrides).double()
    draw = torch.Generator().manual_seed(2)

    def noise(like: Tensor, scale: float) -> Tensor:
        return scale * torch.randn(like.shape, generator=draw, dtype=like.dtype)

    with torch.no_grad():
        for layer in method.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.weight.copy_(1.0 + noise(layer.weight, 0.1))
                if layer.bias.requires_grad:
                    layer.bias.copy_(noise(layer.bias, 0.1))
                layer.running_mean.copy_(noise(layer.running_mean, 0.1))
                layer.running_var.copy_(1.0 + noise(layer.running_var, 0.1).abs())
            elif isinstance(layer, nn.Linear) and float(layer.weight.detach().abs().max()) < 0.01:
                layer.weight.copy_(noise(layer.weight, 0.1))
    return method


def double_batches(height: int = 64, width: int = WIDTH) -> list[Batch]:
    """Two batches of three identities with two images each in both modalities."""
    draw = torch.Generator().manual_seed(1)
    modality = torch.tensor([0] * 6 + [1] * 6)
    return [
        Batch(
            images=torch.randn(12, 3, height, width, generator=draw, dtype=torch.float64),
            labels=torch.tensor(labels * 2),
            modality=modality,
            cameras=1 + 2 * modality + torch.arange(12) % 2,
        )
        for labels in LABELS
    ]


class _Given:
    """What a trainer asks a loader for, of batches that are already there."""

    def __init__(self, batches: list[Batch]) -> None:
        self.given = batches
        self.batch_size = len(batches[0])

    def batches(self, epoch: int) -> int:
        return len(self.given)

    def epoch(self, epoch: int, step: int) -> Iterator[Batch]:
        yield from self.given[step:]


def train_epoch(method: Method, batches: list[Batch], epoch: int) -> None:
    """Train a method on ``batches`` as the recipe's epoch ``epoch`` (from 0), with a new optimiser."""
    place = torch.device("cpu")
    trainer = Trainer(method, _Given(batches), place, resolve_precision("off", place), 0)  # type: ignore[arg-type]
    trainer.epoch = epoch
    trainer.train_epoch(lambda: False, lambda count, status="": None)


def trainable(method: Method) -> dict[str, Tensor]:
    """Parameters that take a gradient, by name."""
    return {name: parameter for name, parameter in method.named_parameters() if parameter.requires_grad}


def gradients_of(loss: Tensor, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The gradient of ``loss`` in every weight, 0 where it reads it not; the graph stays."""
    found = torch.autograd.grad(loss, list(weights.values()), retain_graph=True, materialize_grads=True)
    return dict(zip(weights, found, strict=True))


def shares(losses: Mapping[str, Tensor], apart: bool) -> dict[str, dict[str, float]]:
    """Sums of ``losses`` by their names: each by itself, or all in one, no two with the same weight."""
    if apart:
        return {name: {name: 1.0} for name in losses}
    return {"all": {name: 0.5 + place / 7 for place, name in enumerate(sorted(losses))}}


def weighted(losses: Mapping[str, Tensor], share: Mapping[str, float]) -> Tensor:
    """The sum of those ``losses`` that ``share`` gives a weight."""
    return torch.stack([weight * losses[name] for name, weight in share.items()]).sum()


def check_close(ours: Mapping[str, Tensor], literal: Mapping[str, Tensor], what: str, tolerance: float = 1e-9) -> None:
    """Tensors by name, each within ``tolerance`` of its largest entry.

    What is 0 but for rounding, such as the gradient of a bias in front of a norm, is so in both: 1e-14 is let pass.
    """
    assert set(ours) == set(literal), what
    for name, expected in literal.items():
        bound = tolerance * float(expected.detach().abs().max()) + 1e-14
        difference = float((ours[name] - expected).detach().abs().max())
        assert difference <= bound, f"{what}, {name}: {difference:.2e} apart, {bound:.2e} allowed"
