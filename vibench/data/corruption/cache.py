"""Caches of corrupted images: made once from the image cache, kept beside it, and used like it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from vibench.corruption import Corruption, ImageCorruption
from vibench.data.cache import ImageCache, open_planned, views_of
from vibench.data.cache_build import CachePlan
from vibench.data.corruption.corrupt import OCCLUSION, corrupt
from vibench.data.corruption.imagenet_c import library_versions
from vibench.datasets.index import SampleIndex
from vibench.datasets.registry import Dataset
from vibench.errors import UsageError
from vibench.files.digests import canonical_json, sha256_text
from vibench.files.npz import open_npy
from vibench.modality import MODALITIES
from vibench.runtime.progress import Progress, silent


@dataclass(frozen=True)
class _Task:
    """One image."""

    row: int
    """In the image cache."""
    drawn: ImageCorruption
    other: int | None
    """Row of the image of somebody else, where one is needed."""


@dataclass(frozen=True)
class _Corrupted:
    """Corrupted images of one modality, as a `vibench.data.cache_build.Source`."""

    images: Path
    """The array of the image cache."""
    modality: str
    tasks: tuple[_Task, ...]

    def __len__(self) -> int:
        return len(self.tasks)

    def part(self, first: int, end: int) -> _Corrupted:
        return replace(self, tasks=self.tasks[first:end])

    def pixels(self) -> np.ndarray:
        images = open_npy(self.images)
        return np.stack(
            [
                corrupt(
                    np.array(images[task.row]),
                    task.drawn,
                    self.modality,
                    None if task.other is None else np.array(images[task.other]),
                )
                for task in self.tasks
            ]
        )


def open_corrupted(
    cache: ImageCache,
    dataset: Dataset,
    corruption: Corruption,
    modality: str,
    workers: int | None = None,
    progress: Progress = silent,
) -> ImageCache:
    """The corrupted test images of one modality, from the image cache of a data set; built where there are none yet.

    Of a data set with several train/test splits these are all images of the modality, of one of video all frames that
    are looked at in test tracklets. Every image is corrupted by its name alone, so that it does not matter how many
    processes build. Somebody who occludes comes from these images too. Built anew when the image cache, the corruption
    or a library that decides about pixels is another one.

    Raises `UsageError` where a library is missing, and as `vibench.data.cache.open_cache`.
    """
    split = cache.index["split"].to_numpy()
    # Of a test tracklet, the frames behind the first are unused rows.
    tested = np.ones(len(split), dtype=bool) if dataset.trials > 1 else split == "test"
    tested |= dataset.video & (split == "unused")
    rows = np.flatnonzero(tested & (cache.index["modality"].to_numpy() == modality))
    if not len(rows):
        raise UsageError(f"{cache.folder}: holds no {modality} test image that could be corrupted.")
    index = cache.index.iloc[rows].reset_index(drop=True)
    drawn = [corruption.of_image(path, modality) for path in index["path"]]
    others = _others(index, rows, drawn) if corruption.kind == OCCLUSION else [None] * len(drawn)
    # Whichever other images are corrupted besides, these are the same.
    corruption = replace(corruption, modalities=(modality,))  # type: ignore[arg-type]
    about = {"corruption": asdict(corruption), "libraries": library_versions()}
    plan = CachePlan(
        folder=cache.folder.with_name(f"{cache.folder.name}-{corruption.slug}"),
        source=_Corrupted(cache.folder / "images.npy", modality, tuple(map(_Task, rows.tolist(), drawn, others))),
        views=views_of(index),
        height=cache.images.shape[1],
        width=cache.images.shape[2],
        about=about,
        fingerprint=sha256_text(canonical_json([cache.fingerprint, about])),
        task=f"corrupting {modality} images",
    )
    return open_planned(plan, index, workers, progress)


def caches_by_modality(
    cache: ImageCache, dataset: Dataset, corruption: Corruption | None, progress: Progress = silent
) -> dict[str, ImageCache]:
    """For each modality the cache of its test images: ``cache`` itself, or that of the corrupted ones."""
    caches = dict.fromkeys(MODALITIES, cache)
    if corruption is not None:
        for modality in corruption.modalities:
            caches[modality] = open_corrupted(cache, dataset, corruption, modality, progress=progress)
    return caches


def _others(index: SampleIndex, rows: np.ndarray, drawn: list[ImageCorruption]) -> list[int | None]:
    """For every image the row of the cache of an image that shows somebody else."""
    pids = index["pid"].to_numpy()
    chosen: list[int | None] = []
    for pid, one in zip(pids, drawn, strict=True):
        elsewhere = rows[pids != pid]
        if not len(elsewhere):
            raise UsageError(f"--corrupt {OCCLUSION}: needs images of two people, and all are of identity {pid}.")
        chosen.append(int(elsewhere[one.other % len(elsewhere)]))
    return chosen
