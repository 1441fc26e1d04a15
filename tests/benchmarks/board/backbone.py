"""A common start for all methods of a family: a one-stream network that has learnt the identities of another twin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.board.scale import SYSU, Scale
from vibench.datasets.twin.make import make_twin
from vibench.files.writing import atomic_path
from vibench.methods.recipe import load_recipe
from vibench.training.checkpoint import load_method
from vibench.training.run import train_or_resume
from vibench.training.spec import TrainingSpec

SEED = 1000
"""Of the twin that the backbone is trained on, which shows nobody of the board's."""


@dataclass(frozen=True)
class Teacher:
    """What a backbone is trained as."""

    method: str
    variant: str
    prefix: str
    """Of the backbone's names in the method."""
    settings: tuple[str, ...] = ()


RESNET = Teacher("baseline", "one-stream", "backbone.shared.", ("model.loss=id+triplet",))
TRANSFORMER = Teacher("pmt", "base", "backbone.")


def common_starts(folder: Path, scale: Scale) -> dict[str, str]:
    """The file that every backbone of a scale starts from; empty where they start from random weights."""
    if not scale.common_backbone:
        return {}
    return {backbone: str(common_backbone(folder, scale, backbone).absolute()) for backbone in scale.backbones}


def common_backbone(folder: Path, scale: Scale, backbone: str) -> Path:
    """The state dict of the trained ``backbone``, in ``folder``; made where it is absent."""
    weights = folder / f"{backbone}.pt"
    teacher = TRANSFORMER if backbone.startswith("vit") else RESNET
    if not weights.exists():
        root = make_twin("sysu-mm01", scale.twin, SEED, folder / SYSU)
        epochs = scale.backbone_epochs
        changes = [
            *scale.settings(teacher.method, teacher.variant, SYSU),
            *teacher.settings,
            # Many identities with few images each: what is learnt so carries over better than from the board's batches.
            f"sampler.identities={2 * scale.identities}",
            f"sampler.images={max(2, scale.images // 2)}",
            'optimizer.name="adamw"',
            "optimizer.lr=0.0015",
            "optimizer.backbone_lr_factor=1.0",
            f"schedule.epochs={epochs}",
            f"schedule.milestones=[{2 * epochs // 3}, {8 * epochs // 9}]",
        ]
        recipe = load_recipe(teacher.method, teacher.variant, SYSU, changes)
        run = train_or_resume(TrainingSpec(recipe, root, pretrained="none", folder=folder / f"run-{backbone}"), "auto")
        state: dict[str, Any] = load_method(run.checkpoint_path, torch.device("cpu")).state_dict()
        prefix = teacher.prefix
        found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        with atomic_path(weights) as temporary:
            torch.save(found, temporary)
    return weights
