from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibench.datasets.permutations import Permutations, read_permutations, write_permutations
from vibench.datasets.sysu_mm01 import sysu_skeleton
from vibench.errors import UsageError


def draw(images: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.stack([generator.permutation(images) + 1 for _ in range(10)])


@given(st.dictionaries(st.tuples(st.integers(1, 6), st.integers(1, 40)), st.integers(1, 300), max_size=8))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, images: dict[tuple[int, int], int]) -> None:
    written = Permutations({key: draw(n, n) for key, n in images.items()})
    file = tmp_path_factory.mktemp("draws") / "exp" / "rand_perm_cam.mat"
    write_permutations(file, written)
    read = read_permutations(file)
    assert list(read) == sorted(images)
    assert all((read[key] == written[key]).all() for key in written)
    assert read.sha256 == written.sha256


def test_equal_draws_are_equal_bytes(tmp_path: Path) -> None:
    write_permutations(tmp_path / "a.mat", {(1, 2): draw(9, 0)})
    write_permutations(tmp_path / "b.mat", {(1, 2): draw(9, 0).astype(float)})
    assert (tmp_path / "a.mat").read_bytes() == (tmp_path / "b.mat").read_bytes()


def test_hash_sees_every_entry() -> None:
    original, changed = draw(9, 0), draw(9, 0)
    changed[7, [0, 1]] = changed[7, [1, 0]]
    hashes = {Permutations({key: rows}).sha256 for key in ((1, 2), (2, 1)) for rows in (original, changed)}
    assert len(hashes) == 4


def test_official_file_agrees_with_the_skeleton_and_survives_a_round_trip(shared: Path, tmp_path: Path) -> None:
    official = read_permutations(shared / "sysu-mm01" / "rand_perm_cam.mat")
    skeleton = sysu_skeleton()
    expected = dict(zip(zip(skeleton["camera"], skeleton["pid"], strict=True), skeleton["images"], strict=True))
    assert {key: rows.shape[1] for key, rows in official.items()} == expected
    assert official[3, 6].dtype == np.int64
    write_permutations(tmp_path / "again.mat", official)
    assert read_permutations(tmp_path / "again.mat").sha256 == official.sha256


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.mat is missing"):
        read_permutations(tmp_path / "absent.mat")
    (tmp_path / "text.mat").write_text("no matrix")
    with pytest.raises(UsageError, match=r"text\.mat is a text that begins with 'no matrix', no MATLAB 5 file"):
        read_permutations(tmp_path / "text.mat")
    write_permutations(tmp_path / "cut.mat", {(1, 2): draw(90, 0)})
    whole = (tmp_path / "cut.mat").read_bytes()
    (tmp_path / "cut.mat").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=r"cut\.mat is no readable"):
        read_permutations(tmp_path / "cut.mat")


@pytest.mark.parametrize("rows", [np.ones((10, 2)), np.ones((9, 1)), np.arange(10), np.zeros((10, 0))])
def test_rows_must_be_ten_permutations(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match="camera 1, identity 2"):
        Permutations({(1, 2): rows})


def test_the_content_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Permutations({(1, 2): draw(3, 0)})[1, 2][0, 0] = 5
