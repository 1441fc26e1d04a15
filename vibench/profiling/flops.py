"""Floating-point operations of embedding an image, and of whatever else runs.

A multiply-accumulate counts as two operations. Only matrix products, convolutions and attention are counted, as
`torch.utils.flop_counter` does; normalisations, activations, pooling and pairwise Euclidean distances are not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from vibench.methods.base import Method
from vibench.modality import MODALITIES

Shape = tuple[int, ...]


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
    aten = torch.ops.aten
    on_a_cpu = {
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    }
    with FlopCounterMode(display=False, custom_mapping=on_a_cpu) as counter:
        work()
    return int(counter.get_total_flops())


# PyTorch counts the kernels of attention that GPUs have, by the shapes of their arguments, and not the one of a CPU.


def _attention(query: Shape, key: Shape, value: Shape, *_: object, **__: object) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(slope: Shape, query: Shape, key: Shape, value: Shape, *_: object, **__: object) -> int:
    return sdpa_backward_flop_count(slope, query, key, value)
