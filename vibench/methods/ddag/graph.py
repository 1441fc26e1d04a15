"""Cross-modality graph structured attention (CGSA), the graph branch of DDAG's training."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.losses.distance import same_identity
from vibench.nn.graph_attention import GraphAttention

ALL_NEIGHBOURS = -1


class IdentityGraph(nn.Module):
    """From the pooled features of a batch to identity log-probabilities, by attention among images of one identity.

    Dropout, ``heads`` attention heads of width ``dim`` with ELU, concatenated, dropout, one more head that scores the
    identities, log-softmax. DDAG (Ye et al., ECCV 2020), Eq. (6) to (9). ``output_elu``: an ELU before the
    log-softmax, as in the official code and not in Eq. (9).
    """

    def __init__(
        self, features: int, num_classes: int, heads: int, dim: int, dropout: float, output_elu: bool = True
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleList(GraphAttention(features, dim, dropout) for _ in range(heads))
        self.output = GraphAttention(heads * dim, num_classes, dropout)
        self.output_elu = output_elu

    def forward(self, nodes: Tensor, neighbours: Tensor) -> Tensor:
        """Nodes (N, D) and `identity_neighbours` (N, N) -> log-probabilities (N, C), float32."""
        nodes = self.dropout(nodes)
        hidden = torch.cat([functional.elu(head(nodes, neighbours)) for head in self.heads], dim=1)
        scores = self.output(self.dropout(hidden), neighbours)
        return functional.log_softmax(functional.elu(scores) if self.output_elu else scores, dim=1)


def identity_neighbours(labels: Tensor, count: int = ALL_NEIGHBOURS) -> Tensor:
    """(N, N) bool: row i marks the images of i's identity, of either modality, itself included.

    ``count``: a random choice of so many of them for every row, itself among them; -1 (`ALL_NEIGHBOURS`) keeps all.
    """
    same = same_identity(labels)
    if count == ALL_NEIGHBOURS:
        return same
    # Ranks of random keys: others of the identity draw from [0, 1), the node itself stands first, the rest last.
    keys = torch.rand(same.shape, device=labels.device).masked_fill(~same, 2.0)
    keys.fill_diagonal_(-1.0)
    rank = keys.argsort(dim=1).argsort(dim=1)
    return same & (rank < count)
