"""Data sets that are trained on together."""

from __future__ import annotations

from pathlib import Path

import pytest

from vibench.datasets import joined as joined_module
from vibench.datasets.index import COLUMNS, training_rows
from vibench.datasets.joined import (
    CAMERAS,
    IDENTITIES,
    JoinedDataset,
    first_test,
    joined_name,
    trained_identities,
    training_dataset,
)
from vibench.datasets.registry import dataset_root, get_dataset
from vibench.datasets.training_split import training_differences
from vibench.errors import UsageError

NAME = "sysu-mm01-twin+regdb-twin"


@pytest.fixture
def joined() -> JoinedDataset:
    found = training_dataset(NAME)
    assert isinstance(found, JoinedDataset)
    return found


@pytest.fixture
def root(sysu_twin: Path, regdb_twin: Path, tmp_path: Path) -> Path:
    """A folder that holds both twins, as links."""
    for place in (sysu_twin, regdb_twin):
        (tmp_path / place.name).symlink_to(place)
    return tmp_path


def test_nobody_and_no_camera_is_taken_for_another(joined: JoinedDataset, root: Path) -> None:
    index = joined.index(root, trial=3)
    sysu, regdb = get_dataset("sysu-mm01-twin"), get_dataset("regdb-twin")
    apart = {sysu: sysu.index(root / sysu.name), regdb: regdb.index(root / regdb.name, 3)}
    assert list(index.columns) == list(COLUMNS) and index["path"].is_unique
    assert len(index) == sum(map(len, apart.values()))
    assert index["pid"].nunique() == sum(found["pid"].nunique() for found in apart.values())
    assert index["camera"].nunique() == 6 + 2
    for place, (member, found) in enumerate(apart.items()):
        rows = index[index["path"].str.startswith(f"{member.name}/")]
        assert (rows["pid"].to_numpy() == found["pid"].to_numpy() + place * IDENTITIES).all()
        assert (rows["camera"].to_numpy() == found["camera"].to_numpy() + place * CAMERAS).all()
        assert joined.of_member(index, member).equals(found)
        for path in (rows["path"].iloc[0], rows["path"].iloc[-1]):
            assert (root / path).is_file()
    pids = set(training_rows(index)["pid"])
    for member, found in apart.items():
        assert trained_identities(joined, pids, member.name) == set(training_rows(found)["pid"])
    assert trained_identities(joined, pids, "regdb") == set()


def test_the_listing_has_the_images_of_the_index(joined: JoinedDataset, root: Path) -> None:
    listing, index = joined.list_root(root), joined.index(root, trial=1)
    assert [sample[:4] for sample in listing.samples] == list(index.iloc[:, :4].itertuples(index=False, name=None))


def test_numbers_that_would_be_somebody_else_s_are_refused(
    joined: JoinedDataset, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joined_module, "IDENTITIES", 10)
    with pytest.raises(UsageError, match=r"sysu-mm01-twin: numbers identities beyond 10, .* train on it alone"):
        joined.index(root, trial=1)


def test_what_a_member_lacks_is_said(joined: JoinedDataset, root: Path) -> None:
    index = joined.index(root, trial=1)
    assert training_differences(joined, root, index, 1) == ""
    training = index[index["split"] == "train"]
    gone = training[training["path"].str.startswith("regdb-twin/")].index[0]
    said = training_differences(joined, root, index.drop(gone), 1)
    assert said.startswith("of regdb-twin lacks 1 of ") and "sysu" not in said


def test_a_member_that_is_not_there_is_named(joined: JoinedDataset, root: Path) -> None:
    (root / "regdb-twin").unlink()
    for ask in (joined.index, joined.list_root, joined.version):
        with pytest.raises(UsageError, match=r"holds no folder regdb-twin/; --root is the folder"):
            ask(root)


def test_a_member_that_lies_deeper_is_named(joined: JoinedDataset, root: Path, regdb_twin: Path) -> None:
    place = root / "regdb-twin"
    place.unlink()
    place.mkdir()
    (place / "RegDB").symlink_to(regdb_twin)
    # No --root leads to it and to the other data set.
    with pytest.raises(UsageError, match=r"but .*/RegDB does; put that folder, or a link to it, in the place of"):
        joined.list_root(root)


def test_names_have_one_order() -> None:
    assert joined_name(["regdb", "llcm", "sysu-mm01"]) == "sysu-mm01+regdb+llcm"
    assert joined_name(["llcm"]) == "llcm" and training_dataset("llcm") is get_dataset("llcm")
    with pytest.raises(UsageError, match="name each data set once"):
        joined_name(["llcm", "llcm"])
    with pytest.raises(UsageError, match=r"are called sysu-mm01\+regdb together"):
        training_dataset("regdb+sysu-mm01")
    with pytest.raises(UsageError, match="real people and synthetic ones"):
        training_dataset("sysu-mm01+regdb-twin")
    with pytest.raises(UsageError, match=r"unknown data set 'regbd'.*did you mean"):
        training_dataset("sysu-mm01+regbd")


def test_several_models_are_tested_where_there_are_splits_first() -> None:
    assert first_test(NAME).name == "sysu-mm01-twin" and first_test(NAME, 10).name == "regdb-twin"
    assert first_test("llcm", 10).name == first_test("llcm+hitsz-vcm", 2).name == "llcm"


def test_they_lie_side_by_side(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIBENCH_DATA", str(tmp_path))
    assert dataset_root(NAME) == tmp_path and dataset_root("llcm") == tmp_path / "llcm"
    assert dataset_root(NAME, Path("elsewhere")) == Path("elsewhere")
