"""Epoch reports as TensorBoard events, where the user wants them and has TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vibench.errors import UsageError
from vibench.training.log import EpochReport


@contextmanager
def epoch_writer(folder: Path, next_epoch: int, wanted: bool) -> Iterator[Callable[[EpochReport], None]]:
    """Yield the function that writes one epoch's losses, rate and speed to ``folder``, or one that does nothing.

    Events of ``next_epoch`` and later, left by a run that was killed, are superseded.
    """
    if not wanted:
        yield lambda report: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "--tensorboard: TensorBoard is not installed; install it with: pip install 'vibench[tensorboard]'."
        ) from None

    def write(report: EpochReport) -> None:
        for name, value in report.losses.items():
            writer.add_scalar(f"loss/{name}", value, report.epoch)
        writer.add_scalar("lr", report.lr, report.epoch)
        writer.add_scalar("images_per_second", report.images_per_second, report.epoch)
        writer.add_scalar("data_wait", report.data_wait, report.epoch)

    with SummaryWriter(str(folder), purge_step=next_epoch) as writer:
        yield write
