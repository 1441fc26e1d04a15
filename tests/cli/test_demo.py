"""``vibench demo``, tiny: every stage once, then again from what is there."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from vibench.records.store import read_records


def _times(folder: Path) -> dict[Path, int]:
    kept = [path for path in folder.rglob("*") if path.suffix in (".pt", ".npy", ".jpg", ".bmp")]
    return {path: path.stat().st_mtime_ns for path in kept}


def test_the_demo_goes_from_nothing_to_leaderboards(
    tmp_path: Path, vibench: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = vibench("demo", "--scale", "tiny", "--out", "demo", COLUMNS="80")
    assert done.returncode == 0, done.stderr
    records, problems = read_records(tmp_path / "demo" / "leaderboards")
    assert not problems
    assert sorted((record.method, record.protocol) for record in records) == sorted(
        (method, protocol)
        for method in ("agw", "baseline")
        for protocol in (
            "sysu-all", "sysu-all-multi", "sysu-indoor", "sysu-indoor-multi", "regdb-v2t", "regdb-t2v"
        )
    )  # fmt: skip
    board = (tmp_path / "demo" / "leaderboards" / "index.md").read_text()
    assert "sysu-all" in board and "regdb-t2v" in board
    page = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert "Synthetic people." in page and 'href="#training"' in page
    assert all(f"./leaderboards/records/{record.dataset}/" in page and record.id in page for record in records)
    assert "report.html" in done.stdout and "report.html" in done.stderr
    assert "synthetic" in done.stdout.splitlines()[-1] or "synthetic" in "".join(done.stdout.splitlines()[-4:])
    assert max(map(len, done.stdout.splitlines()[:10])) <= 80

    made = _times(tmp_path / "demo")
    again = vibench("demo", "--scale", "tiny", "--out", "demo", COLUMNS="80")
    assert again.returncode == 0, again.stderr
    assert _times(tmp_path / "demo") == made, "a finished demo renders, caches and trains nothing again"
    assert len(read_records(tmp_path / "demo" / "leaderboards")[0]) == len(records)

    advised = vibench(*again.stdout.split("then try: vibench ")[1].split())
    assert advised.returncode == 0, advised.stderr
    assert len(read_records(tmp_path / "demo" / "leaderboards")[0]) == len(records) + 1, "beside the others"

    recipe = tmp_path / "demo" / "runs" / "sysu-mm01-twin" / "agw-s0" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("lr = 0.0015", "lr = 0.1"))
    refused = vibench("demo", "--scale", "tiny", "--out", "demo")
    assert refused.returncode == 2
    assert "agw-s0: holds a run of another recipe" in refused.stderr and "Traceback" not in refused.stderr
