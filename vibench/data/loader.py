"""Training batches: cached uint8 images, augmented per image and prepared ahead of the network."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vibench.data.augmentation import (
    AugmentationDraw,
    crop_and_flip,
    crop_and_flip_there,
    draw_augmentation,
    draw_rectangles,
    erase,
)
from vibench.data.batch import Batch
from vibench.data.channels import change_channels, draw_channels
from vibench.data.distinct_sampler import DistinctSampler
from vibench.data.distortion import distort_infrared, draw_distortion
from vibench.data.exhaustive_sampler import ExhaustiveSampler
from vibench.data.greyscale import turn_grey, turn_grey_there
from vibench.data.heatmap_augmentation import crop_and_flip_heatmaps, erase_heatmaps
from vibench.data.normalise import normalise
from vibench.data.pixels import read_images, resized
from vibench.data.prefetch import prefetched
from vibench.data.sampler import IdentitySampler
from vibench.data.sections import BatchRecipe
from vibench.data.training_inputs import TrainingInputs
from vibench.datasets.index import SampleIndex
from vibench.modality import CODE
from vibench.runtime.randomness import generator

PREFETCHED = 3
SAMPLERS: dict[str, type[IdentitySampler] | type[ExhaustiveSampler]] = {
    "with-replacement": IdentitySampler,
    "distinct": DistinctSampler,
    "exhaustive": ExhaustiveSampler,
}
"""By the recipe's ``sampler.kind``."""


_CODES = ("label", "modality", "camera", "top", "left", "flip", "grey", "channels")
"""Rows of `_HostBatch.codes`; those of the erased rectangles follow."""


@dataclass(frozen=True)
class _HostBatch:
    """A batch on its way to the device; everything pinned where that is a GPU."""

    images: Tensor
    """(B, H, W, 3) uint8: cropped, mirrored and turned grey; for a GPU, which does that itself, as cached."""
    codes: Tensor
    """(12, B) int64: what there is one whole number per image of, together, so that it is one copy."""
    fill: Tensor | None
    """(B, 3) float32: as `AugmentationDraw.fill`."""
    distortion: Tensor | None
    """(4, b) float32: what is still to happen to the infrared images, `vibench.data.distortion.distort`."""
    greyed: bool
    """Whether any image is turned grey."""
    erased: bool
    """Whether anything of any image is erased."""
    mixed: bool
    """Whether the channels of any image change."""
    inputs: dict[str, Tensor]
    """What the method needs besides, ready, by the names of the fields of `Batch`."""


class TrainingLoader:
    """Yields the batches of an epoch; every batch is a pure function of (seed, epoch, step)."""

    def __init__(
        self,
        images: np.ndarray,
        rows: np.ndarray,
        index: SampleIndex,
        recipe: BatchRecipe,
        seed: int,
        device: torch.device,
        inputs: TrainingInputs | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        """``images`` (N, H, W, 3) uint8 is the image cache; ``rows[i]`` is the place in it of row i of ``index``,
        the training part of a sample index. ``inputs`` has what the method needs besides, in the order of ``index``.
        ``size``: height and width of the batches' images, where they are not those of the cache.
        """
        # A plain array over the mapped memory: slicing a numpy.memmap costs several microseconds a slice.
        self._images = np.asarray(images)
        self._rows = np.asarray(rows, dtype=np.int64)
        self._size = None if size == self._images.shape[1:3] else size
        self._recipe = recipe
        self._seed = seed
        self._device = device
        self._augments_there = device.type == "cuda"
        self._inputs = inputs or TrainingInputs()
        pids = index["pid"].to_numpy(dtype=np.int64)
        modality = index["modality"].to_numpy(dtype=object)
        self._sampler = SAMPLERS[recipe.sampler.kind](pids, modality, recipe.sampler, seed)
        self.pids, labels = np.unique(pids, return_inverse=True)
        """(C,) the training identities; label c of a batch is identity ``pids[c]``."""
        codes = np.array([CODE[name] for name in modality], dtype=np.int64)
        self._index = index
        self._codes = np.stack([labels.reshape(-1), codes, index["camera"].to_numpy(dtype=np.int64)])

    def batches(self, epoch: int) -> int:
        """Batches of epoch ``epoch``."""
        return self._sampler.batches(epoch)

    def batch_images(self, epoch: int, step: int) -> tuple[list[str], list[int]]:
        """Paths and identities, both without repetition, of the images of batch ``step`` of epoch ``epoch``."""
        rows = np.unique(self._sampler.epoch(epoch)[step])
        return self._index["path"].iloc[rows].tolist(), self.pids[np.unique(self._codes[0, rows])].tolist()

    @property
    def batch_size(self) -> int:
        """Images per batch: every visible view, and infrared."""
        views = len(self._recipe.augmentation.visible_views)
        return (views + 1) * self._recipe.sampler.identities * self._recipe.sampler.images

    def epoch(self, epoch: int, start_step: int = 0) -> Generator[Batch, None, None]:
        """The batches of epoch ``epoch`` (from 0), from step ``start_step`` on, prepared by a background thread."""
        plan = self._sampler.epoch(epoch)
        host_batches = (self._host_batch(plan[step], epoch, step) for step in range(start_step, len(plan)))
        with closing(prefetched(host_batches, PREFETCHED, "vibench-loader")) as ready:
            for batch in ready:
                yield self._device_batch(batch)

    def _host_batch(self, plan: np.ndarray, epoch: int, step: int) -> _HostBatch:
        recipe = self._recipe.augmentation
        height, width = self._size or self._images.shape[1:3]
        visible, infrared = plan
        rows = np.concatenate([visible] * len(recipe.visible_views) + [infrared])
        random = generator(self._seed, "augmentation", epoch, step)
        draw = draw_augmentation(recipe, len(rows), height, width, random)
        grey = np.zeros(len(rows), dtype=bool)
        if recipe.greyscale > 0:
            grey = generator(self._seed, "greyscale", epoch, step).random(len(rows)) < recipe.greyscale
        if epoch < (recipe.visible_grey_epochs or 0):
            grey[: -len(infrared)] = True
        distortion = draw_distortion(recipe, len(infrared), generator(self._seed, "distortion", epoch, step))
        channels = self._draw_channels(len(infrared), epoch, step)
        codes = [*self._codes[:, rows], draw.top, draw.left, draw.flip, grey, channels, *draw.erased.T]
        inputs = self._inputs_of(rows, draw, epoch, step)
        later = distortion if self._augments_there else None
        return _HostBatch(
            self._pixels(self._rows[rows], draw, grey, distortion),
            self._pinned(torch.from_numpy(np.stack(codes, dtype=np.int64))),
            None if draw.fill is None else self._pinned(torch.from_numpy(draw.fill)),
            None if later is None else self._pinned(torch.from_numpy(later)),
            greyed=bool(grey.any()),
            erased=bool(draw.erased[:, 2].any()),
            mixed=bool(channels.any()),
            inputs={name: self._pinned(values) for name, values in inputs.items()},
        )

    def _pixels(
        self, rows: np.ndarray, draw: AugmentationDraw, grey: np.ndarray, distortion: np.ndarray | None
    ) -> Tensor:
        """The images ``rows`` of the cache, augmented as far as the host does it."""
        cached = self._images
        if self._size is not None:
            cached, rows = resized(cached, rows, *self._size), np.arange(len(rows))
        if self._augments_there:
            return read_images(cached, rows, pin=self._device.type == "cuda")
        pixels = crop_and_flip(cached, rows, draw)
        turn_grey(pixels, grey)
        images = torch.from_numpy(pixels)
        if distortion is not None:
            distort_infrared(images, torch.from_numpy(distortion))
        return images

    def _pinned(self, values: Tensor) -> Tensor:
        return values.pin_memory() if self._device.type == "cuda" else values

    def _inputs_of(self, rows: np.ndarray, draw: AugmentationDraw, epoch: int, step: int) -> dict[str, Tensor]:
        """The attributes and heatmaps of the images ``rows`` that ``draw`` is for, as far as the method needs them."""
        inputs = {}
        if self._inputs.attributes is not None:
            inputs["attributes"] = torch.from_numpy(self._inputs.attributes.bits[rows]).float()
            inputs["attributes_known"] = torch.from_numpy(self._inputs.attributes.known[rows])
        if self._inputs.heatmaps is not None:
            stored = torch.from_numpy(self._inputs.heatmaps.maps[rows]).float().div_(255)
            heatmaps = crop_and_flip_heatmaps(stored, draw)
            erased = self._erased_of_heatmaps(draw, epoch, step)
            inputs["heatmaps"] = heatmaps if erased is None else erase_heatmaps(heatmaps, erased)
            inputs["heatmaps_known"] = torch.from_numpy(self._inputs.heatmaps.known[rows])
        return inputs

    def _erased_of_heatmaps(self, draw: AugmentationDraw, epoch: int, step: int) -> np.ndarray | None:
        """What is erased of the heatmaps, in the form of `AugmentationDraw.erased`; None where nothing is."""
        recipe = self._recipe.augmentation
        if recipe.erasing == 0 or recipe.erase_heatmap == "none":
            return None
        if recipe.erase_heatmap == "same":
            return draw.erased
        random = generator(self._seed, "heatmap erasing", epoch, step)
        height, width = self._size or self._images.shape[1:3]
        return draw_rectangles(recipe, len(draw.erased), height, width, random)

    def _draw_channels(self, block: int, epoch: int, step: int) -> np.ndarray:
        """What happens to the channels of the images of every block, each of ``block`` images."""
        recipe = self._recipe.augmentation
        random = generator(self._seed, "channels", epoch, step)
        views = [
            draw_channels(operation, block, random, recipe.visible_channel_probability)
            for operation in recipe.visible_views
        ]
        return np.concatenate([*views, draw_channels(recipe.infrared_channels, block, random)])

    def _device_batch(self, host: _HostBatch) -> Batch:
        recipe = self._recipe.augmentation
        pixels = host.images.to(self._device, non_blocking=True)
        codes = host.codes.to(self._device, non_blocking=True)
        of = dict(zip(_CODES, codes, strict=False))
        if self._augments_there:
            pixels = crop_and_flip_there(pixels, of["top"], of["left"], of["flip"], recipe.pad, recipe.pad_colour)
            if host.greyed:
                pixels = turn_grey_there(pixels, of["grey"])
            if host.distortion is not None:
                distort_infrared(pixels, host.distortion.to(self._device, non_blocking=True))
        images = normalise(pixels)
        if host.erased:
            fill = None if host.fill is None else host.fill.to(self._device, non_blocking=True)
            images = erase(images, codes[len(_CODES) :].T, fill)
        if host.mixed:
            images = change_channels(images, of["channels"])
        return Batch(
            images=images,
            labels=of["label"],
            modality=of["modality"],
            cameras=of["camera"],
            visible_views=len(recipe.visible_views),
            dealt=None,
            **{name: values.to(self._device, non_blocking=True) for name, values in host.inputs.items()},
        )
