"""``vibench report`` as a user runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("altair", reason="the page needs its libraries (pip install vibench[report])")

from tests.conftest import REPOSITORY
from tests.records.made import make_record
from tests.report.scenes import put
from vibench.cli.main import app
from vibench.errors import UsageError


def test_one_page_without_torch_and_bad_records_reported(
    vibench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    put(tmp_path / "leaderboards", make_record("agw"), make_record("baseline", 0.4))
    (tmp_path / "leaderboards" / "records" / "broken.json").write_text("{")
    done = vibench("report", "-o", "out/page.html", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    assert "out/page.html: " in done.stdout and "2 records" in done.stdout
    assert "broken.json" in done.stderr and "Traceback" not in done.stderr
    assert "vibench.report.write" in done.stderr and " torch" not in done.stderr
    text = (tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    assert "agw" in text and "../leaderboards/records/sysu-mm01-twin/sysu-all/agw-" in text


def test_charts_as_files_where_asked_for(tmp_path: Path) -> None:
    put(tmp_path / "leaderboards", make_record("agw"), make_record("baseline", 0.4))
    arguments = ["report", "--leaderboards", str(tmp_path / "leaderboards"), "-o", str(tmp_path / "page.html")]
    result = CliRunner().invoke(app, [*arguments, "--charts", "svg"])
    assert result.exit_code == 0 and "charts as SVG" in result.output
    files = sorted(path.name for path in (tmp_path / "page-charts").iterdir())
    assert "overview-synthetic-twins.svg" in files and all(name.endswith(".svg") for name in files)
    with pytest.raises(UsageError, match=r"--charts jpg: choose png or svg\.$"):
        CliRunner().invoke(app, [*arguments, "--charts", "jpg"], catch_exceptions=False)


def test_without_its_libraries_one_line_says_what_to_install(
    vibench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    # A module that is there and cannot be imported would not be found missing: hide what itables is found by.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, package=None: None if name == 'itables' else find(name, package)\n"
    )
    put(tmp_path / "leaderboards", make_record("agw"))
    done = vibench("report", PYTHONPATH=f"{tmp_path}:{REPOSITORY}")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "error: the page needs itables, not installed here: pip install 'vibench[report]'\n"
    assert not (tmp_path / "report.html").exists()
