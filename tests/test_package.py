"""The package as it is installed: a wheel in an empty environment, outside the repository."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

build = pytest.importorskip("hatchling.build", reason="building a wheel needs hatchling (pip install vibench[test])")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    script = f"import hatchling.build as b; print(b.build_wheel({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    return next(folder.glob("vibench-*.whl"))


def test_wheel_ships_protocols_published_numbers_and_recipes(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, packaged in (("protocols", "protocols"), ("leaderboards/published", "published")):
        for file in (REPOSITORY / folder).rglob("*"):
            inside = file.relative_to(REPOSITORY / folder).as_posix()
            assert file.is_dir() or f"vibench/shipped/{packaged}/{inside}" in names
    for recipe in (REPOSITORY / "vibench" / "methods").glob("*/recipe.toml"):
        assert f"vibench/methods/{recipe.parent.name}/recipe.toml" in names
    for template in (REPOSITORY / "vibench" / "scaffold" / "template").iterdir():
        assert f"vibench/scaffold/template/{template.name}" in names
    assert "vibench/datasets/sysu_mm01_skeleton.csv" in names


def test_wheel_works_outside_the_repository(wheel: Path, tmp_path: Path) -> None:
    """The unpacked wheel alone, as ``pip install`` lays it out, lists protocols and methods."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    for command, expected in (("protocols", "sysu-all-multi"), ("methods", "agw")):
        result = subprocess.run(
            [sys.executable, "-P" if sys.version_info >= (3, 11) else "-s", "-m", "vibench", command],
            cwd=tmp_path,
            env={"PYTHONPATH": str(site), "COLUMNS": "200"},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        assert expected in result.stdout
    where = "import vibench.files.shipped as r; print(r.protocols_folder())"
    result = subprocess.run(
        [sys.executable, "-c", where], cwd=tmp_path, env={"PYTHONPATH": str(site)}, capture_output=True, text=True
    )
    assert Path(result.stdout.strip()) == site / "vibench" / "shipped" / "protocols"
