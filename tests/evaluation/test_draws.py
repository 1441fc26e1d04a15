"""Draws against the generators' global functions, canonical orders, and folders that are too small."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from vibench.datasets.registry import get_dataset
from vibench.errors import UsageError
from vibench.evaluation.draws import draw_trials
from vibench.evaluation.features import Features
from vibench.evaluation.images import Images, identify
from vibench.protocols import load_protocol

PIDS = {1: (6, 10), 2: (10, 6), 3: (6, 10), 4: (10,), 5: (6, 300), 6: (10,)}


def sysu_names(images: int = 12) -> list[str]:
    return [
        f"cam{camera}/{pid:04d}/{number:04d}.jpg"
        for camera, pids in PIDS.items()
        for pid in pids
        for number in range(1, images + 1)
    ]


def sysu_images(names: list[str]) -> Images:
    return identify(Features(np.zeros((len(names), 1), dtype=np.float32), tuple(names)), get_dataset("sysu-mm01-twin"))


class FewPermutations(dict[tuple[int, int], np.ndarray]):
    sha256 = "0"


def permutations(images: int = 12) -> FewPermutations:
    generator = np.random.default_rng(0)
    return FewPermutations(
        {
            (camera, pid): np.array([generator.permutation(images) + 1 for _ in range(10)])
            for camera, pids in PIDS.items()
            for pid in pids
        }
    )


def folders(names: list[str]) -> list[list[str]]:
    """Sorted names per folder, identities ascending, gallery cameras as listed: the loops of the AGW code line."""
    found = []
    for pid in sorted({name.split("/")[1] for name in names}):
        for camera in ("cam1", "cam2", "cam4", "cam5"):
            folder = sorted(name for name in names if name.startswith(f"{camera}/{pid}/"))
            found += [folder] if folder else []
    return found


@pytest.mark.parametrize("shuffled", [False, True])
def test_seeded_single_shot(shuffled: bool) -> None:
    names = sysu_names()
    if shuffled:
        random.Random(1).shuffle(names)
    images = sysu_images(names)
    for number, trial in enumerate(draw_trials(load_protocol("sysu-all"), images, "seeded")):
        random.seed(number)
        assert images.paths is not None
        assert images.paths[trial.gallery].tolist() == [random.choice(folder) for folder in folders(names)]
        assert trial.number == number
        assert images.paths[trial.query].tolist() == sorted(
            (name for name in names if name[:4] in ("cam3", "cam6")), key=lambda name: (name[5:9], name)
        )


def test_seeded_multi_shot() -> None:
    names = sysu_names()
    images = sysu_images(names)
    for number, trial in enumerate(draw_trials(load_protocol("sysu-all-multi"), images, "seeded")):
        np.random.seed(number)  # noqa: NPY002 (the draw is defined by it)
        expected = [
            name
            for folder in folders(names)
            for name in np.random.choice(folder, 10, replace=False)  # noqa: NPY002
        ]
        assert images.paths is not None and images.paths[trial.gallery].tolist() == expected


def test_official() -> None:
    names = sysu_names()
    images = sysu_images(names)
    perm = permutations()
    trials = draw_trials(load_protocol("sysu-indoor-multi"), images, "official", perm)
    assert [trial.number for trial in trials] == list(range(1, 11))
    expected = [
        f"cam{camera}/{pid:04d}/{number:04d}.jpg"
        for camera in (1, 2)
        for pid in sorted(PIDS[camera])
        for number in perm[camera, pid][4, :10]
    ]
    assert images.paths is not None and images.paths[trials[4].gallery].tolist() == expected


def test_no_draw_is_by_identity_and_name() -> None:
    images = Images(
        pids=np.array([2, 1, 1, 2]),
        cameras=np.array([2, 2, 1, 1]),
        modalities=np.array(["infrared", "infrared", "visible", "visible"]),
    )
    (trial,) = draw_trials(load_protocol("regdb-v2t"), images, "none", split=7)
    assert (trial.number, trial.query.tolist(), trial.gallery.tolist()) == (7, [2, 3], [1, 0])


def test_unusable_folders() -> None:
    few = sysu_names(5)
    with pytest.raises(UsageError, match="identity 6 has 5 images on camera 1, fewer than the 10"):
        draw_trials(load_protocol("sysu-all-multi"), sysu_images(few), "seeded")
    with pytest.raises(UsageError, match="identity 6 on camera 1 has 5 images, fewer than the 10"):
        draw_trials(load_protocol("sysu-all-multi"), sysu_images(few), "official", permutations(5))
    with pytest.raises(UsageError, match="permute 12 images of identity 6 on camera 1, but the features hold 5"):
        draw_trials(load_protocol("sysu-all"), sysu_images(few), "official", permutations())
    with pytest.raises(UsageError, match="no permutation for identity 6 on camera 1"):
        draw_trials(load_protocol("sysu-all"), sysu_images(few), "official", FewPermutations())
    with pytest.raises(UsageError, match=r"needs the permutations .* --perm"):
        draw_trials(load_protocol("sysu-all"), sysu_images(few), "official")
    only_infrared = [name for name in few if name[3] in "36"]
    with pytest.raises(
        UsageError, match=r"no visible image of camera 1, 2, which protocol sysu-indoor needs as gallery"
    ):
        draw_trials(load_protocol("sysu-indoor"), sysu_images(only_infrared), "seeded")
    nameless = replace(sysu_images(few), paths=None)
    with pytest.raises(UsageError, match="draws images by name"):
        draw_trials(load_protocol("sysu-all"), nameless, "seeded")
