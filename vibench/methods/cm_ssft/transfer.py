"""The shared-specific transfer network (SSTN): features flow along a graph of nearest neighbours."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.losses.distance import same_identity
from vibench.methods.cm_ssft.feature_block import FeatureBlock
from vibench.modality import CODE, VISIBLE
from vibench.nn.precision import at_least_float32

EPSILON = 1e-12
"""Smallest squared distance under a square root, whose gradient at 0 is infinite."""


def segments(shared: Tensor, specific: Tensor, modality: Tensor) -> Tensor:
    """Z (B, 3D) = [P; H; 0] of a visible and [0; H; P] of an infrared image, Eq. (5); modality codes (B,)."""
    visible = (modality == CODE[VISIBLE])[:, None]
    return torch.cat([specific * visible, shared, specific * ~visible], dim=1)


def shared_of(padded: Tensor) -> Tensor:
    """H (B, D) of Z (B, 3D)."""
    return padded.chunk(3, dim=1)[1]


def specific_of(padded: Tensor) -> Tensor:
    """P (B, D) of Z (B, 3D), of whichever modality: the other slot is zero."""
    visible, _, infrared = padded.chunk(3, dim=1)
    return visible + infrared


def affinity(one: Tensor, other: Tensor) -> Tensor:
    """d(a, b) = 1 - |a/|a| - b/|b|| / 2, from 0 to 1, of all rows a (..., N, D) and b (..., M, D), Eq. (7)."""
    cosine = functional.normalize(one, dim=-1) @ functional.normalize(other, dim=-1).mT
    return 1.0 - 0.5 * (2.0 - 2.0 * cosine).clamp(min=EPSILON).sqrt()


def training_graph(padded: Tensor, modality: Tensor, k: int) -> Tensor:
    """A (B, B) of a batch's Z (B, 3D), Eq. (6) and (8): rows keep their k largest entries in each of the two blocks.

    Within a modality affinities are those of P, with 1 on the diagonal, across modalities those of H. Which entries
    are kept is a constant of the gradient.
    """
    same = same_identity(modality)
    itself = torch.eye(len(modality), dtype=torch.bool, device=padded.device)
    within, across = (affinity(part, part) for part in (specific_of(padded), shared_of(padded)))
    entries = torch.where(same, within, across).masked_fill(itself, 1.0)
    return entries * (_largest(entries, same, k) | _largest(entries, ~same, k))


def _largest(entries: Tensor, block: Tensor, k: int) -> Tensor:
    """(B, B) bool: the k largest entries of every row among those that ``block`` (B, B) marks."""
    inside = entries.detach().masked_fill(~block, -1.0)
    chosen = inside.topk(min(k, inside.shape[1]), dim=1).indices
    return torch.zeros_like(block).scatter_(1, chosen, True) & block


class TransferNetwork(nn.Module):
    """T = Feat(ReLU(D^-1/2 A D^-1/2 Z W)), Eq. (10) and (11), over the graph A of all images of a batch.

    Modules: ``mix`` is W, ``block`` is Feat. `vibench.methods.cm_ssft.query_graph` runs it in testing.
    """

    def __init__(
        self, features: int, dim: int, k: int, bnneck: bool, sht: bool, spt: bool, affinity_grad: bool
    ) -> None:
        """From H and P of width ``features`` to T of width ``dim``.

        ``sht`` and ``spt``: whether H and whether P are transferred; their slots of Z are zero where not.
        ``affinity_grad``: whether the gradient reaches A and D, or Z and W alone.
        """
        super().__init__()
        self.k = k
        self.sht, self.spt = sht, spt
        self.affinity_grad = affinity_grad
        self.mix = nn.Linear(3 * features, dim, bias=False)
        self.block = FeatureBlock(dim, bnneck)

    def mixed(self, padded: Tensor) -> Tensor:
        """Z W (B, dim) of Z (B, 3D), without the slots that are not transferred."""
        visible, shared, infrared = padded.chunk(3, dim=1)
        if not self.sht:
            shared = torch.zeros_like(shared)
        if not self.spt:
            visible, infrared = torch.zeros_like(visible), torch.zeros_like(infrared)
        return self.mix(torch.cat([visible, shared, infrared], dim=1))

    def forward(self, padded: Tensor, modality: Tensor) -> tuple[Tensor, Tensor]:
        """Z (B, 3D) and modality codes (B,) of a batch -> f and g of T, (B, dim) each, float32 at least."""
        with torch.autocast(padded.device.type, enabled=False):
            padded = at_least_float32(padded)
            graph = training_graph(padded, modality, self.k)
            if not self.affinity_grad:
                graph = graph.detach()
            scale = graph.sum(dim=1).rsqrt()
            spread = (scale[:, None] * graph * scale[None, :]) @ self.mixed(padded)
            return self.block(spread.relu())
