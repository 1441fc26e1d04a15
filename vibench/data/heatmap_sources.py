"""Heatmaps of a data set's images from wherever their joints, or ready heatmaps, come from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vibench.data.heatmaps import CHANNELS, SIGMA, TWIN_FILE, render_heatmaps, stored_heatmaps, with_own_names
from vibench.data.keypoints import CONFIDENCE, Keypoints, keypoints_of_arrays, read_coco
from vibench.data.sections import InputRecipe
from vibench.data.training_inputs import STRIDE, Heatmaps
from vibench.datasets.index import SampleIndex, training_rows
from vibench.datasets.registry import Dataset
from vibench.errors import UsageError, suggestion
from vibench.files.npz import read_npz
from vibench.modality import MODALITIES
from vibench.runtime.progress import Progress, silent

if TYPE_CHECKING:
    import torch

TWIN = "twin"
"""The source that means the joints a twin is made with."""
KEYPOINT_RCNN = "keypointrcnn"
"""The source that means `vibench.data.keypoint_rcnn`."""


@dataclass(frozen=True)
class HeatmapForm:
    """What heatmaps are to look like."""

    height: int = 288
    """Of the network's input, in pixels; a heatmap has a quarter of them."""
    width: int = 144
    channels: int = 1
    sigma: float = SIGMA
    """Of a joint's Gaussian, in cells at a height of 72."""
    confidence: float = CONFIDENCE
    """Joints of a confidence up to this are left out."""

    def __post_init__(self) -> None:
        try:
            InputRecipe(self.height, self.width)
        except ValueError as error:
            raise UsageError(f"the size {self.height}x{self.width} is none of a network's input: {error}") from None
        if self.channels not in CHANNELS:
            raise UsageError(f"--channels {self.channels}: give 1, all joints merged, or 17, one per joint of COCO.")
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise UsageError(f"--sigma {self.sigma}: must be a number of cells above 0, e.g. {SIGMA}.")
        if not 0 <= self.confidence < 1:
            raise UsageError(f"--confidence {self.confidence}: must be from 0 to below 1.")

    @property
    def cells(self) -> tuple[int, int]:
        """Height and width of a heatmap."""
        return self.height // STRIDE, self.width // STRIDE


@dataclass(frozen=True)
class Detector:
    """What `KEYPOINT_RCNN` takes."""

    device: torch.device
    weights: Path | None = None
    """A state dict's file; None: torchvision's weights."""


@dataclass(frozen=True)
class SourcedHeatmaps:
    """Heatmaps and where they are from."""

    heatmaps: Heatmaps
    index: SampleIndex
    """Their images: those that a method may train on."""
    keypoints: Keypoints | None
    """The joints that they were drawn from; None where they came ready."""


@dataclass(frozen=True)
class ModalitySummary:
    """How well the images of one modality are covered."""

    modality: str
    images: int
    known: int
    """Images with a joint."""
    confidence: float | None
    """Mean over all joints of all images; None of ready heatmaps."""


def source_heatmaps(
    source: str,
    dataset: Dataset,
    root: Path,
    form: HeatmapForm,
    detector: Detector,
    progress: Progress = silent,
) -> SourcedHeatmaps:
    """Heatmaps of all images of a data set that a method may train on: of every image where that depends on the trial.

    ``source`` is ``twin``, ``keypointrcnn``, a ``.json`` file (`vibench.data.keypoints.read_coco`) or an ``.npz`` file
    with the array ``keypoints`` or ``heatmaps``. Raises `UsageError` for a source that does not fit.
    """
    index, files = dataset.index(root, missing_ok=True), dataset.files(root)
    if dataset.trials == 1:
        index = training_rows(index)
    if index.empty:
        raise UsageError(f"{root}: has no training image of {dataset.name}; check the copy with 'vibench data check'.")
    names = index["path"].tolist()
    path = _path(source, dataset, root)
    if path is None:
        from vibench.data.keypoint_rcnn import find_keypoints, load_network

        network, modalities = load_network(detector.weights), index["modality"].tolist()
        keypoints = find_keypoints(network, root, names, modalities, detector.device, progress=progress, files=files)
    elif path.suffix.lower() == ".json":
        keypoints = read_coco(path, root, names, dataset)
    else:
        arrays = with_own_names(read_npz(path), dataset)
        if "heatmaps" in arrays:
            return SourcedHeatmaps(_ready(path, arrays, names, form), index, None)
        if "keypoints" not in arrays:
            held = ", ".join(arrays) or "nothing"
            raise UsageError(f"{path}: holds {held}, but an array 'keypoints' or 'heatmaps' is needed.")
        keypoints = keypoints_of_arrays(path, arrays, root, names, files)
    if path is not None and form.channels > 1:
        keypoints.require_coco(path)
    heatmaps = render_heatmaps(keypoints, *form.cells, form.channels, form.sigma, form.confidence)
    return SourcedHeatmaps(heatmaps, index, keypoints)


def _path(source: str, dataset: Dataset, root: Path) -> Path | None:
    """The file that ``source`` means; None for `KEYPOINT_RCNN`."""
    if source == KEYPOINT_RCNN:
        return None
    if source == TWIN:
        if not dataset.synthetic:
            raise UsageError(f"--from twin: {dataset.name} is no twin; give a file of keypoints, or keypointrcnn.")
        if not (root / TWIN_FILE).is_file():
            raise UsageError(
                f"{root / TWIN_FILE}: is missing, so {root} is no whole twin; make it with 'vibench data twin'."
            )
        return root / TWIN_FILE
    path = Path(source)
    if not path.is_file():
        near = suggestion(source, (TWIN, KEYPOINT_RCNN))
        raise UsageError(
            f"--from {path}: there is no such file{near}; give one in .json or .npz, twin or {KEYPOINT_RCNN}."
        )
    if path.suffix.lower() not in (".json", ".npz"):
        raise UsageError(f"--from {path}: files of keypoints end in .json, for COCO's form, or in .npz.")
    return path


def summarise_heatmaps(sourced: SourcedHeatmaps) -> list[ModalitySummary]:
    """How many images of each modality have joints, and how sure these are."""
    modalities = sourced.index["modality"].to_numpy(dtype=object)
    summaries = []
    for modality in MODALITIES:
        rows = np.flatnonzero(modalities == modality)
        joints = sourced.keypoints
        sure = float(joints.confidence[rows].mean()) if joints is not None and len(rows) else None
        summaries.append(ModalitySummary(modality, len(rows), int(sourced.heatmaps.known[rows].sum()), sure))
    return summaries


def _ready(path: Path, arrays: dict[str, np.ndarray], names: list[str], form: HeatmapForm) -> Heatmaps:
    """Heatmaps of a file in the form asked for: their size must be right, several channels can be merged into one."""
    maps = arrays["heatmaps"]
    if maps.ndim == 3:
        maps = maps[:, None]
    if maps.dtype.kind == "f":
        if not ((maps >= 0) & (maps <= 1)).all():
            raise UsageError(f"{path}: its array 'heatmaps' has values outside 0 to 1; scale them, or give uint8.")
        maps = np.rint(maps * 255).astype(np.uint8)
    heatmaps = stored_heatmaps(path, {**arrays, "heatmaps": maps}, names)
    found = heatmaps.maps.shape[1:]
    if found[1:] != form.cells:
        fits = f"--height {STRIDE * found[1]} --width {STRIDE * found[2]}"
        raise UsageError(
            f"{path}: holds heatmaps of {found[1]}x{found[2]} cells, but {form.cells[0]}x{form.cells[1]} are asked "
            f"for; give heatmaps of that size, or {fits}."
        )
    if found[0] != form.channels and form.channels > 1:
        raise UsageError(
            f"{path}: holds heatmaps of {found[0]} channels, but {form.channels} are asked for; give --channels 1, "
            "which merges them."
        )
    if form.channels == 1:
        heatmaps = Heatmaps(heatmaps.maps.max(axis=1, keepdims=True), heatmaps.known)
    return heatmaps
