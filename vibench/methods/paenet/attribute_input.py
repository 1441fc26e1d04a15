"""Which attribute code the progressive embedding is given in training."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

AttributeSource = Literal["gt", "mixed", "pred"]


class AttributeInput(nn.Module):
    """Ground-truth bits, predictions, or ever more of the latter; and the mean of the bits that were met.

    ``mixed``: each image of a batch takes its prediction with a probability that is 0 in the first ``gt_epochs``
    epochs and then rises by equal steps to 1 in epoch ``pred_epoch`` (from 0). An image without label takes its
    prediction, with ``gt`` the mean. No gradient flows through the code.
    """

    epochs_trained: Tensor
    """Number of the open epoch, so that a run that was interrupted goes on as it would have."""
    bit_sums: Tensor
    images: Tensor

    def __init__(self, attributes: int, source: AttributeSource, gt_epochs: int, pred_epoch: int) -> None:
        super().__init__()
        self.source = source
        self.gt_epochs = gt_epochs
        self.rise = max(pred_epoch - gt_epochs, 0) + 1
        self.register_buffer("epochs_trained", torch.zeros((), dtype=torch.int64))
        self.register_buffer("bit_sums", torch.zeros(attributes))
        self.register_buffer("images", torch.zeros(()))

    @property
    def mean(self) -> Tensor:
        """Mean of each bit (n,) over the labelled images met in training; 0.5 before the first."""
        return torch.where(self.images > 0, self.bit_sums / self.images.clamp(min=1.0), 0.5)

    @property
    def prediction_rate(self) -> Tensor:
        """Probability (scalar) that an image takes its prediction in the open epoch."""
        fixed = {"gt": 0.0, "pred": 1.0}.get(self.source)
        if fixed is not None:
            return torch.full((), fixed, device=self.images.device)
        return ((self.epochs_trained - self.gt_epochs + 1) / self.rise).clamp(0.0, 1.0)

    def forward(self, bits: Tensor, known: Tensor, predicted: Tensor | None) -> Tensor:
        """Bits (B, n) with a mark (B,) where they are known, predictions (B, n) or None -> code (B, n)."""
        if self.training:
            with torch.no_grad():
                self.bit_sums += (bits * known[:, None]).sum(dim=0)
                self.images += known.sum()
        if predicted is None or self.source == "gt":
            return torch.where(known[:, None], bits, self.mean.to(bits.dtype))
        takes_bits = known & (torch.rand(len(bits), device=bits.device) >= self.prediction_rate)
        return torch.where(takes_bits[:, None], bits, predicted.detach().to(bits.dtype))
