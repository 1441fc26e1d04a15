"""Heatmaps: how they are drawn, and their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vibench.data.heatmaps import heatmaps_file, heatmaps_of, render_heatmaps, write_heatmaps
from vibench.data.keypoints import Keypoints
from vibench.data.training_inputs import Heatmaps
from vibench.datasets.index import training_rows
from vibench.datasets.registry import get_dataset
from vibench.errors import UsageError


def random_keypoints(images: int, joints: int, seed: int = 0) -> Keypoints:
    random = np.random.default_rng(seed)
    confidence = random.choice([0.0, 0.2, 1.0, 2.0], (images, joints)).astype(np.float32)
    return Keypoints(random.uniform(-0.1, 1.1, (images, joints, 2)).astype(np.float32), confidence)


@pytest.mark.parametrize(("channels", "joints"), [(1, 18), (1, 5), (17, 17), (17, 18)])
def test_rendering_equals_the_definition(channels: int, joints: int):
    keypoints = random_keypoints(4, joints)
    found = render_heatmaps(keypoints, 24, 12, channels, sigma=3.0)
    assert found.maps.shape == (4, channels, 24, 12) and found.maps.dtype == np.uint8
    expected = np.zeros((4, channels, 24, 12))
    for image in range(4):
        for joint in range(joints if channels == 1 else 17):
            if keypoints.confidence[image, joint] <= 0.3:
                continue
            x, y = keypoints.places[image, joint] * (12, 24)
            for row in range(24):
                for column in range(12):
                    squared = (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2
                    channel = 0 if channels == 1 else joint
                    value = np.exp(-squared / (2 * (3.0 * 24 / 72) ** 2))
                    expected[image, channel, row, column] = max(expected[image, channel, row, column], value)
    assert np.abs(found.maps - 255 * expected).max() <= 0.51
    assert (
        found.known.tolist() == (keypoints.confidence[:, : 17 if channels == 17 else None] > 0.3).any(axis=1).tolist()
    )


def test_chunks_leave_no_trace():
    keypoints = random_keypoints(600, 17)
    whole = render_heatmaps(keypoints, 12, 8)
    alone = render_heatmaps(Keypoints(keypoints.places[511:512], keypoints.confidence[511:512]), 12, 8)
    assert np.array_equal(whole.maps[511], alone.maps[0])


def test_a_threshold_decides_which_joints_are_known():
    keypoints = Keypoints(np.full((3, 1, 2), 0.5, np.float32), np.array([[0.2], [0.6], [0.0]], np.float32))
    assert render_heatmaps(keypoints, 8, 4, confidence=0.5).known.tolist() == [False, True, False]
    lenient = render_heatmaps(keypoints, 8, 4, confidence=0.0)
    assert lenient.known.tolist() == [True, True, False]
    assert [int(heatmap.max()) > 0 for heatmap in lenient.maps] == [True, True, False]


def stored(root: Path, names: list[str], channels: int = 1, cells: tuple[int, int] = (24, 12)) -> Heatmaps:
    """Heatmaps of ``names``, in the file ``heatmaps.npz`` in another order among others."""
    random = np.random.default_rng(0)
    heatmaps = Heatmaps(
        random.integers(0, 256, (len(names), channels, *cells), dtype=np.uint8), random.random(len(names)) < 0.8
    )
    more = Heatmaps(
        np.concatenate([heatmaps.maps[:1], heatmaps.maps[::-1]]), np.concatenate([[True], heatmaps.known[::-1]])
    )
    write_heatmaps(root / "heatmaps.npz", more, ["other.jpg", *names[::-1]])
    return heatmaps


def test_files_are_found_by_path_and_keep_their_bytes(sysu_twin: Path, tmp_path: Path):
    dataset = get_dataset("sysu-mm01-twin")
    index = training_rows(dataset.index(sysu_twin))
    expected = stored(tmp_path, index["path"].tolist())
    path = heatmaps_file(dataset, tmp_path)
    found = heatmaps_of(path, dataset, tmp_path, index, (96, 48), 1)
    assert np.array_equal(found.maps, expected.maps) and np.array_equal(found.known, expected.known)
    before = path.read_bytes()
    stored(tmp_path, index["path"].tolist())
    assert path.read_bytes() == before


def test_other_sizes_and_channels_are_refused_with_the_command_that_helps(sysu_twin: Path, tmp_path: Path):
    dataset = get_dataset("sysu-mm01")
    index = training_rows(get_dataset("sysu-mm01-twin").index(sysu_twin))
    stored(tmp_path, index["path"].tolist())
    path = tmp_path / "heatmaps.npz"
    with pytest.raises(
        UsageError, match="holds heatmaps of 24x12 cells, but images of 288x144 pixels need 72x36"
    ) as error:
        heatmaps_of(path, dataset, tmp_path, index, (288, 144), 1)
    command = f"vibench data heatmaps --dataset sysu-mm01 --root {tmp_path} --height 288 --width 144"
    assert f"'{command} --from KEYPOINTS'" in str(error.value)
    with pytest.raises(UsageError, match=r"of 1 channels, but the method trains on 17; .* --channels 17 --from"):
        heatmaps_of(path, dataset, tmp_path, index, (96, 48), 17)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "has no array 'heatmaps'"),
        ({"heatmaps": np.zeros((1, 1, 8, 4), np.uint8)}, "has no array 'paths'"),
        ({"heatmaps": np.zeros((1, 1, 8, 4)), "paths": ["a"]}, r"is float64 \(1, 1, 8, 4\); it must be uint8"),
        (
            {"heatmaps": np.zeros((1, 8, 4), np.uint8), "paths": ["a"]},
            r"is uint8 \(1, 8, 4\); it must be",
        ),
        ({"heatmaps": np.zeros((2, 1, 8, 4), np.uint8), "paths": ["a"]}, "names 1 images in 'paths' but has 2 rows"),
        ({"heatmaps": np.zeros((1, 1, 8, 4), np.uint8), "paths": ["b"]}, "lacks 1 of 1 images, the first is 'a'"),
        ({"heatmaps": np.zeros((1, 1, 8, 4), np.uint8), "paths": ["a"], "known": [1.0]}, "'known' must be bool"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, arrays: dict, message: str):
    path = tmp_path / "heatmaps.npz"
    np.savez(path, **arrays)
    with pytest.raises(UsageError, match=message):
        heatmaps_of(path, get_dataset("regdb"), tmp_path, pd.DataFrame({"path": ["a"]}), (32, 16), 1)


def test_unreadable_files_are_refused(sysu_twin: Path, tmp_path: Path):
    dataset = get_dataset("sysu-mm01-twin")
    index = training_rows(dataset.index(sysu_twin))
    expected = stored(tmp_path, index["path"].tolist())
    path = tmp_path / "heatmaps.npz"
    path.write_bytes(path.read_bytes()[: len(expected.maps) // 2])
    with pytest.raises(UsageError, match=r"heatmaps\.npz: is no readable \.npz file"):
        heatmaps_of(path, dataset, tmp_path, index, (96, 48), 1)
    np.savez(path, heatmaps=np.array([{"code": 1}], dtype=object))
    with pytest.raises(UsageError, match=r"is no readable \.npz file of plain arrays"):
        heatmaps_of(path, dataset, tmp_path, index, (96, 48), 1)
    np.save(tmp_path / "single.npy", np.zeros(3))
    with pytest.raises(UsageError, match=r"it is a single \.npy array"):
        heatmaps_of(tmp_path / "single.npy", dataset, tmp_path, index, (96, 48), 1)


def test_the_file_is_the_one_given_or_lies_in_the_data_set_or_is_a_twins_truth(tmp_path: Path):
    real, twin = get_dataset("regdb"), get_dataset("regdb-twin")
    given = tmp_path / "given.npz"
    with pytest.raises(UsageError, match=r"--heatmaps .*given\.npz: there is no such file"):
        heatmaps_file(real, tmp_path, given)
    given.touch()
    assert heatmaps_file(real, tmp_path, given) == given
    truth = tmp_path / "truth" / "keypoints.npz"
    truth.parent.mkdir()
    truth.touch()
    assert heatmaps_file(twin, tmp_path) == truth
    with pytest.raises(UsageError, match="holds no keypoint heatmaps of regdb, which are expected in") as error:
        heatmaps_file(real, tmp_path)
    command = f"vibench data heatmaps --dataset regdb --root {tmp_path} --from KEYPOINTS"
    assert str(tmp_path / "heatmaps.npz") in str(error.value) and command in str(error.value)
    own = tmp_path / "heatmaps.npz"
    own.touch()
    assert heatmaps_file(real, tmp_path) == heatmaps_file(twin, tmp_path) == own


@pytest.mark.parametrize(("name", "channels"), [("sysu-mm01-twin", 1), ("regdb-twin", 17)])
def test_a_twins_joints_are_drawn_where_its_people_are(sysu_twin: Path, regdb_twin: Path, name: str, channels: int):
    root = sysu_twin if name == "sysu-mm01-twin" else regdb_twin
    dataset = get_dataset(name)
    index = dataset.index(root)
    heatmaps = heatmaps_of(heatmaps_file(dataset, root), dataset, root, index, (192, 96), channels)
    assert heatmaps.maps.shape == (len(index), channels, 48, 24) and heatmaps.known.mean() > 0.99
    # The part masks, 48 x 24 as well, are another truth about the same people: 0 is background.
    truth = np.load(root / "truth" / "parts.npz")
    row = {path: i for i, path in enumerate(truth["paths"].tolist())}
    person = truth["parts"][[row[path] for path in index["path"]]] > 0
    sure = heatmaps.maps.max(axis=1) > 200
    assert person[sure].mean() > 0.9 > 2 * person[~sure].mean()
