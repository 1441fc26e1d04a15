"""The published numbers of SYSU-MM01, from the full skeleton without any image."""

from __future__ import annotations

import pandas as pd
import pytest

from vibench.datasets import check_sysu_mm01, sysu_mm01
from vibench.datasets.listing import Sample

PUBLISHED = {
    "identities": 513,
    "images": 45863,
    "train identities": 296,
    "val identities": 99,
    "train+val identities": 395,
    "train+val visible images": 22258,
    "train+val infrared images": 11909,
    "test identities": 96,
    "test visible images": 6775,
    "queries": 3803,
    "queries with an indoor match": 2208,
    "gallery, all, single-shot": 301,
    "gallery, indoor, single-shot": 112,
    "gallery, all, multi-shot": 3010,
    "gallery, indoor, multi-shot": 1120,
}


@pytest.fixture(scope="module")
def skeleton() -> pd.DataFrame:
    return sysu_mm01.sysu_skeleton()


@pytest.fixture(scope="module")
def samples(skeleton: pd.DataFrame) -> list[Sample]:
    names = [
        f"cam{camera}/{pid:04d}/{number:04d}.jpg"
        for camera, pid, images, _ in skeleton.itertuples(index=False, name=None)
        for number in range(1, images + 1)
    ]
    return [sample for name in names if (sample := sysu_mm01.parse_name(name))]


@pytest.fixture(scope="module")
def ids(skeleton: pd.DataFrame) -> dict[str, list[int]]:
    return {
        split: sorted(set(skeleton.loc[skeleton["split"] == split, "pid"].tolist()))
        for split in ("train", "val", "test")
    }


def test_expected_numbers_are_the_published_ones(skeleton: pd.DataFrame) -> None:
    quantities = check_sysu_mm01.quantities(skeleton)
    assert {name: quantities[name] for name in PUBLISHED} == PUBLISHED
    assert [quantities[f"images of camera {camera}"] for camera in range(1, 7)] == (
        skeleton.groupby("camera")["images"].sum().tolist()
    )


def test_indoor_matches_by_hand(skeleton: pd.DataFrame) -> None:
    test = skeleton[skeleton["split"] == "test"]
    of_camera = {camera: set(test.loc[test["camera"] == camera, "pid"]) for camera in range(1, 7)}
    matched = 0
    for camera, pid, images, _ in test.itertuples(index=False, name=None):
        if camera == 3 and pid in of_camera[1]:
            matched += images
        if camera == 6 and pid in of_camera[1] | of_camera[2]:
            matched += images
    assert matched == 2208


def test_a_full_copy_agrees(skeleton: pd.DataFrame, samples: list[Sample], ids: dict[str, list[int]]) -> None:
    counts = check_sysu_mm01.compare(check_sysu_mm01.found_skeleton(samples, ids), skeleton)
    assert all(count.agrees for count in counts)
    assert counts[-1].expected == 2298
    assert check_sysu_mm01.image_problems(samples, skeleton) == []
    assert check_sysu_mm01.id_problems(ids, skeleton) == []


def test_one_lost_query_is_seen(skeleton: pd.DataFrame, samples: list[Sample], ids: dict[str, list[int]]) -> None:
    lost = next(sample for sample in samples if sample.camera == 6 and sample.pid in ids["test"])
    rest = [sample for sample in samples if sample is not lost]
    counts = check_sysu_mm01.compare(check_sysu_mm01.found_skeleton(rest, ids), skeleton)
    assert {count.quantity for count in counts if not count.agrees} >= {"images", "queries", "images of camera 6"}
    (problem,) = check_sysu_mm01.image_problems(rest, skeleton)
    assert (problem.kind, problem.path) == ("missing", lost.path)
