"""The table of attributes and its CSV file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibench.data.attributes import (
    ATTRIBUTES,
    AttributeTable,
    attributes_file,
    attributes_of,
    check_identities,
    read_attributes,
    write_attributes,
)
from vibench.datasets.index import test_rows as rows_of_test
from vibench.datasets.registry import get_dataset
from vibench.errors import UsageError

HEADER = ",".join(ATTRIBUTES)


def table(*rows: tuple[int, int, str]) -> AttributeTable:
    """Rows of identity, camera and a code such as ``10000000``."""
    pids, cameras, codes = zip(*rows, strict=True)
    bits = np.array([[int(bit) for bit in code] for code in codes], dtype=np.uint8)
    return AttributeTable(np.array(pids), np.array(cameras), bits)


def test_labels_are_looked_up_by_identity_and_camera():
    labels = table((7, 1, "10000000"), (7, 3, "11000000"), (9, 1, "00000000"))
    bits, known = labels.lookup([9, 7, 7, 7, 8], [1, 3, 1, 2, 1])
    assert known.tolist() == [True, True, True, False, False]
    assert bits[:, :2].tolist() == [[0, 0], [1, 1], [1, 0], [0, 0], [0, 0]]
    assert bits.dtype == np.uint8 and bits.shape == (5, 8)


def test_labels_without_camera_hold_for_all():
    bits, known = table((7, 0, "01010101")).lookup([7, 7, 8], [1, 6, 1])
    assert known.tolist() == [True, True, False]
    assert bits[:2].tolist() == [[0, 1] * 4] * 2


def test_identity_level_is_the_majority_over_cameras_and_zero_for_a_tie():
    labels = table((7, 1, "11000000"), (7, 2, "11000000"), (7, 3, "10000001"), (9, 1, "10000000"), (9, 4, "00000000"))
    level = labels.identity_level()
    bits, known = level.lookup([7, 9, 7], [5, 1, 1])
    assert known.all()
    assert ["".join(map(str, row)) for row in bits.tolist()] == ["11000000", "00000000", "11000000"]


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 99), st.integers(1, 6)),
        st.lists(st.integers(0, 1), min_size=8, max_size=8),
        min_size=1,
    ),
    st.booleans(),
)
def test_a_table_survives_its_file(tmp_path_factory: pytest.TempPathFactory, labels: dict, per_camera: bool):
    if not per_camera:
        labels = {(pid, 0): code for (pid, _), code in labels.items()}
    keys = np.array(list(labels))
    path = tmp_path_factory.mktemp("table") / "attributes.csv"
    write_attributes(path, AttributeTable(keys[:, 0], keys[:, 1], np.array(list(labels.values()), dtype=np.uint8)))
    again = read_attributes(path)
    found = zip(again.pids.tolist(), again.cameras.tolist(), strict=True)
    assert dict(zip(found, again.bits.tolist(), strict=True)) == labels
    assert ("camera" in path.read_text().splitlines()[0]) is per_camera


def test_columns_may_stand_in_any_order_with_spaces_and_blank_lines(tmp_path: Path):
    path = tmp_path / "a.csv"
    names = ", ".join(reversed(ATTRIBUTES))
    path.write_text(f"﻿{names}, PID\n\n0,0,0,0,0,0,0,1, 12\n\n", encoding="utf-8")
    labels = read_attributes(path)
    assert labels.pids.tolist() == [12] and labels.bits.tolist() == [[1, 0, 0, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; it must be a table of attributes with the columns pid, gender"),
        ("\n\n", "is empty"),
        (f"pid,{HEADER}\n", "has a header but describes nobody"),
        ("pid,gender,hair\n1,0,1\n", "lacks the column glasses, sleeve, lower_type"),
        (f"{HEADER}\n0,0,0,0,0,0,0,0\n", "lacks the column pid"),
        (f"pid,camrea,{HEADER}\n1,1,0,0,0,0,0,0,0,0\n", r"unknown column 'camrea' \(did you mean 'camera'\?\)"),
        (f"pid,pid,{HEADER}\n1,1,0,0,0,0,0,0,0,0\n", "has the column 'pid' twice"),
        (f"pid,{HEADER}\n1,0,0,0\n", "line 2: has 4 values for 9 columns"),
        (f"pid,{HEADER}\n3,0,0,0,0,0,0,2,0\n", "line 2: 'backpack' of identity 3 is '2'; it must be 0 or 1"),
        (f"pid,{HEADER}\n3,0,0,,0,0,0,0,0\n", "line 2: 'glasses' of identity 3 is ''; it must be 0 or 1"),
        (f"pid,{HEADER}\nP3,0,0,0,0,0,0,0,0\n", "line 2: 'pid' is 'P3'; it must be a whole number from 0 on"),
        (f"pid,{HEADER}\n{10**30},0,0,0,0,0,0,0,0\n", "line 2: 'pid' is '1000"),
        (f"pid,camera,{HEADER}\n3,0,0,0,0,0,0,0,0,0\n", "line 2: 'camera' is '0'; it must be a whole number from 1"),
        (
            f"pid,{HEADER}\n3,0,0,0,0,0,0,0,0\n4,0,0,0,0,0,0,0,0\n3,0,0,0,0,0,0,0,1\n",
            "line 4: describes identity 3 a second time, after line 2",
        ),
        (
            f"pid,camera,{HEADER}\n3,1,0,0,0,0,0,0,0,0\n3,1,0,0,0,0,0,0,0,0\n",
            "line 3: describes identity 3 in camera 1 a second time",
        ),
    ],
)
def test_malformed_files_are_refused_with_line_and_value(tmp_path: Path, text: str, message: str):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as error:
        read_attributes(path)
    assert str(path) in str(error.value)


def test_absent_and_binary_files_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"absent\.csv is missing: it is a table of attributes"):
        read_attributes(tmp_path / "absent.csv")
    path = tmp_path / "labels.csv"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(UsageError, match=r"labels\.csv is no text file"):
        read_attributes(path)
    path.write_text(f"pid,{HEADER}\n1,{'0' * 200_000},0,0,0,0,0,0,0\n")
    with pytest.raises(UsageError, match=r"labels\.csv: is no CSV file"):
        read_attributes(path)


def test_unknown_identities_and_cameras_are_refused():
    index = pd.DataFrame({"pid": [1, 2], "camera": [1, 3]})
    dataset = get_dataset("sysu-mm01")
    check_identities(table((1, 3, "00000000"), (2, 1, "00000000")), Path("a.csv"), dataset, index)
    check_identities(table((2, 0, "00000000")), Path("a.csv"), dataset, index)
    with pytest.raises(UsageError, match=r"a\.csv: describes identity 7 \(and 1 more unknown ones\), which sysu-mm01"):
        check_identities(table((7, 1, "00000000"), (8, 1, "00000000")), Path("a.csv"), dataset, index)
    with pytest.raises(UsageError, match="describes camera 2, which sysu-mm01 has no image of"):
        check_identities(table((1, 2, "00000000")), Path("a.csv"), dataset, index)


def test_the_file_is_the_one_given_or_lies_in_the_data_set_or_is_a_twins_truth(tmp_path: Path):
    real, twin = get_dataset("sysu-mm01"), get_dataset("sysu-mm01-twin")
    given = tmp_path / "given.csv"
    with pytest.raises(UsageError, match=r"--attributes .*given\.csv: there is no such file"):
        attributes_file(real, tmp_path, given)
    given.touch()
    assert attributes_file(real, tmp_path, given) == given

    truth = tmp_path / "truth" / "attributes.csv"
    truth.parent.mkdir()
    truth.touch()
    assert attributes_file(twin, tmp_path) == truth
    with pytest.raises(UsageError, match="holds no attributes of sysu-mm01, which are expected in") as error:
        attributes_file(real, tmp_path)
    command = f"vibench data attributes --dataset sysu-mm01 --root {tmp_path} --from LABELS"
    assert str(tmp_path / "attributes.csv") in str(error.value) and command in str(error.value)

    own = tmp_path / "attributes.csv"
    own.touch()
    assert attributes_file(real, tmp_path) == attributes_file(twin, tmp_path) == own


def test_a_twin_knows_the_attributes_of_all_its_images(sysu_twin: Path, regdb_twin: Path, tmp_path: Path):
    for name, root in (("sysu-mm01-twin", sysu_twin), ("regdb-twin", regdb_twin)):
        dataset = get_dataset(name)
        index = dataset.index(root)
        bits, known = attributes_of(dataset, root, index)
        assert known.all() and bits.shape == (len(index), 8)
        assert len(np.unique(bits, axis=0)) > 5
        # Only what is carried may differ between the cameras of a person.
        fixed = pd.DataFrame(bits[:, :6]).assign(pid=index["pid"].to_numpy()).drop_duplicates()
        assert len(fixed) == json.loads((root / "truth" / "twin.json").read_text())["identities"]

    dataset = get_dataset("sysu-mm01-twin")
    other = tmp_path / "other.csv"
    test = rows_of_test(dataset.index(sysu_twin))
    write_attributes(other, table((int(test["pid"].iloc[0]), 0, "01100000")))
    bits, known = attributes_of(dataset, sysu_twin, test, other)
    assert known.tolist() == (test["pid"] == test["pid"].iloc[0]).tolist()
    assert (bits[known] == [0, 1, 1, 0, 0, 0, 0, 0]).all() and not bits[~known].any()
    write_attributes(other, table((99999, 0, "01100000")))
    with pytest.raises(UsageError, match=rf"other\.csv: has labels for none of the {len(test)} images"):
        attributes_of(dataset, sysu_twin, test, other)
