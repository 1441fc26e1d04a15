"""Label files of other forms, the official ones among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from vibench.data.attribute_sources import OFFICIAL_IDENTITIES, coverage, read_source
from vibench.data.attributes import ATTRIBUTES
from vibench.datasets.registry import get_dataset
from vibench.datasets.sysu_mm01 import sysu_skeleton
from vibench.errors import UsageError

SYSU = get_dataset("sysu-mm01")
NOWHERE = Path("nowhere")


def write_official(folder: Path) -> Path:
    """Six files in which identity 1 has the code of its camera, identity 2 eight zeros, and nobody else a label."""
    folder.mkdir(parents=True, exist_ok=True)
    for camera, identities in OFFICIAL_IDENTITIES.items():
        labels = np.ones((8, identities), dtype=np.uint8)
        labels[:, 0] = [int(bit) for bit in f"{camera:08b}"]
        labels[:, 1] = 0
        savemat(folder / f"cam{camera}_att.mat", {f"cam{camera}_att": labels})
    return folder


def index_of(*pairs: tuple[int, int], split: str = "train") -> pd.DataFrame:
    pids, cameras = zip(*pairs, strict=True)
    return pd.DataFrame({"pid": pids, "camera": cameras, "split": split})


def test_official_files_agree_with_the_data_set(shared: Path):
    skeleton = sysu_skeleton()
    labels = read_source(str(shared / "attributes" / "sysu_attribute"), SYSU, NOWHERE, skeleton)
    pairs = skeleton[["camera", "pid"]].drop_duplicates()
    labelled = set(zip(labels.cameras.tolist(), labels.pids.tolist(), strict=True))
    present = set(pairs.itertuples(index=False, name=None))
    assert present - labelled == {(3, 147), (3, 438), (4, 438), (5, 438)}
    assert labelled <= present
    without_images = [
        sum((camera, pid) not in present for pid in range(1, identities + 1))
        for camera, identities in OFFICIAL_IDENTITIES.items()
    ]
    assert without_images == [73, 73, 47, 40, 31, 34]

    training, test = coverage(labels, skeleton)
    assert (training.part, training.identities, training.missing) == ("training", 395, (438,))
    assert training.missing_pairs == ((147, 3),)
    assert (test.part, test.identities, test.pairs, test.labelled_pairs, test.codes) == ("test", 96, 490, 490, 44)
    assert test.missing == test.missing_pairs == ()

    level = labels.identity_level()
    (_, known) = level.lookup([147, 438, 16], [3, 3, 1])
    assert known.tolist() == [True, False, True]
    # Gender, hair and glasses never differ between the cameras of a person.
    bits, _ = level.lookup(labels.pids, labels.cameras)
    assert np.array_equal(bits[:, :3], labels.bits[:, :3]) and not np.array_equal(bits, labels.bits)


def test_the_whole_archive_may_be_given(shared: Path):
    skeleton = sysu_skeleton()
    whole = read_source(str(shared / "attributes"), SYSU, NOWHERE, skeleton)
    inner = read_source(str(shared / "attributes" / "sysu_attribute"), SYSU, NOWHERE, skeleton)
    assert np.array_equal(whole.bits, inner.bits) and len(whole) == 2294


def test_the_official_table_of_regdb_is_refused(shared: Path, tmp_path: Path):
    regdb = get_dataset("regdb")
    (tmp_path / "own.xlsx").touch()
    archive = shared / "attributes"
    for source in (archive, archive / "regdb_attribute", archive / "regdb_attribute" / "label_finished.xlsx"):
        with pytest.raises(UsageError, match="is not RegDB's: its 96 rows are the test identities of SYSU-MM01"):
            read_source(str(source), regdb, NOWHERE, index_of((1, 1)))
    with pytest.raises(UsageError, match="spreadsheets are not read"):
        read_source(str(tmp_path / "own.xlsx"), SYSU, NOWHERE, index_of((1, 1)))


def test_columns_are_identities_from_1_and_eight_ones_mean_unknown(tmp_path: Path):
    labels = read_source(str(write_official(tmp_path)), SYSU, NOWHERE, index_of((1, 1), (2, 1), (3, 1)))
    bits, known = labels.lookup([1, 1, 2, 3], [3, 6, 6, 1])
    assert known.tolist() == [True, True, True, False]
    assert bits.tolist() == [[0] * 6 + [1, 1], [0] * 5 + [1, 1, 0], [0] * 8, [0] * 8]


def test_people_without_images_are_left_out_of_official_labels(tmp_path: Path):
    labels = read_source(str(write_official(tmp_path)), SYSU, NOWHERE, index_of((2, 1)))
    assert set(labels.pids.tolist()) == {2} and len(labels) == 6
    with pytest.raises(UsageError, match="has a label of nobody whose images are in nowhere"):
        read_source(str(tmp_path), SYSU, NOWHERE, index_of((5, 1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda labels: labels[:, :331], r"cam2_att\.mat: holds uint8 8 x 331, but .* camera 2 are 8 attributes x 332"),
        (lambda labels: labels[:7], r"holds uint8 7 x 332, but"),
        (lambda labels: labels.T, r"holds uint8 332 x 8, but"),
        (lambda labels: labels * 3, r"cam2_att\.mat: 'gender' of identity 2 is 3; it must be 0 or 1"),
        (lambda labels: np.where(labels == 1, np.nan, labels), r"of identity 2 is nan; it must be 0 or 1"),
    ],
)
def test_official_files_with_other_counts_or_values_are_refused(tmp_path: Path, change, message: str):
    write_official(tmp_path)
    labels = np.ones((8, 332), dtype=np.uint8)
    labels[:6, 0] = 0
    savemat(tmp_path / "cam2_att.mat", {"cam2_att": change(labels)})
    with pytest.raises(UsageError, match=message):
        read_source(str(tmp_path), SYSU, NOWHERE, index_of((1, 1)))


def test_damaged_and_missing_official_files_are_refused(tmp_path: Path):
    folder = write_official(tmp_path / "sysu_attribute")
    (folder / "cam5_att.mat").write_bytes(b"no matlab")
    with pytest.raises(UsageError, match=r"cam5_att\.mat is a text that begins with 'no matlab'"):
        read_source(str(tmp_path), SYSU, NOWHERE, index_of((1, 1)))
    savemat(folder / "cam5_att.mat", {"cam4_att": np.ones((8, 533))})
    with pytest.raises(UsageError, match=r"cam5_att\.mat holds no variable 'cam5_att'"):
        read_source(str(tmp_path), SYSU, NOWHERE, index_of((1, 1)))
    (folder / "cam5_att.mat").unlink()
    with pytest.raises(UsageError, match=r"cam5_att\.mat is missing"):
        read_source(str(folder), SYSU, NOWHERE, index_of((1, 1)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty: holds no cam1_att\.mat"):
        read_source(str(tmp_path / "empty"), SYSU, NOWHERE, index_of((1, 1)))


def test_sources_of_another_kind_are_refused(tmp_path: Path):
    write_official(tmp_path)
    with pytest.raises(UsageError, match=r"are those of SYSU-MM01, not of llcm; give a CSV file"):
        read_source(str(tmp_path), get_dataset("llcm"), NOWHERE, index_of((1, 1)))
    with pytest.raises(UsageError, match=r"not of sysu-mm01-twin; give twin"):
        read_source(str(tmp_path), get_dataset("sysu-mm01-twin"), NOWHERE, index_of((1, 1)))
    with pytest.raises(UsageError, match="--from twin: sysu-mm01 is no twin"):
        read_source("twin", SYSU, NOWHERE, index_of((1, 1)))
    with pytest.raises(UsageError, match=r"attributes\.csv: is missing, so .* is no whole twin"):
        read_source("twin", get_dataset("regdb-twin"), tmp_path, index_of((1, 1)))
    with pytest.raises(UsageError, match="absent: there is no such file or folder"):
        read_source(str(tmp_path / "absent"), SYSU, NOWHERE, index_of((1, 1)))
    with pytest.raises(UsageError, match=r"cam1_att\.mat: is the file of one camera; give the folder"):
        read_source(str(tmp_path / "cam1_att.mat"), SYSU, NOWHERE, index_of((1, 1)))
    (tmp_path / "labels.zip").touch()
    with pytest.raises(UsageError, match="is still packed"):
        read_source(str(tmp_path / "labels.zip"), SYSU, NOWHERE, index_of((1, 1)))


def test_a_csv_file_may_only_describe_people_of_the_data_set(tmp_path: Path):
    path = tmp_path / "labels.csv"
    path.write_text(f"pid,{','.join(ATTRIBUTES)}\n1{',0' * 8}\n2{',1' * 8}\n")
    labels = read_source(str(path), get_dataset("llcm"), NOWHERE, index_of((1, 1), (2, 4)))
    # Eight ones are a code like any other outside the official files.
    assert labels.lookup([2], [4])[1].tolist() == [True]
    with pytest.raises(UsageError, match="describes identity 2, which llcm has no image of"):
        read_source(str(path), get_dataset("llcm"), NOWHERE, index_of((1, 1), (3, 4)))


def test_a_data_set_whose_split_depends_on_the_trial_is_one_part(tmp_path: Path):
    path = tmp_path / "labels.csv"
    path.write_text(f"pid,camera,{','.join(ATTRIBUTES)}\n1,1{',0' * 8}\n1,2{',1' * 8}\n2,1{',0' * 8}\n")
    index = index_of((1, 1), (1, 2), (2, 1), (2, 2), (3, 1), split="unused")
    (part,) = coverage(read_source(str(path), get_dataset("regdb"), NOWHERE, index), index)
    assert (part.part, part.identities, part.pairs, part.labelled_pairs, part.codes) == ("all", 3, 5, 3, 2)
    assert part.missing == (3,) and part.missing_pairs == ((2, 2),)
