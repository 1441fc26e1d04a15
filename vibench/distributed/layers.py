"""Layers that see a share of a batch and do what they would do with the whole of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vibench.distributed.dealt import Dealt
from vibench.distributed.world import World


def see_whole_batches(modules: Iterable[nn.Module], dealt: Dealt, device: torch.device, batch_norm: bool) -> None:
    """Replace what depends on a batch inside of ``modules``, which see this process's share: dropout and batch norm.

    Weights and buffers stay the same objects under the same names. Dropout draws for the whole batch, so that shares
    are dropped as they would be in one process and random numbers stay in step. With ``batch_norm`` statistics are
    those of the whole batch: PyTorch's synchronised norm on CUDA, `WholeBatchNorm` on the CPU, where that does not
    run. Without, every process normalises its share by itself, and the running statistics are the leader's.
    """
    if dealt.world.size == 1:
        return
    for module in modules:
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm) and batch_norm:
                on_gpu = device.type == "cuda"
                synchronised = (
                    nn.SyncBatchNorm.convert_sync_batchnorm(child) if on_gpu else WholeBatchNorm(child, dealt)
                )
                setattr(module, name, synchronised)
            elif isinstance(child, nn.Dropout):
                setattr(module, name, WholeDropout(child, dealt))
            else:
                see_whole_batches((child,), dealt, device, batch_norm)


class WholeBatchNorm(_BatchNorm):
    """Batch norm of (b, C), (b, C, L) or (b, C, H, W) by the statistics of the whole batch, on any device."""

    def __init__(self, norm: _BatchNorm, dealt: Dealt) -> None:
        """Take the place of ``norm``, whose weights and buffers are shared."""
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.train(norm.training)
        self._world = dealt.world

    def _check_input_dim(self, input: Tensor) -> None:
        return None

    def forward(self, input: Tensor) -> Tensor:
        """Shape and type as the input's."""
        if not self.training:
            return super().forward(input)
        rows = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
        axes = [axis for axis in range(rows.ndim) if axis != 1]
        shape = [1, -1] + [1] * (rows.ndim - 2)
        count = rows.new_tensor([rows.numel() / rows.shape[1]])
        self._world.sum(count)
        mean = summed(rows.sum(axes), self._world) / count
        centred = rows - mean.view(shape)
        variance = summed(centred.square().sum(axes), self._world) / count
        self._follow(mean.detach(), variance.detach() * (count / (count - 1)))
        scale = (variance + self.eps).rsqrt()
        if self.weight is not None:
            scale = scale * self.weight
        output = centred * scale.view(shape)
        if self.bias is not None:
            output = output + self.bias.view(shape)
        return output.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        rate = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
        self.running_var.lerp_(variance.to(self.running_var.dtype), rate)


class WholeDropout(nn.Dropout):
    """Dropout whose mask is drawn for the whole batch and then dealt."""

    def __init__(self, dropout: nn.Dropout, dealt: Dealt) -> None:
        """Take the place of ``dropout``."""
        super().__init__(dropout.p)
        self.train(dropout.training)
        self._dealt = dealt

    def forward(self, input: Tensor) -> Tensor:
        """Shape as the input's."""
        if not self.training or self.p == 0:
            return input
        # Random numbers are laid down in the order of memory, so the mask must have the memory format of the input.
        channels_last = input.ndim == 4 and input.is_contiguous(memory_format=torch.channels_last)
        mask = torch.empty(
            self._dealt.whole_shape(input),
            dtype=input.dtype,
            device=input.device,
            memory_format=torch.channels_last if channels_last else torch.contiguous_format,
        )
        kept = 1.0 - self.p
        return input * self._dealt.take(mask.bernoulli_(kept).div_(kept))


def summed(tensor: Tensor, world: World) -> Tensor:
    """The sum of a tensor over the processes; its gradient is the sum of theirs."""
    return _Summed.apply(tensor, world)


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, world: World) -> Tensor:
        ctx.world = world
        total = tensor.clone(memory_format=torch.contiguous_format)
        world.sum(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        ctx.world.sum(total)
        return total, None
