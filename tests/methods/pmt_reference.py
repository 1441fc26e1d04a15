"""PMT's test-time features from the official state dict, written out operation by operation in float64."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

WIDTH, HEADS, BLOCKS = 768, 12, 12
PATCH, STRIDE = 16, 12


class Reference:
    """Features before and behind the neck, by loops over images, patches and heads."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state = {name: tensor.double() for name, tensor in state.items()}

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """f and g (B, 768) of images (B, 3, H, W)."""
        f = torch.stack([self._token(image.double()) for image in images])
        mean, variance = self.state["bottleneck.running_mean"], self.state["bottleneck.running_var"]
        g = (f - mean) / torch.sqrt(variance + 1e-5)
        return f, g * self.state["bottleneck.weight"] + self.state["bottleneck.bias"]

    def _token(self, image: Tensor) -> Tensor:
        kernel, bias = self.state["base.patch_embed.proj.weight"].flatten(1), self.state["base.patch_embed.proj.bias"]
        tokens = [self.state["base.cls_token"][0, 0]]
        for top in range(0, image.shape[1] - PATCH + 1, STRIDE):
            for left in range(0, image.shape[2] - PATCH + 1, STRIDE):
                tokens.append(kernel @ image[:, top : top + PATCH, left : left + PATCH].flatten() + bias)
        x = torch.stack(tokens) + self.state["base.pos_embed"][0]
        for block in range(BLOCKS):
            at = f"base.blocks.{block}"
            x = x + self._attention(self._norm(x, f"{at}.norm1"), f"{at}.attn")
            hidden = self._linear(self._norm(x, f"{at}.norm2"), f"{at}.mlp.fc1")
            hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
            x = x + self._linear(hidden, f"{at}.mlp.fc2")
        return self._norm(x, "base.norm")[0]

    def _attention(self, x: Tensor, at: str) -> Tensor:
        packed, size = self._linear(x, f"{at}.qkv"), WIDTH // HEADS
        heads = []
        for head in range(HEADS):
            query, key, value = (packed[:, WIDTH * part + size * head :][:, :size] for part in range(3))
            weights = torch.exp(query @ key.T / math.sqrt(size))
            heads.append(weights / weights.sum(dim=1, keepdim=True) @ value)
        return self._linear(torch.cat(heads, dim=1), f"{at}.proj")

    def _linear(self, x: Tensor, at: str) -> Tensor:
        return x @ self.state[f"{at}.weight"].T + self.state[f"{at}.bias"]

    def _norm(self, x: Tensor, at: str) -> Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        scale = torch.sqrt((centred**2).mean(dim=1, keepdim=True) + 1e-5)
        return centred / scale * self.state[f"{at}.weight"] + self.state[f"{at}.bias"]
