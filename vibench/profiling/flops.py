"""Floating-point operations to embed one image."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from vibench.methods.base import Method
from vibench.modality import MODALITIES


def count_flops(method: Method, height: int, width: int) -> int:
    """Operations of ``method.embed`` on one image of ``height`` x ``width`` pixels, in eval mode.

    A multiply-accumulate counts as two operations. Only matrix products, convolutions and attention are counted,
    as `torch.utils.flop_counter` does; normalisations, activations and pooling are not. Of two modalities that cost
    differently, the dearer.
    """
    device = next(method.parameters()).device
    image = torch.zeros(1, 3, height, width, device=device)
    training = method.training
    method.eval()
    try:
        totals = []
        for modality in MODALITIES:
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                method.embed(image, modality)
            totals.append(counter.get_total_flops())
    finally:
        method.train(training)
    return int(max(totals))
