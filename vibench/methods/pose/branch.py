"""The pose-estimation branch: from the first shared features to keypoint features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vibench.methods.pose.layers import convolution
from vibench.methods.pose.refinement import refinement_trunk


class PoseBranch(nn.Module):
    """Pose-Estimation Branch (PEB) of Pose (Miao et al., Neurocomputing 2023), Sec. III-B.

    From the shared features F_S (channels, H/8, W/8): ``conv1`` gives F_p1, ``dconv2`` F_p2 at twice the resolution,
    ``initial`` a first estimate of the heatmaps, ``refinement`` the refined features F_R (``refined_channels``) of
    both; ``conv3`` and ``block6`` bring F_R back to the resolution and the width of the re-ID branch. The widths are
    halves and quarters of F_S's, 512 with ResNet-50. Eq. (2), (3), (5), (6).

    F_P has no ReLU, as in the official code: behind one, the mask could not fall below 1/2.
    """

    def __init__(self, channels: int, out_channels: int, heatmap_channels: int) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.refined_channels = quarter
        self.conv1 = convolution(channels, half)
        self.dconv2 = nn.Sequential(
            nn.ConvTranspose2d(half, quarter, 3, stride=2, padding=1, output_padding=1, bias=False),
            nn.BatchNorm2d(quarter),
            nn.ReLU(inplace=True),
        )
        self.initial = convolution(quarter, heatmap_channels)
        self.refinement = refinement_trunk(quarter + heatmap_channels, quarter)
        self.conv3 = convolution(quarter, half, stride=2)
        self.block6 = nn.Sequential(
            convolution(half, channels, stride=2),
            nn.Conv2d(channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, shared: Tensor) -> tuple[Tensor, Tensor]:
        """F_S (B, channels, H/8, W/8) -> F_P (B, out_channels, H/16, W/16) and F_R (B, refined_channels, H/4, W/4)."""
        low = self.conv1(shared)
        high = self.dconv2(low)
        refined = self.refinement(torch.cat([high, self.initial(high)], dim=1))
        return self.block6(self.conv3(refined) + low), refined
