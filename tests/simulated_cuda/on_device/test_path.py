"""The whole path on the device, by the command line: train, extract, evaluate, profile."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.simulated_cuda.device import NAME
from vibench.cli.main import main

Vibench = Callable[..., None]
SIZE = (64, 32)
BRIEF = ("--seconds", "0.01", "--max-batch", "4")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("path")


@pytest.fixture
def vibench(place: Path, monkeypatch: pytest.MonkeyPatch) -> Vibench:
    monkeypatch.setenv("VIBENCH_CACHE", str(place / "cache"))
    # Set first, so that what --deterministic sets is undone after the test.
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.chdir(place)

    def run(*words: object) -> None:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        assert ended.value.code in (0, None)

    return run


def settings(*more: str) -> list[str]:
    """Of a training of seconds."""
    height, width = SIZE
    values = (
        'model.backbone="resnet18-slim"',
        f"input.height={height}",
        f"input.width={width}",
        "sampler.identities=2",
        "sampler.images=2",
        "sampler.batches_per_epoch=2",
        "schedule.epochs=1",
        "schedule.milestones=[]",
        *more,
    )
    return [word for value in values for word in ("--set", value)]


@pytest.mark.parametrize(
    ("method", "precision"),
    [
        ("baseline", "off"),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in (("ddag", "bf16"), ("cm-ssft", "fp16"))),
    ],
)
def test_train_extract_evaluate_profile(
    method: str, precision: str, sysu_twin: Path, place: Path, vibench: Vibench, capfd: pytest.CaptureFixture[str]
) -> None:
    """Features and scores are those that the host finds for the same checkpoint, by operations that CUDA repeats."""
    run, data = place / method, ("--dataset", "sysu-mm01-twin", "--root", sysu_twin, "--pretrained", "none")
    how = ("--device", "cuda", "--amp", precision, "--deterministic")
    vibench("train", method, *data, *settings(), *how, "--out", run)
    record = json.loads((run / "run.json").read_text("utf-8"))
    assert NAME in json.dumps(record)

    found = {}
    for device in ("cuda", "cpu"):
        features = place / f"{method}-{device}.npz"
        vibench("extract", run, "--root", sysu_twin, "--device", device, "--amp", "off", "-o", features)
        with np.load(features) as file:
            found[device] = file["features"]
    np.testing.assert_allclose(found["cuda"], found["cpu"], atol=1e-4)

    scores = {}
    for device in ("cuda", "cpu"):
        written = place / f"{method}-{device}.json"
        asked = (run, "--root", sysu_twin, "--protocol", "sysu-all", "--query-mode", "single")
        vibench("eval", *asked, "--device", device, "--amp", "off", "--deterministic", "--json", written)
        (scored,) = json.loads(written.read_text("utf-8"))
        scores[device] = np.array([[one[name] for name in ("r1", "map", "minp")] for one in scored["trials"]])
    np.testing.assert_allclose(scores["cuda"], scores["cpu"], atol=1e-9)
    assert "deterministic implementation" not in capfd.readouterr().err

    profile = place / f"{method}-profile.json"
    vibench("profile", run, "--device", "cuda", *BRIEF, "--json", profile)
    assert NAME in profile.read_text("utf-8")


def test_the_second_device(place: Path, vibench: Vibench) -> None:
    """`--device cuda:1` leaves the first device the current one, and alone."""
    before, written = torch.cuda.max_memory_allocated(0), place / "1.json"
    vibench("profile", "agw", *settings(), "--device", "cuda:1", *BRIEF, "--json", written)
    assert torch.cuda.max_memory_allocated(0) == before and torch.cuda.max_memory_allocated(1) > 0
    profile = json.loads(written.read_text("utf-8"))
    # Events in the stream of the first device, which is idle, would find nothing.
    assert all(batch["duration"]["median"] > 0 for batch in profile["embedding"]["batches"])
