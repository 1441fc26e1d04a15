"""The methods that PAENet's parts plug into.

A host offers its way in two halves, so that something can come between them: ``batch_maps`` and ``image_maps`` lead
from images to the feature map, ``map_losses`` and ``map_features`` from the map to what ``losses`` and ``embed`` give.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from vibench.files.toml import parse_table
from vibench.methods.agw import AGW
from vibench.methods.ddag import DDAG
from vibench.methods.hct import HCT
from vibench.methods.mmd import MMD
from vibench.methods.mpanet import MPANet
from vibench.methods.sections import Recipe

Host = AGW | DDAG | HCT | MMD | MPANet

HOSTS: dict[str, type[AGW] | type[DDAG] | type[HCT] | type[MMD] | type[MPANet]] = {
    "agw": AGW,
    "ddag": DDAG,
    "hct": HCT,
    "mmd": MMD,
    "mpanet": MPANet,
}


def host_options(name: str, table: dict[str, Any], backbone: str) -> Any:
    """The options of the host ``name`` from a ``[model]`` table of its own; `UsageError` for a key it does not know."""
    return parse_table(HOSTS[name].options, {**table, "backbone": backbone}, "[model.host_model]")


def build_host(recipe: Recipe, num_classes: int, pretrained: str | Path) -> Host:
    """The host of a PAENet recipe; what is not of the model it shares with that recipe."""
    cls = HOSTS[recipe.model.host]
    own = replace(
        recipe,
        method=cls.name,
        variant="",
        model=host_options(recipe.model.host, recipe.model.host_model, recipe.model.backbone),
        loss_weights={name: weight for name, weight in recipe.loss_weights.items() if name in cls.loss_names},
    )
    return cls(own, num_classes, pretrained)
