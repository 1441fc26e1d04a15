"""Centre loss with learnt centres, an alternative to the centre-cluster loss in MPANet's comparisons."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vibench.nn.precision import at_least_float32


class CentreLoss(nn.Module):
    """Mean over images and identities of [label = identity] |f - centre|^2, the centres learnt from N(0, 1).

    Wen et al., "A Discriminative Feature Learning Approach for Deep Face Recognition", ECCV 2016, in the form of
    MPANet's official code, which divides by the number of identities too.
    """

    def __init__(self, num_classes: int, features: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(num_classes, features))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Scalar of ``embeddings`` (B, D) and ``labels`` (B,)."""
        squares = (at_least_float32(embeddings) - self.centres[labels]).square().sum(dim=1)
        return squares.mean() / len(self.centres)
