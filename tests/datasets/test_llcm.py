from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibench.datasets import llcm
from vibench.errors import UsageError

names = st.builds(
    lambda folder, camera, pid, number: f"test_{folder}/cam{camera}/{pid:04d}/{number:04d}.jpg",
    st.sampled_from(["vis", "nir"]),
    st.integers(1, 9),
    st.integers(0, 9999),
    st.integers(1, 9999),
)


@given(st.lists(names, unique=True, max_size=20))
def test_names_round_trip_in_their_order(paths: list[str]) -> None:
    index = llcm.index_from_names(paths)
    folder = {"visible": "vis", "infrared": "nir"}
    rebuilt = [
        f"test_{folder[row.modality]}/cam{row.camera}/{row.pid:04d}/{row.path.rpartition('/')[2]}"
        for row in index.itertuples()
    ]
    assert rebuilt == paths


@pytest.mark.parametrize("name", ["vis/0001/0001_c01_s1_f1_vis.jpg", "test_vis/cam0/0001/1.jpg", "test_vis/0001/1.jpg"])
def test_only_test_images_are_accepted_as_names(name: str) -> None:
    with pytest.raises(UsageError, match="names are no LLCM test images"):
        llcm.index_from_names([name])


def test_index_takes_training_from_lists_and_test_from_folders(llcm_root: Path) -> None:
    index = llcm.index(llcm_root)
    assert index["path"].tolist() == sorted(path.relative_to(llcm_root).as_posix() for path in llcm_root.rglob("*.jpg"))
    assert index["split"].value_counts().to_dict() == {"test": 16, "train": 8, "unused": 8}
    assert set(index.loc[index["split"] == "unused", "pid"]) == {7}
    row = index[index["path"] == "nir/0005/0005_c04_s185535_f7010_nir.jpg"].iloc[0]
    assert (row["pid"], row["camera"], row["modality"], row["split"]) == (5, 4, "infrared", "train")


def test_a_root_with_cam_in_its_name_changes_nothing(llcm_root: Path) -> None:
    before = llcm.index(llcm_root)
    moved = llcm_root.rename(llcm_root.with_name("webcam9"))
    assert llcm.index(moved).equals(before)


def test_images_outside_the_training_lists_are_unused(llcm_root: Path) -> None:
    (llcm_root / "vis/0001/extra.jpg").write_bytes((llcm_root / "vis/0001/0001_c01_s185535_f7010_vis.jpg").read_bytes())
    row = llcm.index(llcm_root).set_index("path").loc["vis/0001/extra.jpg"]
    assert (row["split"], row["camera"]) == ("unused", 0)


@pytest.mark.parametrize(
    ("ids", "complaint"),
    [("3,12,5", "names identity 5, which is also a training identity"), ("3,12,99", "identity 99, which has no image")],
)
def test_contradictory_test_ids_are_named(llcm_root: Path, ids: str, complaint: str) -> None:
    (llcm_root / "idx" / "test_id.txt").write_text(ids)
    with pytest.raises(UsageError, match=complaint):
        llcm.index(llcm_root)


def test_training_labels_are_checked(llcm_root: Path) -> None:
    file = llcm_root / "idx" / "train_nir.txt"
    file.write_text(file.read_text().replace(".jpg 0", ".jpg 7"))
    with pytest.raises(UsageError, match=r"train_nir\.txt gives 'nir/0001/.*' label 7, but identity 1 0"):
        llcm.index(llcm_root)
