"""Files of starting weights of a vision transformer: timm's names, and positions of another grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as functional
from torch import Tensor

from vibench.nn.pretrained import Reading

POSITIONS = "encoder.pos_embedding"

MOST_BLOCKS = 32

TIMM_NAMES = (
    ("cls_token", "class_token"),
    ("pos_embed", POSITIONS),
    ("patch_embed.proj.", "conv_proj."),
    *(
        (f"blocks.{block}.{theirs}", f"encoder.layers.encoder_layer_{block}.{ours}")
        for block in range(MOST_BLOCKS)
        for theirs, ours in (
            ("norm1.", "ln_1."),
            ("norm2.", "ln_2."),
            ("attn.qkv.", "self_attention.in_proj_"),
            ("attn.proj.", "self_attention.out_proj."),
            ("mlp.fc1.", "mlp.0."),
            ("mlp.fc2.", "mlp.3."),
        )
    ),
    ("norm.", "encoder.ln."),
)
"""Prefix of timm's names, which TransReID and PMT have too -> prefix of torchvision's."""


def torchvision_name(name: str) -> str:
    """torchvision's name of a parameter that timm names; another name as it is."""
    for theirs, ours in TIMM_NAMES:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    # torchvision before 0.13.
    return name.replace(".mlp.linear_1.", ".mlp.0.").replace(".mlp.linear_2.", ".mlp.3.")


def reading(grid: tuple[int, int]) -> Reading:
    """How starting weights of a transformer with ``grid`` patches are read."""
    return Reading("a vision transformer", ("head", "dist"), torchvision_name, partial(_with_positions, grid))


def _with_positions(grid: tuple[int, int], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = state.get(POSITIONS)
    if found is None or found.ndim != 3 or not found.is_floating_point():
        return dict(state)
    return {**state, POSITIONS: resize_positions(found.float(), grid)}


def resize_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Position embedding (1, 1 + n * n, C) of a square grid -> (1, 1 + h * w, C), bilinearly; one of another as it is.

    The class token keeps its own. Positions of a grid of the wanted number of patches are taken for those wanted.
    hulu88/PMT, as He et al., "TransReID", ICCV 2021, Sec. 3.1.
    """
    count = positions.shape[1] - 1
    side = math.isqrt(max(count, 0))
    if count == grid[0] * grid[1] or count < 1 or side * side != count:
        return positions
    token, patches = positions[:, :1], positions[:, 1:]
    square = patches.unflatten(1, (side, side)).permute(0, 3, 1, 2)
    resized = functional.interpolate(square, size=grid, mode="bilinear", align_corners=False)
    return torch.cat([token, resized.flatten(2).mT], dim=1)
