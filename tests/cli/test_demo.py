"""``vibench demo``, tiny: every stage once, then again from what is there."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from vibench.records.store import read_records


def _times(folder: Path) -> dict[Path, int]:
    kept = [path for path in folder.rglob("*") if path.suffix in (".pt", ".npy", ".npz", ".jpg", ".png", ".json")]
    return {path: path.stat().st_mtime_ns for path in kept}


@pytest.mark.slow
def test_the_demo_goes_from_nothing_to_leaderboards(
    tmp_path: Path, vibench: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = vibench("demo", "--scale", "tiny", "--out", "demo", COLUMNS="80")
    assert done.returncode == 0, done.stderr
    records, problems = read_records(tmp_path / "demo" / "leaderboards")
    assert not problems
    assert sorted((record.method, record.protocol) for record in records) == [
        (method, protocol) for method in ("agw", "baseline") for protocol in ("sysu-all", "sysu-indoor")
    ]
    board = (tmp_path / "demo" / "leaderboards" / "index.md").read_text()
    assert "sysu-all" in board and "sysu-indoor" in board
    page = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert "Synthetic people." in page and '"agw-training-sysu-mm01-twin"' in page
    assert all(f"./leaderboards/records/{record.dataset}/" in page and record.id in page for record in records)
    with Image.open(tmp_path / "demo" / "people.png") as people:
        assert people.format == "PNG"

    # It says first what it will do and how long that takes, and last where the page is and what to do next.
    assert done.stderr.index("In about 2 minutes") < done.stderr.index("people.png") < done.stderr.index("rendering")
    assert "training agw: 8 steps" in done.stderr and "▀" not in done.stderr
    words = " ".join(done.stdout.split())
    assert words.count("agw is within noise of baseline: r1") + words.count("agw against baseline: r1") == 2
    assert "one of 8 searches" in words and "synthetic: compare these rows with each other, not with papers" in words
    lines = done.stdout.splitlines()
    (where,) = (line for line in lines if line.startswith("All on one page: "))
    assert (tmp_path / where.split(": ")[1]).is_file()
    again_ranked, own = lines[-2:]
    assert own.startswith("Then your own: vibench eval --features ")
    assert max(len(line) for line in lines if line != again_ranked) <= 80

    made = _times(tmp_path / "demo")
    again = vibench("demo", "--scale", "tiny", "--out", "demo", "--minutes", "2", COLUMNS="80")
    assert again.returncode == 0, again.stderr
    assert again.stdout == done.stdout
    assert _times(tmp_path / "demo") == made, "a finished demo renders, trains, evaluates and draws nothing again"

    other = vibench("demo", "--scale", "tiny", "--out", "demo", "--minutes", "5")
    assert other.returncode == 2
    assert "demo.json: the demo was begun with --minutes 2, not 5" in " ".join(other.stderr.split())

    advised = vibench(*again_ranked.split("vibench ")[1].split())
    assert advised.returncode == 0, advised.stderr
    assert len(read_records(tmp_path / "demo" / "leaderboards")[0]) == len(records) + 1, "beside the others"

    recipe = tmp_path / "demo" / "runs" / "sysu-mm01-twin" / "agw-s0" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("lr = 0.006", "lr = 0.1"))
    refused = vibench("demo", "--scale", "tiny", "--out", "demo")
    assert refused.returncode == 2
    assert "agw-s0: holds a run of another recipe" in refused.stderr and "Traceback" not in refused.stderr
