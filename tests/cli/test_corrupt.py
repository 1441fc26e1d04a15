"""``--corrupt`` as a user meets it: records, boards, comparisons and what is refused."""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.conftest import REPOSITORY
from tests.records.made import make_record
from tests.training.toy_runs import train_toy
from vibench.cli.records_table import records_table
from vibench.corruption import parse_corruptions
from vibench.files.writing import write_json
from vibench.records.store import read_records

SETTINGS = ("batches_per_epoch=1", "schedule.epochs=1", "identities=4", "sampler.images=2")
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corrupt")


@pytest.fixture(scope="module")
def run(folder: Path, sysu_twin: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIBENCH_CACHE", str(folder / "cache"))
        return train_toy("sysu-mm01-twin", sysu_twin, folder / "run", SETTINGS)


@pytest.fixture
def command(folder: Path, vibench: Command) -> Command:
    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        toy = {
            "VIBENCH_PLUGINS": str(REPOSITORY / "tests" / "training" / "toy"),
            "VIBENCH_CACHE": str(folder / "cache"),
            "COLUMNS": "100",
        }
        return vibench(*arguments, cwd=folder, **toy)

    return call


def test_a_curve_has_a_record_and_a_board_per_severity(command: Command, run: Path, folder: Path) -> None:
    options = ("--protocol", "sysu-all", "--device", "cpu", "--amp", "off", "--leaderboards", "curve")
    assert command("eval", run, *options).returncode == 0
    done = command("eval", run, *options, "--corrupt", "occlusion:1-3", "--json", "records.json")
    assert done.returncode == 0, done.stderr
    assert "visible images corrupted" in " ".join(done.stdout.split())
    assert all(f"occlusion:{severity}" in done.stdout for severity in (1, 2, 3))
    listed = json.loads((folder / "records.json").read_text())
    assert [one["corruption"]["severity"] for one in listed] == [1, 2, 3]
    assert listed[0]["corruption"]["modalities"] == ["visible"]
    records, problems = read_records(folder / "curve")
    assert len(records) == 4 and not problems
    rendered = command("leaderboard", "--leaderboards", "curve", "--recompute")
    assert rendered.returncode == 0, rendered.stderr + rendered.stdout
    assert command("leaderboard", "--leaderboards", "curve").returncode == 0
    boards = sorted(path.stem for path in (folder / "curve" / "sysu-mm01-twin").glob("*.md"))
    assert boards == [
        *(f"sysu-all-occlusion-{severity}-visible-seeded-tiny-s0-r1" for severity in (1, 2, 3)),
        "sysu-all-seeded-tiny-s0-r1",
    ]
    text = (folder / "curve" / "sysu-mm01-twin" / f"{boards[1]}.md").read_text()
    assert "Every visible test image was corrupted: occlusion, severity 2." in text
    index = (folder / "curve" / "index.md").read_text()
    overview, _, listed_boards = index.partition("## All boards")
    assert "occlusion" not in overview and listed_boards.count("corrupted (occlusion:") == 3
    # A method's name means its clean records, unless corrupted ones are asked for.
    ids = {record.corruption.severity if record.corruption else 0: record.id for record in records}
    clash = command("compare", ids[0], ids[1], "--leaderboards", "curve")
    assert clash.returncode == 2 and "fingerprint differs" in clash.stderr
    wrong = command("compare", "toy", ids[2], "--leaderboards", "curve", "--corrupt", "occlusion:2")
    assert wrong.returncode == 2 and f"both mean record {ids[2]}" in wrong.stderr
    several = command("compare", "toy", "toy", "--leaderboards", "curve", "--corrupt", "curve")
    assert several.returncode == 2 and "means 5 boards; name one, such as mixed:1" in several.stderr


def test_processes_and_repetition_make_no_difference(command: Command, run: Path, folder: Path) -> None:
    pytest.importorskip("imagecorruptions")
    options = ("--protocol", "sysu-all", "--device", "cpu", "--amp", "off", "--corrupt", "contrast")
    options = (*options, "--corrupt-modality", "both")
    ids = []
    for name in ("one", "two"):
        done = command("eval", run, *options, "--leaderboards", name)
        assert done.returncode == 0, done.stderr
        ids += [record.id for record in read_records(folder / name)[0]]
        # The second time everything is corrupted anew.
        for marker in (folder / "cache").glob("*contrast*/cache.json"):
            marker.unlink()
    assert len(ids) == 2 and ids[0] == ids[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--protocol", "sysu-all", "--corrupt", "fgo"), "did you mean 'fog'?"),
        (("--protocol", "sysu-all", "--corrupt", ""), "is none of mixed, curve and the types"),
        (("--protocol", "sysu-all", "--corrupt-modality", "both"), "says whose images --corrupt concerns"),
        (("--protocol", "sysu-all", "--corrupt", "fog:7"), "fog has the severities 1 to 5"),
        (
            ("--protocol", "sysu-all", "--corrupt", "fog", "--corrupt-modality", "ir"),
            "none of visible, infrared and both",
        ),
        (
            ("--protocol", "sysu-all", "--corrupt", "saturate", "--corrupt-modality", "infrared"),
            "no corruption of infrared",
        ),
        (("--protocol", "sysu-all-c-as-scripted", "--corrupt", "fog"), "corrupts images by its own rules"),
        (("--protocol", "sysu-all", "--corrupt", "fog", "--auxiliary", "1"), "is measured on clean images"),
    ],
)
def test_a_wrong_request_is_one_sentence(command: Command, run: Path, arguments: tuple[str, ...], words: str) -> None:
    done = command("eval", run, *arguments, "--leaderboards", "nowhere")
    assert done.returncode == 2 and words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr and not (run.parent / "nowhere").exists()


def test_features_are_refused(command: Command, folder: Path) -> None:
    write_json(folder / "features.npz", {})
    done = command("eval", "--features", "features.npz", "--protocol", "sysu-all", "--corrupt", "mixed")
    assert done.returncode == 2 and "--corrupt mixed: needs a trained method" in done.stderr


def test_the_longest_names_fit_a_terminal_of_80_columns() -> None:
    (corruption,) = parse_corruptions("elastic-transform:3", "both")
    made = make_record("agw", 0.9, corruption=corruption, protocol="sysu-indoor-c-as-scripted")
    (first, *others) = made.trials
    record = replace(made, trials=(replace(first, queries=3803, valid_queries=2208, gallery=3010), *others))
    console = Console(width=80, record=True, quiet=False, file=io.StringIO())
    console.print(records_table([record]))
    text = console.export_text()
    assert all(words in text for words in ("sysu-indoor-c-as-scripted", "elastic-transform:3", "2208/3803", "mINP"))
    assert "visible and infrared images corrupted" in " ".join(text.split()) and "…" not in text


def test_one_trial_has_no_spread() -> None:
    for count in (1, 2):
        console = Console(width=80, record=True, quiet=False, file=io.StringIO())
        console.print(records_table([make_record("agw", 0.5, trial_count=count)]))
        assert len(re.findall(r"\d\.\d\d", console.export_text())) == 6 * count
