"""Attention roll-out of a vision transformer: which patches its class token has come from."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vibench.methods.base import Method
from vibench.nn.vision_transformer import Attention


@torch.no_grad()
def attention_rollout(attention: Attention) -> Tensor:
    """How much of each patch is in the class token behind the last block, (B, h, w).

    Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, Sec. 3: in every block half of a token
    is itself, by the skip connection, and half the attention's mean over the heads; the blocks' matrices are
    multiplied. What is left of the class token itself, which is the rest to 1, is not shown.
    """
    flow = torch.eye(attention.weights.shape[-1], dtype=torch.float64, device=attention.weights.device)
    for weights in attention.weights.double().mean(dim=2):
        flow = (weights @ flow + flow) / 2.0
    return flow[:, 0, 1:].unflatten(1, attention.grid)


def has_rollout(method: type[Method]) -> bool:
    """Whether a method is a transformer that tells its attention."""
    return method.token_attention is not Method.token_attention


def rollout_map(method: Method, image: Tensor, modality: str) -> np.ndarray:
    """The roll-out (h, w) float32 of one normalised image (1, 3, H, W), of a method that `has_rollout`.

    Unlike Grad-CAM it says where the network looks, and not what speaks for a pair.
    """
    with torch.no_grad():
        attention = method.token_attention(image, modality)
    assert attention is not None
    return attention_rollout(attention)[0].float().cpu().numpy()
