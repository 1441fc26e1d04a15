"""Caches of corrupted images: whose images they hold, that processes make no difference, when they are built anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.datasets import mini
from vibench.corruption import ImageCorruption, parse_corruptions
from vibench.data import cache_build
from vibench.data.cache import ImageCache, open_cache
from vibench.data.corruption import cache as corrupted_cache
from vibench.data.corruption.cache import open_corrupted
from vibench.data.corruption.corrupt import corrupt
from vibench.datasets.registry import get_dataset
from vibench.errors import UsageError

SYSU, REGDB = get_dataset("sysu-mm01"), get_dataset("regdb")
(OCCLUSION,) = parse_corruptions("occlusion")
"""Needs no library."""


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageCache:
    monkeypatch.setattr(cache_build, "CHUNK_IMAGES", 5)
    monkeypatch.setattr("vibench.data.cache.CHUNK_IMAGES", 5)
    root = mini.write_sysu(tmp_path / "sysu-mm01")
    return open_cache(SYSU, root, 32, 16, folder=tmp_path / "cache", workers=1)


def test_holds_the_test_images_of_one_modality_corrupted_by_their_names(clean: ImageCache) -> None:
    cache = open_corrupted(clean, SYSU, OCCLUSION, "visible", workers=1)
    index = cache.index
    assert sorted(set(index["camera"])) == [1, 2, 4, 5] and set(index["pid"]) == {6, 10}
    assert len(index) == len(cache.images) == 4 * 2 * mini.SYSU_IMAGES
    tested = list(index["path"])
    for path, pixels in zip(tested, cache.images, strict=True):
        drawn = OCCLUSION.of_image(path, "visible")
        # Somebody else: in the order of the index, of the other identity.
        own = path.split("/")[1]
        others = [other for other in tested if other.split("/")[1] != own]
        (row, other) = clean.rows([path, others[drawn.other % len(others)]])
        assert np.array_equal(pixels, corrupt(clean.images[row], drawn, "visible", clean.images[other]))


def test_workers_make_no_difference_and_it_is_built_once(
    clean: ImageCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("imagecorruptions")
    (noise,) = parse_corruptions("gaussian-noise:2", "both")
    one = np.array(open_corrupted(clean, SYSU, noise, "infrared", workers=1).images)
    place = next(clean.folder.parent.glob("*-gaussian-noise-2-infrared"))
    place.rename(tmp_path / "kept")
    cache = open_corrupted(clean, SYSU, noise, "infrared", workers=3)
    assert np.array_equal(one, cache.images)
    monkeypatch.setattr("vibench.data.cache.build_cache", None)
    # Whether the other modality is corrupted too makes no difference to this one.
    again = open_corrupted(clean, SYSU, replace(noise, modalities=("infrared",)), "infrared")
    assert again.origin == "reused" and again.folder == cache.folder


def test_another_library_or_image_means_another_cache(clean: ImageCache, monkeypatch: pytest.MonkeyPatch) -> None:
    open_corrupted(clean, SYSU, OCCLUSION, "visible", workers=1)
    monkeypatch.setattr(corrupted_cache, "library_versions", lambda: {"numpy": "0.1"})
    newer = open_corrupted(clean, SYSU, OCCLUSION, "visible", workers=1)
    assert newer.origin == "built: the images or their splits have changed"
    changed = replace(clean, fingerprint="other")
    assert open_corrupted(changed, SYSU, OCCLUSION, "visible", workers=1).origin == newer.origin


def test_an_interrupted_build_goes_on(clean: ImageCache, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.array(open_corrupted(clean, SYSU, OCCLUSION, "infrared", workers=1).images)
    for path in clean.folder.parent.glob("*occlusion-infrared/*"):
        path.unlink()
    made: list[str] = []

    def interrupted(image: np.ndarray, drawn: ImageCorruption, modality: str, other: np.ndarray) -> np.ndarray:
        if len(made) == 6:
            raise KeyboardInterrupt
        made.append(drawn.kind)
        return corrupt(image, drawn, modality, other)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(corrupted_cache, "corrupt", interrupted)
        open_corrupted(clean, SYSU, OCCLUSION, "infrared", workers=1)
    cache = open_corrupted(clean, SYSU, OCCLUSION, "infrared", workers=1)
    assert cache.origin == "built: an earlier build was interrupted"
    assert np.array_equal(whole, cache.images)


def test_of_several_splits_all_images_of_the_modality_are_there(tmp_path: Path) -> None:
    root = mini.write_regdb(tmp_path / "regdb")
    clean = open_cache(REGDB, root, 32, 16, folder=tmp_path / "cache", workers=1)
    cache = open_corrupted(clean, REGDB, OCCLUSION, "visible", workers=1)
    assert set(cache.index["pid"]) == set(mini.REGDB_PIDS) and set(cache.index["modality"]) == {"visible"}


def test_of_video_every_frame_of_a_test_tracklet_is_there(hitsz_twin: Path, tmp_path: Path) -> None:
    dataset = get_dataset("hitsz-vcm-twin")
    clean = open_cache(dataset, hitsz_twin, 32, 16, folder=tmp_path, workers=1)
    cache = open_corrupted(clean, dataset, OCCLUSION, "infrared", workers=1)
    rows = clean.index[clean.index["modality"] == "infrared"]
    tracklets = dataset.tracklets(hitsz_twin)
    frames = {frame for path in rows["path"] for frame in tracklets.get(path, ())}
    assert set(cache.index["path"]) == frames and not any(frame.startswith("Train/") for frame in frames)


def test_one_person_cannot_be_occluded_by_another(clean: ImageCache) -> None:
    alone = replace(clean, index=clean.index.assign(pid=6))
    with pytest.raises(UsageError, match="needs images of two people"):
        open_corrupted(alone, SYSU, OCCLUSION, "visible", workers=1)
