"""BUPTCampus' lists against a literal reading of them, and what is said of lists that are wrong."""

from __future__ import annotations

import json
from math import floor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibench.datasets import buptcampus, testing
from vibench.datasets.check import check_dataset, check_names
from vibench.datasets.registry import get_dataset
from vibench.datasets.training_split import everybody, training_differences
from vibench.errors import UsageError

DATASET = get_dataset("buptcampus")
ORDER = ["LS3", "G25", "CQ1", "W4", "TSG1", "TSG2"]


def literal(root: Path) -> dict[str, list[tuple[list[str], int, str, str]]]:
    """Ten frames, identity, camera and modality of the tracklets of each list, word by word."""
    paths = json.loads((root / "data_paths.json").read_text())
    found: dict[str, list[tuple[list[str], int, str, str]]] = {}
    for name in ("train", "query", "gallery"):
        for line in (root / f"{name}.txt").read_text().splitlines():
            pid, kind, camera, tracklet = line.split(" ")
            for modality in ("RGB", "IR") if kind == "RGB/IR" else (kind,):
                frames = paths[pid][modality][camera][tracklet]
                ten = [f"{name}/{frames[floor(len(frames) * at / 10)]}" for at in range(10)]
                found.setdefault(name, []).append((ten, int(pid), camera, modality))
    return found


def test_the_index_is_what_the_lists_say(bupt_root: Path) -> None:
    index = buptcampus.index(bupt_root)
    expected = {}
    for name, tracklets in literal(bupt_root).items():
        for frames, pid, camera, modality in tracklets:
            number = ORDER.index(camera) + (11 if name == "query" else 1)
            for frame in frames:
                split = "train" if name == "train" else "test" if frame == frames[0] else "unused"
                expected[frame] = (pid, number, {"RGB": "visible", "IR": "infrared"}[modality], split)
    assert index["path"].tolist() == sorted(expected)
    assert {path: tuple(rest) for path, *rest in index.itertuples(index=False, name=None)} == expected
    assert DATASET.files(bupt_root) == {frame: "DATA/" + frame.partition("/")[2] for frame in expected}


def test_frames_training_images_and_everybody_are_what_the_lists_say(bupt_root: Path) -> None:
    lists = literal(bupt_root)
    tests = {frames[0]: tuple(frames) for name in ("query", "gallery") for frames, *_ in lists[name]}
    assert DATASET.tracklets(bupt_root) == tests and len(tests) == 5
    assert DATASET.training_frames(bupt_root) == {frame for frames, *_ in lists["train"] for frame in frames}
    known = everybody(DATASET, bupt_root, buptcampus.index(bupt_root))
    assert {tuple(row) for row in known.itertuples(index=False, name=None)} == {
        *((3, 1), (3, 6), (20, 2)),
        *((5, 13), (11, 14), (5, 3), (11, 5)),
    }
    assert set(testing.images_of_tests(DATASET, bupt_root)[1]["path"]) == set(tests)


@given(st.integers(1, 500))
def test_ten_frames(count: int) -> None:
    assert buptcampus.sampled(count) == [count * at // 10 for at in range(10)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["query", "gallery"]),
            st.integers(1, 9999),
            st.sampled_from(["RGB", "IR"]),
            st.sampled_from(ORDER),
            st.integers(1, 9999),
        ),
        unique=True,
        max_size=9,
    )
)
def test_names_say_who_is_where(tracklets: list[tuple[str, int, str, str, int]]) -> None:
    names = [
        f"{name}/{pid}/{modality}/{camera}/{pid}_{modality}_{camera}_1_{frame}.jpg"
        for name, pid, modality, camera, frame in tracklets
    ]
    index = buptcampus.index_from_names(names)
    assert index["path"].tolist() == names and index["pid"].tolist() == [pid for _, pid, *_ in tracklets]
    cameras = [ORDER.index(camera) + (11 if name == "query" else 1) for name, _, _, camera, _ in tracklets]
    assert index["camera"].tolist() == cameras
    assert [DATASET.relative_name(f"anywhere/BUPTCampus/{name}") for name in names] == names


@pytest.mark.parametrize("name", ["train/1/RGB/G25/1.jpg", "query/1/RGB/G26/1.jpg", "DATA/1/RGB/G25/1.jpg", "1.jpg"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="names are no BUPTCampus test images"):
        buptcampus.index_from_names([name])


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("query.txt", "5 RGB CQ1 1", "5 RGB CQ9 1", r"query.txt, line 1: '5 RGB CQ9 1' is not identity, RGB or IR"),
        ("query.txt", "5 RGB CQ1 1", "5 RGB CQ1", "line 1: '5 RGB CQ1' is not identity"),
        ("train.txt", "3 RGB/IR LS3 1", "3 RGB LS3 1", "line 1: '3 RGB LS3 1' is not identity, RGB/IR, camera"),
        ("query.txt", "5 RGB CQ1 1", "5 RGB CQ1 3", "line 1: data_paths.json has no frames of RGB tracklet 3 of"),
        ("query.txt", "5 RGB CQ1 1", "6 RGB CQ1 1", "has no frames of RGB tracklet 1 of identity 6 on CQ1"),
        ("data_paths.json", "5/RGB/CQ1/5_RGB_CQ1_1_0", "5/RGB/LS3/5_RGB_CQ1_1_0", "names '5/RGB/LS3/.*no frame of"),
        ("data_paths.json", "5/RGB/CQ1/5_RGB_CQ1_1_0", "5/RGB/CQ1/../5_RGB_0", "which is no frame of identity 5"),
        ("data_paths.json", "{", "[", r"data_paths.json cannot be read .*; copy it again"),
        ("gallery.txt", "11 RGB TSG1 1", "5 RGB CQ1 2", "lists the tracklet of DATA/5/RGB/CQ1/.* more than once"),
        ("gallery.txt", "11 RGB TSG1 1", "3 RGB LS3 1", "names identity 3, which is also a test identity"),
    ],
)
def test_wrong_lists_are_named(bupt_root: Path, file: str, old: str, new: str, message: str) -> None:
    text = (bupt_root / file).read_text()
    assert old in text
    (bupt_root / file).write_text(text.replace(old, new, 1))
    with pytest.raises(UsageError, match=message):
        buptcampus.index(bupt_root)


@pytest.mark.parametrize("file", ["data_paths.json", "gallery.txt"])
def test_a_missing_list_is_named(bupt_root: Path, file: str) -> None:
    (bupt_root / file).unlink()
    with pytest.raises(UsageError, match=f"{file} is missing"):
        buptcampus.index(bupt_root)
    with pytest.raises(UsageError, match=f"{file} is missing"):
        check_names(DATASET, bupt_root)


def test_a_missing_frame_takes_its_tracklet_along(bupt_root: Path) -> None:
    (bupt_root / "DATA/5/RGB/CQ1/5_RGB_CQ1_1_2.jpg").unlink()
    (bupt_root / "DATA/3/IR/LS3/3_IR_LS3_1_0.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match=r"needs DATA/3/IR/LS3/3_IR_LS3_1_0\.jpg, which does not exist or has 0 bytes"):
        buptcampus.index(bupt_root)
    left = buptcampus.index(bupt_root, missing_ok=True)
    name = "query/5/RGB/CQ1/5_RGB_CQ1_1_0.jpg"
    assert testing.test_differences(DATASET, bupt_root, left) == f"lacks 1 of 5 tracklets ({name})"
    assert training_differences(DATASET, bupt_root, left).startswith("lacks 10 of 54 images (train/3/IR/LS3/")


def test_the_check_finds_what_is_missing(bupt_root: Path) -> None:
    report = check_dataset(DATASET, bupt_root, workers=1)
    found = {count.quantity: (count.expected, count.found) for count in report.counts}
    assert found["training identities"] == (1074, 2) and found["test identities"] == (1076, 2)
    assert found["query visible tracklets"] == (540, 1) and found["query infrared tracklets"] == (536, 1)
    assert found["gallery visible tracklets"] == (2422, 2) and found["gallery frames"] == (597_542, 51)
    assert report.complete and not report.problems
    # One that is looked at, and one that is not.
    for at in (2, 1):
        (bupt_root / f"DATA/5/RGB/CQ1/5_RGB_CQ1_1_{at}.jpg").unlink()
    (bupt_root / "DATA/5/RGB/CQ1/5_RGB_CQ1_1_4.jpg").write_bytes(b"no image")
    (bupt_root / "DATA/5/IR/CQ1/5_IR_CQ1_1_0.jpg").write_bytes(b"")
    report = check_dataset(DATASET, bupt_root, workers=1)
    assert {(problem.kind, problem.path) for problem in report.problems} == {
        ("missing", "DATA/5/RGB/CQ1/5_RGB_CQ1_1_2.jpg"),
        ("missing", "DATA/5/RGB/CQ1/5_RGB_CQ1_1_1.jpg"),
        ("unreadable", "DATA/5/RGB/CQ1/5_RGB_CQ1_1_4.jpg"),
        ("truncated", "DATA/5/IR/CQ1/5_IR_CQ1_1_0.jpg"),
    }
