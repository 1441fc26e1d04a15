from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from tests.datasets import mini
from vibench.datasets import sysu_mm01
from vibench.datasets.index import COLUMNS
from vibench.errors import UsageError

names = st.builds(
    lambda camera, pid, number: f"cam{camera}/{pid:04d}/{number:04d}.jpg",
    st.integers(1, 6),
    st.integers(0, 9999),
    st.integers(1, 9999),
)


@given(st.lists(names, unique=True, max_size=20))
def test_names_round_trip_in_their_order(paths: list[str]) -> None:
    index = sysu_mm01.index_from_names(paths)
    assert list(index.columns) == list(COLUMNS)
    assert index["path"].tolist() == paths
    numbers = [path.rpartition("/")[2] for path in paths]
    rebuilt = [f"cam{c}/{p:04d}/{n}" for c, p, n in zip(index["camera"], index["pid"], numbers, strict=True)]
    assert rebuilt == paths
    assert index["modality"].tolist() == ["infrared" if c in (3, 6) else "visible" for c in index["camera"]]
    assert set(index["split"]) <= {"test"}


@pytest.mark.parametrize(
    "name",
    [
        "./cam1/0001/0001.jpg",
        "cam7/0001/0001.jpg",
        "cam1/1/0001.jpg",
        "cam1/0001/0001.png",
        "cam1/0001/._0001.jpg",
        "cam1/0001/0001.jpg\n",
        "data/cam1/0001/0001.jpg",
        "cam1/٠٠٠١/0001.jpg",
        "",
    ],
)
def test_names_of_another_form_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"1 of 2 names are no SYSU-MM01 test images .*cam3/0006/0001\.jpg"):
        sysu_mm01.index_from_names(["cam1/0001/0001.jpg", name])


def test_refusal_counts_misfits_cites_three_and_explains_backslashes() -> None:
    with pytest.raises(UsageError, match=r"4 of 4 names .*'a', 'b', 'c' and 1 more"):
        sysu_mm01.index_from_names(list("abcd"))
    with pytest.raises(UsageError, match=r"write / instead of \\"):
        sysu_mm01.index_from_names(["cam1\\0001\\0001.jpg"])
    with pytest.raises(UsageError, match=r"1 names occur more than once \('cam1/0001/0001\.jpg'\)"):
        sysu_mm01.index_from_names(["cam1/0001/0001.jpg"] * 2)


def test_index_lists_all_images_with_their_splits(sysu_root: Path) -> None:
    index = sysu_mm01.index(sysu_root)
    assert index["path"].tolist() == sorted(path.relative_to(sysu_root).as_posix() for path in sysu_root.rglob("*.jpg"))
    assert index.index.tolist() == list(range(len(index)))
    assert Counter(index["split"]) == {"train": 24, "val": 12, "test": 24, "unused": 12}
    assert set(index.loc[index["split"] == "test", "pid"]) == {6, 10}
    row = index[index["path"] == "cam6/0010/0002.jpg"].iloc[0]
    assert (row["pid"], row["camera"], row["modality"]) == (10, 6, "infrared")


def test_other_files_are_no_images(sysu_root: Path) -> None:
    before = sysu_mm01.index(sysu_root)
    folder = sysu_root / "cam1" / "0001"
    for name in (".0003.jpg", "Thumbs.db", "0001.gif", "0001_small.jpg"):
        (folder / name).write_bytes(b"")
    (folder / "thumbnails").mkdir()
    (folder / "thumbnails" / "0001.jpg").write_bytes(b"")
    assert sysu_mm01.index(sysu_root).equals(before)
    assert len(sysu_mm01.list_root(sysu_root).ignored) == 5


def test_matlab_id_files_stand_in_for_text(sysu_root: Path) -> None:
    before = sysu_mm01.index(sysu_root)
    for split, ids in mini.SYSU_IDS.items():
        (sysu_root / "exp" / f"{split}_id.txt").unlink()
        savemat(sysu_root / "exp" / f"{split}_id.mat", {"id": np.array([ids], dtype=np.uint16)})
    assert sysu_mm01.index(sysu_root).equals(before)
    (sysu_root / "exp" / "val_id.mat").write_bytes(b"nonsense")
    with pytest.raises(UsageError, match=r"val_id\.mat is a text that begins with 'nonsense'"):
        sysu_mm01.index(sysu_root)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", r"train_id\.txt is empty"),
        (" \n", r"train_id\.txt is empty"),
        ("1,x,3", r"train_id\.txt contains 'x'"),
        ("1,-2", r"train_id\.txt contains '-2'"),
        ("1,,2", r"train_id\.txt contains ''"),
        ("1,2,1", r"train_id\.txt names identity 1 more than once"),
        ("1,2,6", r"identity 6 is in both .*exp/train_id\.txt and .*exp/test_id\.txt"),
    ],
)
def test_malformed_id_lists_are_named(sysu_root: Path, content: str, complaint: str) -> None:
    (sysu_root / "exp" / "train_id.txt").write_text(content)
    with pytest.raises(UsageError, match=complaint):
        sysu_mm01.index(sysu_root)


def test_missing_parts_are_named(sysu_root: Path) -> None:
    (sysu_root / "exp" / "val_id.txt").unlink()
    with pytest.raises(UsageError, match=r"val_id\.txt is missing"):
        sysu_mm01.index(sysu_root)
    (sysu_root / "cam5").rename(sysu_root / "elsewhere")
    with pytest.raises(UsageError, match="has no folder cam5"):
        sysu_mm01.index(sysu_root)


def test_skeleton_holds_the_published_counts() -> None:
    skeleton = sysu_mm01.sysu_skeleton()
    images = skeleton.groupby(["split", skeleton["camera"].isin((3, 6))])["images"].sum().to_dict()
    assert images == {
        ("train", False): 20284,
        ("train", True): 9929,
        ("val", False): 1974,
        ("val", True): 1980,
        ("test", False): 6775,
        ("test", True): 3803,
        ("unused", False): 1038,
        ("unused", True): 80,
    }
    assert skeleton.groupby("split")["pid"].nunique().to_dict() == {"test": 96, "train": 296, "val": 99, "unused": 22}
