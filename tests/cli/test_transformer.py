"""The method on a transformer from the command line: training through both stages, evaluation, pictures, bad input."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch

Vibench = Callable[..., CompletedProcess[str]]

SMALL = [
    word
    for setting in (
        "model.backbone=vit-slim", "input.height=64", "input.width=32", "identities=2", "sampler.images=2",
        "batches_per_epoch=1", "schedule.epochs=3", "visible_grey_epochs=2",
    )
    for word in ("--set", setting)
]  # fmt: skip


def test_from_training_to_pictures(vibench: Vibench, sysu_twin: Path, tmp_path: Path):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install vibench[plots])")
    arguments = ("--dataset", "sysu-mm01-twin", "--root", sysu_twin, "--pretrained", "none", "--device", "cpu")
    trained = vibench("train", "pmt", *arguments, *SMALL, "--out", "run")
    assert trained.returncode == 0, trained.stderr
    with (tmp_path / "run" / "log.csv").open(newline="") as log:
        rows = list(csv.DictReader(log))
    assert [bool(row["msel"]) for row in rows] == [bool(row["dcl"]) for row in rows] == [False, False, True]
    assert float(rows[-1]["lr"]) == pytest.approx(3e-6)

    scored = vibench("eval", "run", "--protocol", "sysu-all", "--json", "records.json", "--leaderboards", "boards")
    assert scored.returncode == 0, scored.stderr
    (record,) = json.loads((tmp_path / "records.json").read_text())
    assert (record["method"], record["run"]["backbone"], record["run"]["pretrained"]) == ("pmt", "vit-slim", "none")
    assert "pretrained" in record["run"]["recipe"] and record["profile"]["flops_per_image"] > 0

    drawn = vibench("visualize", "run", "--what", "gradcam", "--count", 1, "-o", "pictures")
    assert drawn.returncode == 0, drawn.stderr
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["rollout.png"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--pretrained", "imagenet", *SMALL),
            "published weights of vit-slim; start with --pretrained none",
        ),
        (
            ("--pretrained", "weights.pt", *SMALL),
            "does not fit torchvision's vit-slim: it lacks class_token",
        ),
        (("--set", "model.backbone=resnet50"), "'backbone' must be one of 'vit-b-16', 'vit-slim', not 'resnet50'"),
        (("--set", "model.stride=20"), "'stride' must be 1 to 16 pixels, not 20: larger ones leave gaps"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(
    words: tuple[str, ...], sentence: str, vibench: Vibench, sysu_twin: Path, tmp_path: Path
):
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "weights.pt")
    refused = vibench("train", "pmt", "--dataset", "sysu-mm01-twin", "--root", sysu_twin, *words, "--out", "run")
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert sentence in " ".join(refused.stderr.split())
    assert not (tmp_path / "run" / "checkpoints").exists()
