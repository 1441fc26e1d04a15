from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets import mini
from vibench.datasets import regdb
from vibench.errors import UsageError

names = st.builds(
    lambda folder, pid, width, stem: f"{folder}/{pid:0{width}d}/{stem}.bmp",
    st.sampled_from(["Visible", "Thermal"]),
    st.integers(1, 412),
    st.integers(1, 4),
    st.from_regex(r"[a-z0-9_][a-z0-9_.]{0,11}", fullmatch=True),
)


@given(st.lists(names, unique=True, max_size=20))
def test_names_are_read_by_their_parts(paths: list[str]) -> None:
    index = regdb.index_from_names(paths)
    assert index["path"].tolist() == paths
    assert index["pid"].tolist() == [int(path.split("/")[1]) for path in paths]
    visible = [path.startswith("Visible/") for path in paths]
    assert index["camera"].tolist() == [1 if is_visible else 2 for is_visible in visible]
    assert index["modality"].tolist() == ["visible" if is_visible else "infrared" for is_visible in visible]


@pytest.mark.parametrize(
    "name", ["visible/1/x.bmp", "Visible/1/x.jpg", "Visible/1/.bmp", "Visible/x.bmp", "/Visible/1/x.bmp"]
)
def test_names_of_another_form_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"1 of 1 names are no RegDB test images .*Visible/285/"):
        regdb.index_from_names([name])


def test_index_without_trial_has_no_split(regdb_root: Path) -> None:
    index = regdb.index(regdb_root)
    assert len(index) == 12 * 10 * 2
    assert set(index["split"]) == {"unused"}
    assert index["pid"].tolist() == sorted(mini.REGDB_PIDS * 10) * 2


@pytest.mark.parametrize("trial", [1, 10])
def test_a_trial_splits_the_identities_as_its_files_say(regdb_root: Path, trial: int) -> None:
    index = regdb.index(regdb_root, trial)
    for kind in ("train", "test"):
        lines = (regdb_root / "idx" / f"{kind}_visible_{trial}.txt").read_text().splitlines()
        listed = {line.split(" ")[0] for line in lines}
        chosen = index[(index["split"] == kind) & (index["modality"] == "visible")]
        assert set(chosen["path"]) == listed
    train, test = (set(index.loc[index["split"] == kind, "pid"]) for kind in ("train", "test"))
    assert train.isdisjoint(test)
    assert train | test == set(mini.REGDB_PIDS)


def replace_line(file: Path, number: int, line: str) -> None:
    lines = file.read_text().splitlines()
    lines[number] = line
    file.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("../Visible/1/x.bmp 0", "line 1: .* leads out of the data set's root"),
        ("/etc/x.bmp 0", "line 1: .* leads out of the data set's root"),
        ("Visible/1/x.bmp", "line 1: .* is not a path, a space and a label"),
        ("Visible/1/x.bmp zero", "line 1: .* is not a path, a space and a label"),
        ("Visible/1/absent.bmp 0", "lists 'Visible/1/absent.bmp', which does not exist"),
        ("Thermal/1/male_back_t_00000_1.bmp 0", "which is not the path of visible images"),
    ],
)
def test_bad_idx_lines_are_named(regdb_root: Path, line: str, complaint: str) -> None:
    replace_line(regdb_root / "idx" / "train_visible_3.txt", 0, line)
    with pytest.raises(UsageError, match=complaint) as refusal:
        regdb.index(regdb_root, 3)
    assert "train_visible_3.txt" in str(refusal.value)
    regdb.index(regdb_root, 4)


def test_labels_are_checked(regdb_root: Path) -> None:
    def complaints(kind: str, modality: str, change: dict[int, int]) -> list[str]:
        lists = {(k, m): regdb.read_idx(regdb_root, k, m, 1) for k in regdb.KINDS for m in regdb.FOLDERS}
        found = {sample.path for sample in regdb.list_root(regdb_root).samples}
        assert regdb.split_contradictions(lists, found, 1) == []
        changed = [line._replace(label=change.get(line.label, line.label)) for line in lists[kind, modality]]
        return [text for _, text in regdb.split_contradictions({**lists, (kind, modality): changed}, found, 1)]

    # Infrared labels that swap two identities contradict the visible list, which shares the mapping.
    assert any("label 1, but identity" in text for text in complaints("train", "infrared", {0: 1, 1: 0}))
    assert any("label 0 to the identities" in text for text in complaints("test", "visible", {1: 0}))


def test_gaps_overlaps_and_lacking_identities_are_found(regdb_root: Path) -> None:
    lists = {(k, m): regdb.read_idx(regdb_root, k, m, 1) for k in regdb.KINDS for m in regdb.FOLDERS}
    found = {sample.path for sample in regdb.list_root(regdb_root).samples}
    gap = {key: [line._replace(label=line.label * 2) for line in lines] for key, lines in lists.items()}
    assert any("labels other than 0 to 5" in text for _, text in regdb.split_contradictions(gap, found, 1))
    same = {(kind, modality): lists["train", modality] for kind, modality in lists}
    assert sum("also a training identity" in text for _, text in regdb.split_contradictions(same, found, 1)) == 6
    lacking = {**lists, ("test", "infrared"): lists["test", "infrared"][10:]}
    assert any(
        "which the other modality's list has" in text for _, text in regdb.split_contradictions(lacking, found, 1)
    )
    twice = {**lists, ("test", "infrared"): [*lists["test", "infrared"], lists["test", "infrared"][0]]}
    assert any("more than once" in text for _, text in regdb.split_contradictions(twice, found, 1))


def test_a_missing_idx_file_is_named(regdb_root: Path) -> None:
    (regdb_root / "idx" / "test_thermal_2.txt").unlink()
    with pytest.raises(UsageError, match=r"test_thermal_2\.txt is missing"):
        regdb.index(regdb_root, 2)


def test_a_root_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no RegDB image"):
        regdb.index(tmp_path)
