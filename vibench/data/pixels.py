"""Images out of the cache, as they are, on their way to a device."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vibench.data.prefetch import prefetched

PREFETCHED = 2


def read_images(images: np.ndarray, rows: np.ndarray, pin: bool = False) -> Tensor:
    """``images[rows]`` (B, H, W, 3) uint8 in one copy; ``pin``: into pinned memory, which a GPU reads without a wait.

    Raises `IndexError` for a row that is none.
    """
    found = torch.empty((len(rows), *images.shape[1:]), dtype=torch.uint8, pin_memory=pin)
    if len(rows) and (rows.min() < 0 or rows.max() >= len(images)):
        raise IndexError(f"rows {int(rows.min())} to {int(rows.max())} of {len(images)} images")
    # With mode="raise" numpy would gather into a buffer of its own first.
    np.take(images, rows, axis=0, out=found.numpy(), mode="clip")
    return found


def resized(images: np.ndarray, rows: np.ndarray, height: int, width: int) -> np.ndarray:
    """``images[rows]`` (B, H, W, 3) uint8 as (B, height, width, 3), by Pillow's bilinear filter with antialiasing."""
    size, bilinear = (width, height), Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(images[row]).resize(size, bilinear)) for row in rows.tolist()])


def images_on_device(
    images: np.ndarray, batches: Iterable[np.ndarray], device: torch.device
) -> Generator[Tensor, None, None]:
    """The images of every one of the ``batches`` of rows, (B, H, W, 3) uint8, on ``device``.

    A background thread reads them ahead. A GPU gets each batch while it works on the one before, by a stream of its
    own, and neither it nor the host waits for a copy that is on its way.
    """
    on_gpu = device.type == "cuda"
    read = (read_images(images, rows, pin=on_gpu) for rows in batches)
    with closing(prefetched(read, PREFETCHED, "vibench-reader")) as host:
        yield from _copied_ahead(host, device) if on_gpu else host


def _copied_ahead(host: Iterable[Tensor], device: torch.device) -> Generator[Tensor, None, None]:
    stream = torch.cuda.Stream(device)
    before: tuple[Tensor, torch.cuda.Event] | None = None
    for pixels in host:
        with torch.cuda.stream(stream):
            copy = pixels.to(device, non_blocking=True)
            arrived = stream.record_event()
        if before is not None:
            yield _arrived(*before)
        before = copy, arrived
    if before is not None:
        yield _arrived(*before)


def _arrived(copy: Tensor, arrived: torch.cuda.Event) -> Tensor:
    """``copy``, for use in the current stream."""
    current = torch.cuda.current_stream(copy.device)
    current.wait_event(arrived)
    # Its memory belongs to the copying stream, which must not take it back while the current one reads it.
    copy.record_stream(current)
    return copy
