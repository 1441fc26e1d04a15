"""A batch dealt to several processes by identity, and its rows brought together again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vibench.distributed.world import World
from vibench.errors import UsageError


class Dealt:
    """How the P identities of every batch are dealt to the processes of a job.

    Process r has the images of some consecutive identities, of every visible view and infrared alike: P / size of
    them, the first processes one more where that leaves a rest. Rows are always in the order of a
    `vibench.data.batch.Batch`: blocks of P identities with K rows each, whole, or of the process's own identities.

    Every process computes the losses of the whole batch L from gathered rows, and descends on L / size. What it is
    worth then is the sum over the processes of these shares, which is L, so that the gradient of a weight is the sum
    of its gradients over the processes, whether the weight stands before the gathering or behind it.
    """

    def __init__(self, world: World, identities: int, images: int) -> None:
        """``identities`` and ``images`` per batch, P and K. Raises `UsageError` for fewer identities than processes."""
        if identities < world.size:
            raise UsageError(
                f"sampler.identities = {identities}: batches are dealt by identity, and there are {world.size} "
                f"processes; start at most {identities}, or raise it with --set sampler.identities={world.size}."
            )
        self.world = world
        least, rest = divmod(identities, world.size)
        counts = [least + (rank < rest) for rank in range(world.size)]
        self._rows = identities * images
        self._counts = [count * images for count in counts]
        self._first = sum(self._counts[: world.rank])

    def take(self, rows: Tensor) -> Tensor:
        """This process's share (b, ...) of rows of whole blocks (B, ...)."""
        if self.world.size == 1:
            return rows
        if rows.ndim == 4:  # images and maps stay channels last
            return self._take(rows.movedim(1, 3)).movedim(3, 1)
        return self._take(rows)

    def _take(self, rows: Tensor) -> Tensor:
        blocks = rows.unflatten(0, (-1, self._rows))
        return blocks.narrow(1, self._first, self._counts[self.world.rank]).flatten(0, 1)

    def gather(self, rows: Tensor) -> Tensor:
        """The rows (B, ...) of all processes in the order of the whole batch, from this one's share (b, ...) of them.

        The gradient of a row is the sum of what all processes send back for it.
        """
        return rows if self.world.size == 1 else _Gathered.apply(rows, self)

    def whole_shape(self, rows: Tensor) -> torch.Size:
        """The shape of what `gather` makes of ``rows``."""
        return torch.Size((self._blocks(rows) * self._rows, *rows.shape[1:]))

    def gathered(self, rows: Tensor) -> Tensor:
        """`gather` without gradients."""
        blocks, most = self._blocks(rows), max(self._counts)
        channels_last = rows.ndim == 4
        # Maps are kept channels last, and only dense memory travels.
        dense = (rows.movedim(1, 3) if channels_last else rows).contiguous().unflatten(0, (blocks, -1))
        if dense.shape[1] < most:
            padding = dense.new_zeros((blocks, most - dense.shape[1], *dense.shape[2:]))
            dense = torch.cat([dense, padding], dim=1)
        parts = self.world.gather(dense)
        whole = torch.cat([part[:, :count] for part, count in zip(parts, self._counts, strict=True)], dim=1)
        return whole.flatten(0, 1).movedim(3, 1) if channels_last else whole.flatten(0, 1)

    def _blocks(self, rows: Tensor) -> int:
        return len(rows) // self._counts[self.world.rank]


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, dealt: Dealt) -> Tensor:
        ctx.dealt = dealt
        return dealt.gathered(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        dealt: Dealt = ctx.dealt
        gradient = gradients[0]
        channels_last = gradient.ndim == 4
        # In float32: a sum of half-precision shares would lose what each of them has.
        dense = (gradient.movedim(1, 3) if channels_last else gradient).contiguous()
        summed = dense.to(torch.promote_types(dense.dtype, torch.float32), copy=True)
        dealt.world.sum(summed)
        own = dealt.take(summed.movedim(3, 1) if channels_last else summed)
        return own.to(gradient.dtype), None
