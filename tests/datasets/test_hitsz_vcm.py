"""HITSZ-VCM's lists against a literal reading of them, and what is said of lists that are wrong."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from math import ceil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.mini import HITSZ_TRACKLETS
from vibench.datasets import hitsz_vcm, testing
from vibench.datasets.check import check_dataset, check_names
from vibench.datasets.registry import get_dataset
from vibench.datasets.training_split import everybody, training_differences
from vibench.errors import UsageError

DATASET = get_dataset("hitsz-vcm")


def literal(root: Path, split: str) -> list[tuple[list[str], int, int, str]]:
    """Frames, identity, camera and modality of the tracklets that count, as the lists say, letter by letter."""
    lines = (root / "info" / f"{split}_name.txt").read_text().split()
    found = []
    for row in (root / "info" / f"track_{split}_info.txt").read_text().strip().split("\n"):
        code, start, end, pid, camera = row.split(" ")
        frames = []
        for number in range(int(start), int(end) + 1):
            name = lines[number - 1]
            folder = "ir" if name[5] == "1" else "rgb"
            place = name[name.index("D") : name.index("T")]
            frames.append(f"{split.capitalize()}/{name[:4]}/{folder}/{place}/{name[name.index('F') + 1 :]}")
        if len(frames) >= 12:
            found.append((frames, int(pid), int(camera), "infrared" if code == "1" else "visible"))
    return found


def clip(frames: list[str]) -> list[str]:
    """Six frames: the tracklet is filled up with its last frame to six blocks of equal length; the first of each."""
    length = ceil(len(frames) / 6)
    filled = frames + [frames[-1]] * (6 * length - len(frames))
    return [filled[number * length : (number + 1) * length][0] for number in range(6)]


def test_the_index_is_what_the_lists_say(hitsz_root: Path) -> None:
    index = hitsz_vcm.index(hitsz_root)
    expected = {}
    for split in ("train", "test"):
        for frames, pid, camera, modality in literal(hitsz_root, split):
            for place, frame in enumerate(clip(frames)):
                of = "unused" if split == "test" and frame != clip(frames)[0] else split
                expected.setdefault(frame, (pid, camera, modality, of))
                assert place > 0 or frame == frames[0]
    assert index["path"].tolist() == sorted(expected)
    rows = index.itertuples(index=False, name=None)
    assert {path: tuple(rest) for path, *rest in rows} == expected
    assert (index["split"] == "test").sum() == 5, "one of the six test tracklets is too short"


def test_the_frames_of_test_tracklets_are_what_the_lists_say(hitsz_root: Path) -> None:
    expected = {frames[0]: tuple(clip(frames)) for frames, *_ in literal(hitsz_root, "test")}
    assert DATASET.tracklets(hitsz_root) == expected
    assert [len(set(frames)) for frames in expected.values()] == [6, 6, 6, 6, 6]
    assert get_dataset("llcm").tracklets(hitsz_root) == {}


@given(st.integers(12, 400))
def test_six_frames(count: int) -> None:
    frames = [str(number) for number in range(count)]
    assert [frames[at] for at in hitsz_vcm.sampled(count)] == clip(frames)


@given(
    st.lists(
        st.tuples(st.integers(0, 9999), st.sampled_from(["rgb", "ir"]), st.integers(1, 12), st.integers(1, 999)),
        unique=True,
        max_size=9,
    )
)
def test_names_say_who_is_where(tracklets: list[tuple[int, str, int, int]]) -> None:
    names = [f"Test/{pid:04d}/{folder}/D{camera}/{number}.jpg" for pid, folder, camera, number in tracklets]
    index = hitsz_vcm.index_from_names(names)
    assert index["path"].tolist() == names
    assert index["pid"].tolist() == [pid for pid, *_ in tracklets]
    assert index["camera"].tolist() == [camera for _, _, camera, _ in tracklets]
    assert [{"visible": "rgb", "infrared": "ir"}[modality] for modality in index["modality"]] == [
        folder for _, folder, *_ in tracklets
    ]
    assert [DATASET.relative_name(f"anywhere/VCM/{name}") for name in names] == names


@pytest.mark.parametrize("name", ["Train/0001/ir/D2/1.jpg", "Test/0001/ir/D13/1.jpg", "Test/001/ir/D1/1.jpg", "1.jpg"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="names are no HITSZ-VCM test images"):
        hitsz_vcm.index_from_names([name])


def test_files_may_be_spelled_otherwise(hitsz_root: Path) -> None:
    before = hitsz_vcm.index(hitsz_root)
    (hitsz_root / "Test").rename(hitsz_root / "test")
    (hitsz_root / "test/0009").rename(hitsz_root / "test/9")
    assert hitsz_vcm.index(hitsz_root).equals(before)
    assert DATASET.files(hitsz_root)["Test/0009/ir/D3/605.jpg"] == "test/9/ir/D3/605.jpg"


@pytest.mark.parametrize(
    "spelled",
    [
        str.lower,
        lambda line: line.replace(".jpg", ".PNG"),
        lambda line: f"D:\\VCM\\{line}",
        lambda line: f"./VCM/Train/{line}",
        lambda line: line.replace("D", "D0"),
        lambda line: f"\t{line} \r",
    ],
)
def test_lists_may_be_spelled_otherwise(hitsz_root: Path, spelled: Callable[[str], str]) -> None:
    before = hitsz_vcm.index(hitsz_root)
    for split in ("train", "test"):
        file = hitsz_root / "info" / f"{split}_name.txt"
        lines = file.read_text().splitlines()
        file.write_bytes("".join(f"{spelled(line)}\n" for line in lines).encode())
    assert hitsz_vcm.index(hitsz_root).equals(before)


def change(root: Path, file: str, old: str, new: str) -> None:
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("info/test_name.txt", "0007M2D2T1F105.jpg", "0007M3D2T1F105.jpg", r"test_name.txt, line 1: '0007M3.* is not"),
        ("info/test_name.txt", "0007M2D2T1F105.jpg", "../7M2D2T1F105.jpg", "line 1: .* is not the name of a frame"),
        ("info/test_name.txt", "0007M2D2T1F105.jpg", "0007M2D2T1F../x.jpg", "line 1: .* is not the name of a frame"),
        ("info/track_test_info.txt", "2 1 12 0007 2", "2 0 12 0007 2", "line 1: frames 0 to 12 are not among the 105"),
        ("info/track_test_info.txt", "2 1 12 0007 2", "2 1 999 0007 2", "line 1: frames 1 to 999 are not among"),
        ("info/track_test_info.txt", "2 1 12 0007 2", "2 1 12 0007", "line 1: '2 1 12 0007' is not modality"),
        (
            "info/track_test_info.txt",
            "2 1 12 0007 2",
            "2 1 12 0008 2",
            "line 1 is of identity 8, camera 2, visible, but",
        ),
        (
            "info/track_test_info.txt",
            "2 13 26 0007 2",
            "2 1 26 0007 2",
            "line 2 begins with .*, as an earlier tracklet",
        ),
        ("info/query_IDX.txt", "3", "7", r"query_IDX.txt contains '7'; expected numbers of test tracklets, 1 to 6"),
        ("info/query_IDX.txt", "3 4", "3 3", "query_IDX.txt names a tracklet more than once"),
        ("info/query_IDX.txt", "3", "1", "names test tracklet 1, which is visible .and 1 further"),
        ("info/query_IDX.txt", "3 ", "", "does not name test tracklet 3, which is infrared"),
    ],
)
def test_wrong_lists_are_named(hitsz_root: Path, file: str, old: str, new: str, message: str) -> None:
    change(hitsz_root, file, old, new)
    with pytest.raises(UsageError, match=message):
        hitsz_vcm.index(hitsz_root)
    report = check_names(DATASET, hitsz_root)
    assert not report.complete and {problem.path for problem in report.problems if problem.kind == "list"} == {file}


def test_a_frame_of_two_tracklets_stays_the_name_of_the_one_that_begins_with_it(hitsz_root: Path) -> None:
    before = hitsz_vcm.index(hitsz_root)
    change(hitsz_root, "info/track_test_info.txt", "2 1 12 0007 2", "2 1 13 0007 2")
    after = hitsz_vcm.index(hitsz_root)
    named = [frame for frames in DATASET.tracklets(hitsz_root).values() for frame in frames]
    assert named.count("Test/0007/rgb/D2/205.jpg") == 3, "twice as a last frame, once as a first one"
    tests = [set(index.loc[index["split"] == "test", "path"]) for index in (before, after)]
    assert tests[0] == tests[1]


def test_a_shortened_tracklet_leaves_frames_behind(hitsz_root: Path) -> None:
    change(hitsz_root, "info/track_test_info.txt", "1 75 105 0009 3", "1 75 90 0009 3")
    (problem,) = check_names(DATASET, hitsz_root).problems
    assert problem.path == "info/track_test_info.txt" and problem.warning
    said = "gives 15 of the 105 frames of info/test_name.txt to no tracklet (Test/0009/ir/D3/685.jpg and 14 more)"
    assert problem.detail == said


def test_a_list_in_capitals_is_named_too(hitsz_root: Path) -> None:
    change(hitsz_root, "info/train_name.txt", "0001M", "nobody")
    (hitsz_root / "info/train_name.txt").rename(hitsz_root / "info/TRAIN_NAME.TXT")
    assert [problem.path for problem in check_names(DATASET, hitsz_root).problems] == ["info/train_name.txt"]
    (hitsz_root / "info").rename(hitsz_root / "INFO")
    if (hitsz_root / "Info").exists():
        pytest.skip("this file system does not tell cases apart")
    (hitsz_root / "Info").mkdir()
    (problem,) = check_names(DATASET, hitsz_root).problems
    assert problem.path == "info" and "keep the right one" in problem.detail


def test_an_identity_on_both_sides_is_refused(hitsz_root: Path) -> None:
    for file in (hitsz_root / "info").glob("t*_test_info.txt"):
        file.write_text(file.read_text().replace(" 0007 ", " 0001 "))
    names = hitsz_root / "info/test_name.txt"
    names.write_text(names.read_text().replace("0007M", "0001M"))
    (hitsz_root / "Test/0007").rename(hitsz_root / "Test/0001")
    with pytest.raises(UsageError, match="names identity 1, which is also a training identity"):
        hitsz_vcm.index(hitsz_root)


def test_a_missing_list_is_named(hitsz_root: Path) -> None:
    (hitsz_root / "info/query_IDX.txt").unlink()
    with pytest.raises(UsageError, match=r"query_IDX\.txt is missing: it is the list of its infrared test tracklets"):
        hitsz_vcm.index(hitsz_root)


def test_a_missing_frame_takes_its_tracklet_along(hitsz_root: Path) -> None:
    whole = hitsz_vcm.index(hitsz_root)
    gone = DATASET.tracklets(hitsz_root)["Test/0009/ir/D3/605.jpg"][2]
    (hitsz_root / gone).unlink()
    with pytest.raises(UsageError, match=rf"needs '{gone}', which does not exist"):
        hitsz_vcm.index(hitsz_root)
    left = hitsz_vcm.index(hitsz_root, missing_ok=True)
    assert set(whole["path"]) - set(left["path"]) == set(DATASET.tracklets(hitsz_root)["Test/0009/ir/D3/605.jpg"])
    assert testing.test_differences(DATASET, hitsz_root, left) == "lacks 1 of 5 tracklets (Test/0009/ir/D3/605.jpg)"
    assert training_differences(DATASET, hitsz_root, left) == ""
    (hitsz_root / "Train/0001/ir/D1/205.jpg").unlink()
    left = hitsz_vcm.index(hitsz_root, missing_ok=True)
    assert training_differences(DATASET, hitsz_root, left).startswith("lacks 6 of 29 images (Train/0001/ir/D1/205.jpg")


def test_a_frame_that_nobody_looks_at_is_not_needed(hitsz_root: Path) -> None:
    before = hitsz_vcm.index(hitsz_root)
    (hitsz_root / "Test/0009/ir/D3/610.jpg").unlink()
    assert hitsz_vcm.index(hitsz_root).equals(before)
    missing = [problem.path for problem in check_names(DATASET, hitsz_root).problems if problem.kind == "missing"]
    assert missing == ["Test/0009/ir/D3/610.jpg"]


def test_everybody_and_the_test_images(hitsz_root: Path) -> None:
    index = hitsz_vcm.index(hitsz_root)
    known = {tuple(row) for row in everybody(DATASET, hitsz_root, index).itertuples(index=False, name=None)}
    listed = {(pid, camera) for rows in HITSZ_TRACKLETS.values() for _, pid, camera, _ in rows}
    assert known == listed
    test = testing.images_of_tests(DATASET, hitsz_root)[1]
    assert test["path"].tolist() == sorted(DATASET.tracklets(hitsz_root))


def test_the_check_counts_tracklets_and_decodes_every_frame(hitsz_root: Path) -> None:
    report = check_dataset(DATASET, hitsz_root, workers=1)
    found = {count.quantity: (count.expected, count.found) for count in report.counts}
    assert found["training identities"] == (500, 2) and found["test identities"] == (427, 2)
    assert found["training frames"] == (232_496, 69) and found["test frames"] == (230_763, 105)
    assert found["training tracklets"] == (11_061, 5) and found["test tracklets"] == (10_802, 6)
    assert found["test infrared tracklets of at least 12 frames"] == (4_584, 2)
    assert found["test visible tracklets of at least 12 frames"] == (5_099, 3)
    # Nothing is verified, and the lists are sound: other counts are no proof that anything is missing.
    assert report.complete and not report.problems
    assert report.verdict == "complete by its own lists, but 10 of 10 counts are not those reported elsewhere"
    (hitsz_root / "Test/0009/ir/D3/610.jpg").write_bytes(b"no image")
    (hitsz_root / "Train/0002/ir/D2/9.jpg").write_bytes((hitsz_root / "Train/0002/ir/D2/505.jpg").read_bytes())
    report = check_dataset(DATASET, hitsz_root, workers=1)
    assert {(problem.kind, problem.path) for problem in report.problems} == {
        ("unreadable", "Test/0009/ir/D3/610.jpg"),
        ("surplus", "Train/0002/ir/D2/9.jpg"),
    }


def test_a_twin_is_no_copy_of_the_real_data(hitsz_root: Path) -> None:
    index = hitsz_vcm.index(hitsz_root)
    assert not training_differences(DATASET, hitsz_root, index)
    assert check_names(DATASET, hitsz_root).complete
    (hitsz_root / "truth").mkdir(exist_ok=True)
    (hitsz_root / "truth" / "twin.json").write_text("{}")
    for differences in (training_differences, testing.test_differences):
        assert differences(DATASET, hitsz_root, index) == "is that of a twin (--dataset hitsz-vcm-twin)"
    report = check_names(DATASET, hitsz_root)
    assert not report.complete
    assert [problem.path for problem in report.problems if not problem.warning] == ["truth/twin.json"]


@pytest.mark.parametrize(("layout", "lists"), [("hitsz-vcm", "info/track_*_info.txt"), ("buptcampus", "t*.txt")])
def test_a_twin_s_shortened_lists_are_told_from_its_truth(
    layout: str, lists: str, hitsz_twin: Path, bupt_twin: Path, tmp_path: Path
) -> None:
    dataset = get_dataset(f"{layout}-twin")
    root = shutil.copytree(hitsz_twin if dataset.layout == "hitsz-vcm" else bupt_twin, tmp_path / "twin")
    whole = dataset.index(root)
    assert not training_differences(dataset, root, whole) and not testing.test_differences(dataset, root, whole)
    for file in [*root.glob(lists), *root.glob("gallery.txt")]:
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    queries = root / "info/query_IDX.txt"
    if queries.exists():
        count = len((root / "info/track_test_info.txt").read_text().splitlines())
        queries.write_text(" ".join(word for word in queries.read_text().split() if int(word) <= count))
    short = dataset.index(root)
    for differences in (training_differences, testing.test_differences):
        assert re.fullmatch(r"has lists of \d+ frames in place of \d+", differences(dataset, root, short))
    assert not check_names(dataset, root).complete
