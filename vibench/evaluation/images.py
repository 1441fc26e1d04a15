"""Which image each row of features shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vibench.datasets.index import SampleIndex
from vibench.datasets.registry import Dataset
from vibench.errors import UsageError
from vibench.evaluation.features import Features


@dataclass(frozen=True)
class Images:
    """One entry per row of features."""

    pids: np.ndarray
    """(N,) int64."""
    cameras: np.ndarray
    """(N,) int64."""
    modalities: np.ndarray
    """(N,) str."""
    paths: np.ndarray | None = None
    """(N,) str, or None where only labels are known."""

    def ordered(self, rows: np.ndarray, camera_first: bool = False) -> np.ndarray:
        """``rows`` by identity, camera and name (by camera, identity and name with ``camera_first``).

        Rows without names keep their order within identity and camera.
        """
        major, minor = (self.cameras, self.pids) if camera_first else (self.pids, self.cameras)
        keys = [minor[rows], major[rows]]
        if self.paths is not None:
            keys.insert(0, self.paths[rows])
        return rows[np.lexsort(keys)]


def identify(features: Features, dataset: Dataset) -> Images:
    """The image of every row of checked features: from its name, else from the labels that they carry.

    Raises `UsageError` for names that the data set's layout does not know, and for modalities that contradict names or
    cameras.
    """
    if features.paths is None:
        # `check_features` has made sure of the labels.
        assert features.pids is not None and features.cameras is not None and features.modalities is not None
        modality_of = {camera: dataset.modality_of(camera) for camera in np.unique(features.cameras).tolist()}
        _check_modalities(features, [modality_of[camera] for camera in features.cameras.tolist()], dataset)
        return Images(features.pids, features.cameras, np.asarray(features.modalities, dtype=np.str_))
    index = dataset.index_from_names(features.paths)
    if features.modalities is not None:
        _check_modalities(features, index["modality"].tolist(), dataset)
    return images_of(index)


def images_of(index: SampleIndex) -> Images:
    """The images of an index, in its order."""
    labels = index["pid"].to_numpy(np.int64), index["camera"].to_numpy(np.int64)
    return Images(*labels, *(np.array(index[name].tolist(), dtype=np.str_) for name in ("modality", "path")))


def _check_modalities(features: Features, true: Sequence[str | None], dataset: Dataset) -> None:
    """Refuse an array 'modalities' that says something else than cameras or names do; None in ``true``: unknown."""
    assert features.modalities is not None
    said = list(map(str, features.modalities))
    odd = [row for row, (one, other) in enumerate(zip(said, true, strict=True)) if other is not None and one != other]
    if odd:
        row = odd[0]
        camera = "" if features.cameras is None else f" of camera {features.cameras[row]}"
        name = f"row {row}{camera}" if features.paths is None else features.paths[row]
        raise UsageError(
            f"features: 'modalities' says {said[row]} for {len(odd)} of {len(said)} images that are {true[row]} in "
            f"{dataset.name}, the first is {name}; have the two modalities been exchanged? Correct the array."
        )
