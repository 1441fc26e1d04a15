"""Miniature copies of each data set; a test may damage its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datasets import mini


@pytest.fixture
def sysu_root(tmp_path: Path) -> Path:
    return mini.write_sysu(tmp_path / "sysu-mm01")


@pytest.fixture
def regdb_root(tmp_path: Path) -> Path:
    return mini.write_regdb(tmp_path / "regdb")


@pytest.fixture
def llcm_root(tmp_path: Path) -> Path:
    return mini.write_llcm(tmp_path / "llcm")


@pytest.fixture
def hitsz_root(tmp_path: Path) -> Path:
    return mini.write_hitsz(tmp_path / "hitsz-vcm")


@pytest.fixture
def bupt_root(tmp_path: Path) -> Path:
    return mini.write_bupt(tmp_path / "buptcampus")
