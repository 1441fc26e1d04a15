"""Floating-point operations of embedding an image, and of whatever else runs.

A multiply-accumulate counts as two operations. Only matrix products, convolutions and attention are counted, as
`torch.utils.flop_counter` does; normalisations, activations, pooling and pairwise Euclidean distances are not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.utils.flop_counter import FlopCounterMode

from vibench.methods.base import Method
from vibench.modality import MODALITIES


def count_flops(method: Method, height: int, width: int) -> int:
    """Operations of ``method.embed`` on one image of ``height`` x ``width`` pixels, in eval mode.

    Of two modalities that cost differently, the dearer.
    """
    device = next(method.parameters()).device
    image = torch.zeros(1, 3, height, width, device=device)
    training = method.training
    method.eval()
    try:
        totals = []
        for modality in MODALITIES:
            with torch.no_grad():
                totals.append(flops_of(partial(method.embed, image, modality)))
    finally:
        method.train(training)
    return max(totals)


def flops_of(work: Callable[[], object]) -> int:
    """Operations of running ``work`` once, those of a backward pass in it included."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())
