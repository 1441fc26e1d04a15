"""Training batches: cached uint8 images, augmented per image and prepared ahead of the network."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vibench.data.augmentation import AugmentationDraw, crop_and_flip, draw_augmentation, draw_rectangles, erase
from vibench.data.batch import Batch
from vibench.data.channels import change_channels, draw_channels
from vibench.data.distinct_sampler import DistinctSampler
from vibench.data.exhaustive_sampler import ExhaustiveSampler
from vibench.data.greyscale import turn_grey
from vibench.data.heatmap_augmentation import crop_and_flip_heatmaps, erase_heatmaps
from vibench.data.normalise import normalise
from vibench.data.sampler import IdentitySampler
from vibench.data.training_inputs import TrainingInputs
from vibench.datasets.index import SampleIndex
from vibench.methods.recipe import Recipe
from vibench.modality import CODE
from vibench.randomness import generator

PREFETCHED = 3
SAMPLERS: dict[str, type[IdentitySampler] | type[ExhaustiveSampler]] = {
    "with-replacement": IdentitySampler,
    "distinct": DistinctSampler,
    "exhaustive": ExhaustiveSampler,
}
"""By the recipe's ``sampler.kind``."""


@dataclass(frozen=True)
class _HostBatch:
    images: Tensor
    """(B, H, W, 3) uint8, cropped and flipped; pinned when the device is CUDA."""
    codes: Tensor
    """(3, B) int64: label, modality, camera."""
    draw: AugmentationDraw
    channels: np.ndarray
    """(B,) int64, places in `vibench.data.channels.OUTCOMES`."""
    inputs: dict[str, Tensor]
    """What the method needs besides, ready, by the names of the fields of `Batch`; pinned likewise."""


class TrainingLoader:
    """Yields the batches of an epoch; every batch is a pure function of (seed, epoch, step)."""

    def __init__(
        self,
        images: np.ndarray,
        rows: np.ndarray,
        index: SampleIndex,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        inputs: TrainingInputs | None = None,
    ) -> None:
        """``images`` (N, H, W, 3) uint8 is the image cache; ``rows[i]`` is the place in it of row i of ``index``,
        the training part of a sample index. ``inputs`` has what the method needs besides, in the order of ``index``.
        """
        # A plain array over the mapped memory: slicing a numpy.memmap costs several microseconds a slice.
        self._images = np.asarray(images)
        self._rows = np.asarray(rows, dtype=np.int64)
        self._recipe = recipe
        self._seed = seed
        self._device = device
        self._inputs = inputs or TrainingInputs()
        pids = index["pid"].to_numpy(dtype=np.int64)
        modality = index["modality"].to_numpy(dtype=object)
        self._sampler = SAMPLERS[recipe.sampler.kind](pids, modality, recipe.sampler, seed)
        self.pids, labels = np.unique(pids, return_inverse=True)
        """(C,) the training identities; label c of a batch is identity ``pids[c]``."""
        codes = np.array([CODE[name] for name in modality], dtype=np.int64)
        self._codes = np.stack([labels.reshape(-1), codes, index["camera"].to_numpy(dtype=np.int64)])

    def batches(self, epoch: int) -> int:
        """Batches of epoch ``epoch``."""
        return self._sampler.batches(epoch)

    @property
    def batch_size(self) -> int:
        """Images per batch: every visible view, and infrared."""
        views = len(self._recipe.augmentation.visible_views)
        return (views + 1) * self._recipe.sampler.identities * self._recipe.sampler.images

    def epoch(self, epoch: int, start_step: int = 0) -> Generator[Batch, None, None]:
        """The batches of epoch ``epoch`` (from 0), from step ``start_step`` on, prepared by a background thread."""
        plan = self._sampler.epoch(epoch)
        ready: queue.Queue[_HostBatch | BaseException | None] = queue.Queue(maxsize=PREFETCHED)
        abandoned = threading.Event()

        def hand_over(item: _HostBatch | BaseException | None) -> None:
            while not abandoned.is_set():
                try:
                    return ready.put(item, timeout=0.1)
                except queue.Full:
                    continue

        def prepare() -> None:
            try:
                for step in range(start_step, len(plan)):
                    if abandoned.is_set():
                        return
                    hand_over(self._host_batch(plan[step], epoch, step))
                hand_over(None)
            except BaseException as error:
                hand_over(error)

        worker = threading.Thread(target=prepare, name="vibench-loader", daemon=True)
        worker.start()
        try:
            while (item := ready.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield self._device_batch(item)
        finally:
            abandoned.set()
            worker.join()

    def _host_batch(self, plan: np.ndarray, epoch: int, step: int) -> _HostBatch:
        height, width = self._images.shape[1:3]
        visible, infrared = plan
        rows = np.concatenate([visible] * len(self._recipe.augmentation.visible_views) + [infrared])
        random = generator(self._seed, "augmentation", epoch, step)
        draw = draw_augmentation(self._recipe.augmentation, len(rows), height, width, random)
        pixels = crop_and_flip(self._images, self._rows[rows], draw)
        if self._recipe.augmentation.greyscale > 0:
            random = generator(self._seed, "greyscale", epoch, step)
            turn_grey(pixels, random.random(len(rows)) < self._recipe.augmentation.greyscale)
        images = torch.from_numpy(pixels)
        codes = torch.from_numpy(self._codes[:, rows])
        inputs = self._inputs_of(rows, draw, epoch, step)
        if self._device.type == "cuda":
            images, codes = images.pin_memory(), codes.pin_memory()
            inputs = {name: values.pin_memory() for name, values in inputs.items()}
        return _HostBatch(images, codes, draw, self._draw_channels(len(infrared), epoch, step), inputs)

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
        height, width = self._images.shape[1:3]
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
        images = normalise(host.images.to(self._device, non_blocking=True))
        labels, modality, cameras = host.codes.to(self._device, non_blocking=True).unbind(0)
        return Batch(
            images=change_channels(erase(images, host.draw), host.channels),
            labels=labels,
            modality=modality,
            cameras=cameras,
            visible_views=len(self._recipe.augmentation.visible_views),
            **{name: values.to(self._device, non_blocking=True) for name, values in host.inputs.items()},
        )
