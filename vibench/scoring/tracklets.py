"""The feature of a tracklet is the mean of the features of its frames, so that every method of images runs on video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vibench.datasets.index import SampleIndex
from vibench.evaluation.features import Features
from vibench.scoring.extraction import Extraction


@dataclass(frozen=True)
class Frames:
    """The images that stand behind the rows of an index: of a tracklet its frames, of an image itself."""

    index: SampleIndex
    """One row per image, those of a tracklet one after the other; an image that counts twice stands twice."""
    rows: np.ndarray
    """(M,) int64: the row of the index of tracklets that each is of."""

    def attributes(self, codes: np.ndarray | None) -> np.ndarray | None:
        """What is known of the rows of the index (N, A), for each image (M, A)."""
        return None if codes is None else codes[self.rows]

    def mean(self, extraction: Extraction, tracklets: SampleIndex) -> Extraction:
        """The features of the ``tracklets`` (N rows) from those of their frames, each array in float32."""
        if len(self.rows) == len(tracklets):
            return extraction
        starts = np.flatnonzero(np.diff(self.rows, prepend=-1))
        counts = np.diff(starts, append=len(self.rows))

        def mean(values: np.ndarray) -> np.ndarray:
            sums = np.add.reduceat(values.astype(np.float64), starts, axis=0)
            return (sums / counts.reshape(-1, *(1,) * (values.ndim - 1))).astype(np.float32)

        frames = extraction.features
        extras = {name: mean(np.asarray(values)) for name, values in frames.extras.items()}
        features = Features(mean(frames.features), paths=tuple(tracklets["path"]), extras=extras, meta=frames.meta)
        return replace(extraction, features=features)


def frames_of(index: SampleIndex, tracklets: Mapping[str, Sequence[str]]) -> Frames:
    """The frames of the rows of ``index`` that ``tracklets`` names (`Dataset.tracklets`), and all other rows."""
    frames = [tuple(tracklets.get(path, (path,))) for path in index["path"]]
    rows = np.repeat(np.arange(len(index), dtype=np.int64), [len(of_one) for of_one in frames])
    images = index.iloc[rows].reset_index(drop=True).assign(path=[path for of_one in frames for path in of_one])
    return Frames(images, rows)
