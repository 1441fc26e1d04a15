"""``vibench report`` as a user runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.records.made import make_record
from tests.report.scenes import put
from vibench.cli.main import app


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


def test_without_matplotlib_the_page_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vibench.report.write.have_matplotlib", lambda: False)
    put(tmp_path / "leaderboards", make_record("agw"))
    arguments = ["report", "--leaderboards", str(tmp_path / "leaderboards"), "-o", str(tmp_path / "page.html")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "without PNGs: they need matplotlib (pip install 'vibench[plots]')" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["leaderboards", "page.html"]
