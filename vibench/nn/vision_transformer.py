"""A vision transformer with overlapping patches: ViT-B/16 of torchvision with another stride, and drop path."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.nn.backbone import Backbone
from vibench.nn.pretrained import load_pretrained
from vibench.nn.torchvision_ops import import_torchvision
from vibench.nn.transformer_weights import reading

VisionArchitecture = Literal["vit-b-16", "vit-slim"]
"""ViT-B/16 of torchvision, and a transformer of four thin blocks for twins and tests on a CPU."""

PATCH = 16
"""Height and width of a patch, in pixels."""


@dataclass(frozen=True)
class Shape:
    """What sets one architecture apart from another."""

    blocks: int
    heads: int
    width: int
    """Channels of a token; those between the two layers of a perceptron are four times as many."""


SHAPES: dict[str, Shape] = {"vit-b-16": Shape(12, 12, 768), "vit-slim": Shape(4, 4, 64)}


@dataclass(frozen=True)
class Attention:
    """Which tokens look at which, block by block."""

    weights: Tensor
    """(blocks, B, heads, 1 + h * w, 1 + h * w): rows sum to 1; the class token is the first, then the patches row by
    row."""
    grid: tuple[int, int]
    """h and w, the patches of an image."""


class VisionTransformer(Backbone):
    """ViT (Dosovitskiy et al., ICLR 2021) that sees both modalities by the same weights, with overlapping patches.

    Patches of 16 x 16 pixels lie ``stride`` pixels apart, without padding; a smaller stride makes them overlap (He et
    al., "TransReID", ICCV 2021, Sec. 3.1). Parameters have torchvision's names: ``class_token``, ``conv_proj`` and
    ``encoder``. The feature of an image is its class token behind the last norm.
    """

    def __init__(
        self,
        architecture: VisionArchitecture,
        height: int,
        width: int,
        stride: int = PATCH,
        layer_norm_epsilon: float = 1e-6,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        pretrained: str | Path = "none",
    ) -> None:
        """For images of ``height`` x ``width`` pixels, which the position embedding is made for.

        ``dropout``: behind the positions, the attention and both layers of the perceptron. ``drop_path``: probability
        that an image skips a branch of the last block; from 0 in the first it rises linearly (Huang et al., "Deep
        Networks with Stochastic Depth", ECCV 2016). ``pretrained``: `vibench.nn.pretrained.load_pretrained`; positions
        of another grid are interpolated (`vibench.nn.transformer_weights`).
        """
        super().__init__()
        shape = SHAPES[architecture]
        self.grid = ((height - PATCH) // stride + 1, (width - PATCH) // stride + 1)
        network = _torchvision_network(shape, layer_norm_epsilon, dropout)
        self.class_token, self.conv_proj, self.encoder = network.class_token, network.conv_proj, network.encoder
        self.conv_proj.stride = (stride, stride)
        positions = torch.empty(1, 1 + self.grid[0] * self.grid[1], shape.width)
        self.encoder.pos_embedding = nn.Parameter(nn.init.normal_(positions, std=0.02))
        last = max(shape.blocks - 1, 1)
        self.drop_path = nn.ModuleList(DropPath(drop_path * block / last) for block in range(shape.blocks))
        self.out_channels = shape.width
        load_pretrained(self, architecture, pretrained, reading(self.grid))

    def forward(self, visible: Tensor | None = None, infrared: Tensor | None = None) -> Tensor:
        """The feature (B, C) of every image; rows as in `Backbone.forward`.

        Raises `ValueError` for images of another size than the network is made for.
        """
        tokens = self._tokens(torch.cat([images for images in (visible, infrared) if images is not None]))
        for block, drop_path in zip(self.encoder.layers, self.drop_path, strict=True):
            tokens = _run_block(block, drop_path, tokens)
        return self.encoder.ln(tokens)[:, 0]

    def attention(self, images: Tensor) -> Attention:
        """The attention weights of all blocks for normalised images (B, 3, H, W)."""
        tokens, weights = self._tokens(images), []
        for block, drop_path in zip(self.encoder.layers, self.drop_path, strict=True):
            query, key, _ = _heads(block.self_attention, block.ln_1(tokens))
            weights.append((query @ key.mT / query.shape[-1] ** 0.5).softmax(dim=-1))
            tokens = _run_block(block, drop_path, tokens)
        return Attention(torch.stack(weights), self.grid)

    def _tokens(self, images: Tensor) -> Tensor:
        """Class token and patches with their positions (B, 1 + h * w, C)."""
        patches = self.conv_proj(images)
        if tuple(patches.shape[2:]) != self.grid:
            height, width = images.shape[2:]
            raise ValueError(
                f"images of {height} x {width} pixels have {patches.shape[2]} x {patches.shape[3]} patches, and the "
                f"network has positions for {self.grid[0]} x {self.grid[1]}; resize them."
            )
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), patches.flatten(2).mT], dim=1)
        return self.encoder.dropout(tokens + self.encoder.pos_embedding)


class DropPath(nn.Module):
    """Leaves out a branch for whole images, in training; that of the others counts 1 / (1 - ``probability``) times."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        # One number per image by the layer that several processes draw alike (`vibench.distributed.layers`).
        self.per_image = nn.Dropout(probability)

    def forward(self, branch: Tensor) -> Tensor:
        """Shape as that of ``branch`` (B, N, C)."""
        if not self.training or self.per_image.p == 0:
            return branch
        return branch * self.per_image(branch.new_ones(len(branch), 1, 1))


def _torchvision_network(shape: Shape, layer_norm_epsilon: float, dropout: float) -> Any:
    return import_torchvision().models.VisionTransformer(
        image_size=PATCH,  # of the positions, which the caller makes
        patch_size=PATCH,
        num_layers=shape.blocks,
        num_heads=shape.heads,
        hidden_dim=shape.width,
        mlp_dim=4 * shape.width,
        dropout=dropout,
        norm_layer=partial(nn.LayerNorm, eps=layer_norm_epsilon),
    )


def _run_block(block: Any, drop_path: nn.Module, tokens: Tensor) -> Tensor:
    """One of torchvision's encoder blocks with drop path on both branches.

    Its own forward has none; and outside of training its attention takes a kernel that rounds otherwise and whose
    operations nobody counts.
    """
    attention = block.self_attention
    attended = functional.scaled_dot_product_attention(*_heads(attention, block.ln_1(tokens)))
    attended = attention.out_proj(attended.transpose(1, 2).flatten(2))
    tokens = tokens + drop_path(block.dropout(attended))
    return tokens + drop_path(block.mlp(block.ln_2(tokens)))


def _heads(attention: nn.MultiheadAttention, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values (B, heads, N, C / heads) of tokens (B, N, C)."""
    packed = functional.linear(tokens, attention.in_proj_weight, attention.in_proj_bias)
    query, key, value = packed.unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return query, key, value
