"""Graph attention: every node becomes a weighted mean of its neighbours."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.nn.precision import at_least_float32

XAVIER_GAIN = 1.414


class GraphAttention(nn.Module):
    """One head: x'_i = sum_j alpha_ij h_j with h = x W, j running over the neighbours of i.

    alpha_i is the softmax over j of LeakyReLU(a^T [h_i || h_j]), with dropout. Velickovic et al., "Graph Attention
    Networks", ICLR 2018, Eq. (1) to (4) without the outer activation; DDAG (Ye et al., ECCV 2020), Eq. (7).

    The N x N pairs [h_i || h_j] are never built: with the halves a_1, a_2 of a the score is a_1.h_i + a_2.h_j.
    Parameters: ``W`` (in_features, out_features) and ``a`` (2 * out_features, 1), Xavier-uniform with gain 1.414.
    """

    def __init__(self, in_features: int, out_features: int, dropout: float = 0.0, slope: float = 0.2) -> None:
        """``dropout``: share of the attention weights zeroed in training. ``slope``: of LeakyReLU below 0."""
        super().__init__()
        self.W = nn.Parameter(torch.empty(in_features, out_features))
        self.a = nn.Parameter(torch.empty(2 * out_features, 1))
        self.dropout = nn.Dropout(dropout)
        self.slope = slope
        for parameter in (self.W, self.a):
            nn.init.xavier_uniform_(parameter, gain=XAVIER_GAIN)

    def forward(self, nodes: Tensor, neighbours: Tensor) -> Tensor:
        """Nodes (N, in_features) -> (N, out_features), float32 at least.

        ``neighbours`` (N, N) bool: row i marks the nodes that node i attends to, at least one.
        """
        with torch.autocast(nodes.device.type, enabled=False):
            hidden = at_least_float32(nodes) @ self.W
            to, of = (hidden @ self.a.view(2, -1).T).unbind(1)
            scores = functional.leaky_relu(to[:, None] + of[None, :], self.slope)
            attention = scores.masked_fill(~neighbours, float("-inf")).softmax(dim=1)
            return self.dropout(attention) @ hidden
