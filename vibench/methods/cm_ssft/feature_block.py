"""The feature block Feat: what makes a feature vector of a pooled one."""

from __future__ import annotations

from torch import Tensor, nn

from vibench.nn.neck import bn_neck
from vibench.nn.precision import at_least_float32


class FeatureBlock(nn.Module):
    """From a pooled vector to f, which triplet losses meet, and g, which everything else meets.

    With ``bnneck`` f is the input and g its batch normalisation (`vibench.nn.neck.bn_neck`); without, both are one
    vector, a linear map of the input. cm-SSFT (Lu et al., CVPR 2020), Eq. (1) and (11), Sec. 4.1.
    """

    def __init__(self, features: int, bnneck: bool) -> None:
        super().__init__()
        self.bnneck = bnneck
        self.layer: nn.Module = bn_neck(features) if bnneck else nn.Linear(features, features)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) -> f and g, (B, D) each, float32 at least."""
        g = at_least_float32(self.layer(pooled))
        return (at_least_float32(pooled) if self.bnneck else g), g
