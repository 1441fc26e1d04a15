"""Where heatmaps come from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.datasets import mini
from vibench.data.heatmap_sources import Detector, HeatmapForm, source_heatmaps, summarise_heatmaps
from vibench.data.heatmaps import heatmaps_of
from vibench.datasets.index import training_rows
from vibench.datasets.registry import get_dataset
from vibench.errors import UsageError

DETECTOR = Detector(torch.device("cpu"))
SMALL = HeatmapForm(96, 48)
SYSU = get_dataset("sysu-mm01")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini.write_sysu(tmp_path_factory.mktemp("data") / "sysu-mm01")


@pytest.fixture(scope="module")
def names(root: Path) -> list[str]:
    """The training images, and a quarter of a test identity's."""
    return training_rows(SYSU.index(root))["path"].tolist()


def test_a_twins_heatmaps_are_those_that_training_draws(sysu_twin: Path):
    twin = get_dataset("sysu-mm01-twin")
    found = source_heatmaps("twin", twin, sysu_twin, SMALL, DETECTOR)
    index = training_rows(twin.index(sysu_twin))
    assert found.index["path"].tolist() == index["path"].tolist()
    drawn = heatmaps_of(sysu_twin / "truth" / "keypoints.npz", twin, sysu_twin, index, (96, 48), 1)
    assert np.array_equal(found.heatmaps.maps, drawn.maps)
    visible, infrared = summarise_heatmaps(found)
    assert (visible.modality, infrared.modality) == ("visible", "infrared")
    assert visible.images + infrared.images == len(index)
    assert visible.known == visible.images and 1.5 < visible.confidence < 2
    again = source_heatmaps(str(sysu_twin / "truth" / "keypoints.npz"), twin, sysu_twin, SMALL, DETECTOR)
    assert np.array_equal(again.heatmaps.maps, found.heatmaps.maps)
    split = source_heatmaps("twin", twin, sysu_twin, HeatmapForm(96, 48, channels=17, sigma=1.0), DETECTOR)
    assert split.heatmaps.maps.shape[1:] == (17, 24, 12)
    assert split.heatmaps.maps.max(axis=1).mean() < found.heatmaps.maps.mean()


def test_all_images_are_covered_where_any_may_be_trained_on(regdb_twin: Path):
    twin = get_dataset("regdb-twin")
    found = source_heatmaps("twin", twin, regdb_twin, SMALL, DETECTOR)
    assert len(found.index) == len(twin.index(regdb_twin))


def test_cocos_json(root: Path, names: list[str], tmp_path: Path):
    path = tmp_path / "coco.json"
    infrared = [name for name in names if name.startswith(("cam3", "cam6"))]
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    person = [value for _ in range(17) for value in (12, 24, 2)]
    annotations = [{"image_id": i, "keypoints": person} for i, name in enumerate(names) if name in infrared[:5]]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    found = source_heatmaps(str(path), SYSU, root, SMALL, DETECTOR)
    visible, thermal = summarise_heatmaps(found)
    assert (visible.known, thermal.known, thermal.images) == (0, 5, len(infrared))
    peak = np.unravel_index(found.heatmaps.maps[names.index(infrared[0]), 0].argmax(), (24, 12))
    assert peak == (12, 6)


def write_ready(path: Path, names: list[str], maps: np.ndarray, **more: np.ndarray) -> str:
    np.savez(path, heatmaps=maps, paths=np.array(names), **more)
    return str(path)


def test_ready_heatmaps_are_scaled_and_merged(root: Path, names: list[str], tmp_path: Path):
    maps = np.random.default_rng(0).random((len(names), 3, 24, 12))
    maps[0] = 0
    found = source_heatmaps(write_ready(tmp_path / "h.npz", names, maps), SYSU, root, SMALL, DETECTOR)
    assert np.array_equal(found.heatmaps.maps, np.rint(255 * maps).astype(np.uint8).max(axis=1, keepdims=True))
    assert found.heatmaps.known.tolist() == [False] + [True] * (len(names) - 1)
    assert [part.confidence for part in summarise_heatmaps(found)] == [None, None]
    flat = source_heatmaps(write_ready(tmp_path / "f.npz", names, maps[:, 0]), SYSU, root, SMALL, DETECTOR)
    assert np.array_equal(flat.heatmaps.maps[:, 0], np.rint(255 * maps[:, 0]).astype(np.uint8))


@pytest.mark.parametrize(
    ("shape", "scale", "form", "message"),
    [
        ((1, 72, 36), 1, SMALL, "of 72x36 cells, but 24x12 are asked for; .* or --height 288 --width 144"),
        ((3, 24, 12), 1, HeatmapForm(96, 48, 17), "of 3 channels, but 17 are asked for; give --channels 1"),
        ((1, 24, 12), 255, SMALL, "has values outside 0 to 1"),
        ((1, 24, 12), np.nan, SMALL, "has values outside 0 to 1"),
    ],
)
def test_misfitting_heatmaps_are_refused(
    root: Path, names: list[str], tmp_path: Path, shape: tuple, scale: float, form: HeatmapForm, message: str
):
    source = write_ready(tmp_path / "h.npz", names, scale * np.ones((len(names), *shape)))
    with pytest.raises(UsageError, match=message):
        source_heatmaps(source, SYSU, root, form, DETECTOR)


def test_missing_images_are_refused(root: Path, names: list[str], tmp_path: Path):
    source = write_ready(tmp_path / "h.npz", names[1:], np.zeros((len(names) - 1, 1, 24, 12), np.uint8))
    with pytest.raises(UsageError, match=f"lacks 1 of {len(names)} images, the first is '{names[0]}'"):
        source_heatmaps(source, SYSU, root, SMALL, DETECTOR)


def test_other_sources_are_refused(root: Path, names: list[str], tmp_path: Path):
    with pytest.raises(UsageError, match="--from twin: sysu-mm01 is no twin"):
        source_heatmaps("twin", SYSU, root, SMALL, DETECTOR)
    with pytest.raises(UsageError, match=r"keypoints\.npz: is missing, so .* is no whole twin"):
        source_heatmaps("twin", get_dataset("sysu-mm01-twin"), root, SMALL, DETECTOR)
    with pytest.raises(UsageError, match=r"there is no such file \(did you mean 'keypointrcnn'\?\)"):
        source_heatmaps("keypoint-rcnn", SYSU, root, SMALL, DETECTOR)
    (tmp_path / "k.csv").touch()
    with pytest.raises(UsageError, match=r"files of keypoints end in \.json"):
        source_heatmaps(str(tmp_path / "k.csv"), SYSU, root, SMALL, DETECTOR)
    np.savez(tmp_path / "k.npz", features=np.zeros(3))
    with pytest.raises(UsageError, match="holds features, but an array 'keypoints' or 'heatmaps' is needed"):
        source_heatmaps(str(tmp_path / "k.npz"), SYSU, root, SMALL, DETECTOR)
    np.savez(tmp_path / "k.npz", keypoints=np.zeros((len(names), 16, 3)), paths=np.array(names))
    with pytest.raises(UsageError, match="has 16 joints per person"):
        source_heatmaps(str(tmp_path / "k.npz"), SYSU, root, HeatmapForm(96, 48, 17), DETECTOR)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"height": 290}, "the size 290x144 is none of a network's input: 'height' must be a multiple of 16"),
        ({"width": 0}, "'width' must be a multiple of 16"),
        ({"channels": 3}, "--channels 3: give 1"),
        ({"sigma": 0.0}, "--sigma 0.0: must be a number of cells above 0"),
        ({"sigma": float("nan")}, "--sigma nan"),
        ({"confidence": 1.0}, "--confidence 1.0"),
        ({"confidence": -0.1}, "--confidence -0.1"),
    ],
)
def test_impossible_forms_are_refused(form: dict, message: str):
    with pytest.raises(UsageError, match=message):
        HeatmapForm(**form)
