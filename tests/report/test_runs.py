"""Training curves of run folders."""

from __future__ import annotations

from pathlib import Path

from tests.records.made import make_record
from tests.report.scenes import cost, put
from vibench.files.writing import write_json
from vibench.records.store import record_path
from vibench.report.outcomes import read_outcomes
from vibench.report.runs import training_charts
from vibench.runtime.environment import Environment


def _run(folder: Path, identity: str, log: str, seed: int = 0, method: str = "agw") -> None:
    folder.mkdir(parents=True)
    texts = {"method": method, "variant": "", "dataset_version": "tiny-s0-r1", "root": "data", "pretrained": "none"}
    more = {"precision": "fp32", "recipe_sha256": "ef" * 32, "created": "2025-01-31T12:00:00Z", "seed": seed}
    environment = vars(Environment(vibench="0.1.0"))
    write_json(
        folder / "run.json", {"id": identity, "dataset": "sysu-mm01-twin", **texts, **more, "environment": environment}
    )
    (folder / "log.csv").write_text(log)


def test_curves_carry_the_records_of_their_run(tmp_path: Path) -> None:
    record = make_record("agw", **cost(60.0))
    put(tmp_path, record)
    outcomes, _ = read_outcomes({record_path(tmp_path, record): record}, tmp_path / "report.html")
    runs = tmp_path / "runs"
    _run(runs / "twin" / "agw-s0", "run-60", "epoch,lr,total,images_per_second\n0,0.1,3.5,9\n1,0.1,2.25,9\n")
    _run(runs / "twin" / "agw-s1", "run-of-nobody", "epoch,lr,total\n0,0.1,3.0\n", seed=1)
    _run(runs / "broken", "x", "epoch,lr,total\nzero,0.1,3.0\n")
    _run(runs / "empty", "y", "epoch,lr,total\n")
    (runs / "no-run").mkdir()
    (runs / "no-run" / "log.csv").write_text("a,b\n")
    (chart,), problems = training_charts(runs, outcomes)
    assert chart.name == "training-sysu-mm01-twin-agw"
    assert [(row.subject.label, row.subject.records, row.cells) for row in chart.rows] == [
        ("agw, seed 0", (record.id,), ("2", "3.5000", "2.2500")),
        ("agw, seed 1", (), ("1", "3.0000", "3.0000")),
    ]
    assert chart.rows[1].subject.origin == "run run-of-nobody"
    assert len(problems) == 1 and "broken" in problems[0]


def test_many_runs_are_several_charts(tmp_path: Path) -> None:
    for number in range(10):
        _run(tmp_path / f"run-{number}", f"run-{number}", "epoch,lr,total\n0,0.1,3.0\n")
    charts, problems = training_charts(tmp_path, {})
    assert [(chart.name, len(chart.rows)) for chart in charts] == [
        ("training-sysu-mm01-twin-agw-1", 8),
        ("training-sysu-mm01-twin-agw-2", 2),
    ]
    assert not problems


def test_every_method_has_its_chart_and_runs_alike_are_named_by_their_folders(tmp_path: Path) -> None:
    log = "epoch,lr,total\n0,0.1,3.0\n"
    for name, method, seed in (("a", "agw", 0), ("b", "agw", 0), ("c", "agw", 1), ("d", "ddag", 0)):
        _run(tmp_path / name, name, log, seed, method)
    charts, _ = training_charts(tmp_path, {})
    assert {chart.name: [row.subject.label for row in chart.rows] for chart in charts} == {
        "training-sysu-mm01-twin-agw": ["a", "b", "agw, seed 1"],
        "training-sysu-mm01-twin-ddag": ["ddag, seed 0"],
    }
