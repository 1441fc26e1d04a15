"""What every method's tests ask of it: small networks, a batch, a run of two steps, the authors' names."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vibench.data.batch import Batch
from vibench.data.loader import TrainingLoader
from vibench.data.training_inputs import Attributes, Heatmaps, TrainingInputs
from vibench.distributed.world import ALONE, World
from vibench.methods.base import Method
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, get_method
from vibench.methods.slim import slim_backbone
from vibench.nn.resnet import WIDTHS
from vibench.runtime.devices import resolve_precision
from vibench.training.trainer import Trainer

HEIGHT, WIDTH = 64, 32
MAP_WIDTH = WIDTHS["resnet18-slim"][-1]
"""Channels of the last map of the small network."""
SIZE = (f"height={HEIGHT}", f"width={WIDTH}")
SMALL = ("model.backbone=resnet18-slim", *SIZE)
CLASSES = 6


def small_method(name: str, variant: str = "", overrides: Sequence[str] = ()) -> Method:
    """A method on a slim network with random weights, the same in every call."""
    torch.manual_seed(0)
    backbone = f"model.backbone={slim_backbone(get_method(name).options)}"
    return build_method(load_recipe(name, variant, overrides=[backbone, *SIZE, *overrides]), CLASSES)


def small_batch(height: int = HEIGHT) -> Batch:
    """Three identities with two images each in both modalities."""
    labels = torch.tensor([4, 4, 1, 1, 5, 5]).repeat(2)
    images = torch.randn(12, 3, height, WIDTH, generator=torch.Generator().manual_seed(1))
    modality = torch.tensor([0] * 6 + [1] * 6)
    return Batch(images=images, labels=labels, modality=modality, cameras=1 + 2 * modality)


def check_losses_and_gradients(method: Method, batch: Batch) -> dict[str, Tensor]:
    """Finite scalar losses under known names, finite gradients in every trainable parameter; returns the losses."""
    method.train()
    losses = method.losses(batch)
    assert set(losses) <= set(method.loss_names)
    assert all(loss.ndim == 0 and torch.isfinite(loss) for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    trainable = {name: parameter for name, parameter in method.named_parameters() if parameter.requires_grad}
    assert not [name for name, parameter in trainable.items() if parameter.grad is None]
    assert all(torch.isfinite(parameter.grad).all() for parameter in trainable.values())
    return losses


def check_embeddings(method: Method, batch: Batch, width: int) -> None:
    """Unit embeddings of ``width`` columns, float32, which a new network gives as well once it has the same state."""
    method.eval()
    with torch.device("meta"):
        again = build_method(method.recipe, CLASSES)
    again.load_state_dict(method.state_dict(), assign=True)
    again.eval()
    for images, modality in zip(batch.images.chunk(2), ("visible", "infrared"), strict=True):
        with torch.no_grad():
            embedding = method.embed(images, modality)["embedding"]
            repeated = again.embed(images, modality)["embedding"]
        assert embedding.shape == (len(images), width) and embedding.dtype == torch.float32
        torch.testing.assert_close(embedding.norm(dim=1), torch.ones(len(images)))
        torch.testing.assert_close(repeated, embedding)


def grouped_names(method: Method) -> dict[float, set[str]]:
    """Names of the trainable parameters per ``lr_factor``; every one must be in exactly one group."""
    names = {id(parameter): name for name, parameter in method.named_parameters() if parameter.requires_grad}
    groups: dict[float, set[str]] = {}
    for group in method.parameter_groups(method.recipe):
        for parameter in group["params"]:
            groups.setdefault(group["lr_factor"], set()).add(names.pop(id(parameter)))
    assert not names
    return groups


def two_step_trainer(
    name: str,
    variant: str = "",
    overrides: Sequence[str] = (),
    amp: str = "off",
    world: World = ALONE,
    device: str = "cpu",
) -> Trainer:
    """A trainer for epochs of two steps on noise: P = 2, K = 2."""
    steps = ["sampler.identities=2", "sampler.images=2", "batches_per_epoch=2", "epochs=2"]
    method = small_method(name, variant, [*steps, *overrides])
    height, width = method.recipe.input.height, method.recipe.input.width
    count = 2 * 2 * CLASSES
    index = pd.DataFrame(
        {
            "path": [f"{row}.jpg" for row in range(count)],
            "pid": np.repeat(np.arange(CLASSES), 4),
            "camera": np.tile([1, 1, 3, 3], CLASSES),
            "modality": np.tile(["visible", "visible", "infrared", "infrared"], CLASSES),
        }
    )
    images = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    place = torch.device(device)
    loader = TrainingLoader(images, np.arange(count), index, method.recipe, 0, place, _inputs(method, count))
    return Trainer(method, loader, place, resolve_precision(amp, place), 0, world=world)


def _inputs(method: Method, count: int) -> TrainingInputs:
    """What the method needs besides, unknown for the last image."""
    random, known = np.random.default_rng(1), np.arange(count) < count - 1
    attributes = heatmaps = None
    if "attributes" in method.needs:
        attributes = Attributes(random.integers(0, 2, (count, 8), dtype=np.uint8) * known[:, None], known)
    if "heatmaps" in method.needs:
        size = method.recipe.input
        shape = (count, method.heatmap_channels(), size.height // 4, size.width // 4)
        heatmaps = Heatmaps(random.integers(0, 256, shape, dtype=np.uint8) * known[:, None, None, None], known)
    return TrainingInputs(attributes, heatmaps)


def check_two_steps(name: str, variant: str = "", overrides: Sequence[str] = (), amp: str = "off") -> Trainer:
    """Train an epoch of two steps; every trainable parameter but those with a zero gradient moves. The trainer."""
    trainer = two_step_trainer(name, variant, overrides, amp)
    before = {name: parameter.detach().clone() for name, parameter in trainer.method.named_parameters()}
    report = trainer.train_epoch(lambda: False, lambda count, status="": None)
    assert report.complete and all(np.isfinite(loss) for loss in report.losses.values())
    moved = [name for name, parameter in trainer.method.named_parameters() if not torch.equal(parameter, before[name])]
    assert moved
    return trainer


def golden_fill(shared: Path) -> ModuleType:
    """The module that makes the goldens' weights and images."""
    spec = importlib.util.spec_from_file_location("golden_fill", shared / "golden" / "fill.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def official_weights(shared: Path, name: str, unused: Sequence[str]) -> dict[str, Tensor]:
    """The filled weights under the authors' names that do not begin with an ``unused`` prefix."""
    shapes = json.loads((shared / "checkpoints" / f"{name}.json").read_text())["keys"]
    assert all(any(key.startswith(prefix) for key in shapes) for prefix in unused)
    fill, used = golden_fill(shared), [key for key in shapes if not key.startswith(tuple(unused))]
    return {key: torch.from_numpy(fill.fill_array(key, shapes[key], shapes)) for key in used}


def load_official(method: Method, weights: dict[str, Tensor], keys: Sequence[tuple[str, str]]) -> Method:
    """Load ``weights`` under the authors' names; every one, and every parameter of the method, must find its place."""
    renamed = {}
    for official, value in weights.items():
        (theirs, ours), *_ = [pair for pair in keys if official.startswith(pair[0])]
        renamed[ours + official.removeprefix(theirs)] = value
    missing, surplus = method.load_state_dict(renamed, strict=False)
    assert not surplus and not set(missing).intersection(dict(method.named_parameters()))
    return method.eval()
