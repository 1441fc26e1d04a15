"""Joints found by torchvision's Keypoint R-CNN (He et al., "Mask R-CNN", ICCV 2017), one person per image.

The images are crops of one person each, so that the detector's search for people is left out: its keypoint head is
given the whole crop as the person's box. Neither non-maximum suppression nor another compiled operator is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image
from torch import Tensor, nn

from vibench.data.keypoints import COCO_JOINTS, Keypoints
from vibench.data.normalise import normalise
from vibench.datasets.image_file import read_rgb
from vibench.errors import UsageError
from vibench.files.weights import read_state_dict
from vibench.modality import INFRARED
from vibench.nn.torchvision_ops import downloaded_state, import_torchvision
from vibench.runtime.progress import Progress, silent

ARCHITECTURE = "keypointrcnn_resnet50_fpn"
HEIGHT, WIDTH = 512, 256
"""What a crop is resized to."""

_LEVEL = "2"
"""The map of the feature pyramid, of stride 16, that a box of this size is pooled from."""
_POOLED = 14
_SAMPLES = 2
"""Sampling points per pooled cell and direction."""
_WINDOW = 5
"""Cells of the head's 56 × 56 map around the peak that count as the joint."""
_STRETCHED = (1.0, 99.0)
"""Percentiles of an infrared image that become black and white."""


def find_keypoints(
    network: nn.Module,
    root: Path,
    names: Sequence[str],
    modalities: Sequence[str],
    device: torch.device,
    batch_size: int = 16,
    progress: Progress = silent,
    files: Mapping[str, str] | None = None,
) -> Keypoints:
    """The 17 joints of the person in each image below ``root``; the contrast of infrared images is stretched before.

    ``files`` has the names of the image files where they are others than ``names``.
    A confidence is the probability that the joint lies within two cells of 56 of its place, as the network sees it.
    """
    parts: Any = network.to(device).eval()
    places = np.empty((len(names), COCO_JOINTS, 2), dtype=np.float32)
    confidence = np.empty((len(names), COCO_JOINTS), dtype=np.float32)
    with progress("finding keypoints", len(names)) as advance, torch.inference_mode():
        for start in range(0, len(names), batch_size):
            batch = slice(start, start + batch_size)
            crops = [
                _read_crop(root / (files or {}).get(name, name), modality == INFRARED)
                for name, modality in zip(names[batch], modalities[batch], strict=True)
            ]
            maps = parts.backbone(normalise(torch.from_numpy(np.stack(crops)).to(device)).contiguous())[_LEVEL]
            logits = parts.roi_heads.keypoint_predictor(parts.roi_heads.keypoint_head(pool_whole(maps)))
            found = joints_of_logits(logits)
            places[batch], confidence[batch] = (values.cpu().numpy() for values in found)
            advance(len(crops))
    return Keypoints(places, confidence)


def load_network(weights: Path | None = None) -> nn.Module:
    """The network with the weights of a state-dict file, or with torchvision's own, downloaded once into its cache.

    Raises `UsageError` for a file that does not fit, `VibenchError` where the weights cannot be downloaded.
    """
    models = import_torchvision().models
    if weights is None:
        known = models.get_model_weights(ARCHITECTURE)["COCO_V1"]
        state = downloaded_state(known, f"the weights of torchvision's {ARCHITECTURE}", "pass it with --weights FILE")
    else:
        state = read_state_dict(weights, "--weights", f"give the state dict of torchvision's {ARCHITECTURE}")
    builder = models.get_model_builder(ARCHITECTURE)
    network: nn.Module = builder(weights=None, weights_backbone=None)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UsageError(f"--weights {weights}: does not fit torchvision's {ARCHITECTURE} ({reason[:200]}).") from None
    return network


def pool_whole(maps: Tensor) -> Tensor:
    """What RoIAlign pools from ``maps`` (B, C, h, w) for boxes that span all of them: (B, C, 14, 14).

    Every cell is the mean of 2 × 2 bilinear samples; as in Mask R-CNN's first form, which the weights were trained
    with, a sample at y lies between the rows floor(y) and floor(y) + 1.
    """
    count = _POOLED * _SAMPLES
    step = (torch.arange(count, device=maps.device, dtype=maps.dtype) + 0.5) / count
    height, width = maps.shape[2:]
    row, column = (2 * step * size / (size - 1) - 1 for size in (height, width))
    grid = torch.stack((column.expand(count, count), row[:, None].expand(count, count)), dim=2)
    samples = functional.grid_sample(
        maps, grid.expand(len(maps), -1, -1, -1), padding_mode="border", align_corners=True
    )
    return functional.avg_pool2d(samples, _SAMPLES)


def joints_of_logits(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Places (B, J, 2), x and y as shares of the crop, and confidences (B, J) from the maps (B, J, s, s) of the head.

    A map's softmax says where the joint is. The window of 5 × 5 cells with the largest probability is the joint, its
    probability the confidence and its centre of mass the place.
    """
    size = logits.shape[-1]
    probability = logits.float().flatten(2).softmax(dim=2).view(logits.shape)
    centres = (torch.arange(size, device=logits.device) + 0.5) / size

    def in_window(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values, _WINDOW, stride=1, padding=_WINDOW // 2).flatten(2) * _WINDOW**2

    confidence, peak = in_window(probability).max(dim=2)
    weighted = (probability * centres, probability * centres[:, None])
    moments = [in_window(values).gather(2, peak[..., None]).squeeze(2) for values in weighted]
    return torch.stack(moments, dim=2) / confidence[..., None], confidence.clamp(max=1.0)


def _read_crop(path: Path, stretch: bool) -> np.ndarray:
    """(512, 256, 3) uint8."""
    crop = np.asarray(read_rgb(path).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
    if not stretch:
        return crop
    low, high = np.percentile(crop, _STRETCHED)
    return np.rint(np.clip((crop - low) / max(high - low, 1.0), 0.0, 1.0) * 255).astype(np.uint8)
