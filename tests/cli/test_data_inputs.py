"""``vibench data attributes`` and ``vibench data heatmaps``, and training on what they write."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.data.test_attribute_sources import write_official
from tests.datasets import mini
from tests.training import toy_inputs  # noqa: F401  (registers the method)
from vibench.cli.main import app
from vibench.data.attributes import ATTRIBUTES, read_attributes
from vibench.errors import UsageError, VibenchError
from vibench.training.folder import RunFolder

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return mini.write_sysu(tmp_path / "sysu-mm01")


def shown(*arguments: object) -> str:
    """What a successful ``vibench ARGS...`` prints, in one line."""
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.replace("│", " ").split())


def write_coco(path: Path, root: Path) -> Path:
    names = sorted(str(file.relative_to(root)) for file in root.rglob("*.jpg"))
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    person = [value for joint in range(17) for value in (joint, 2 * joint, 2)]
    annotations = [{"image_id": number, "keypoints": person} for number in range(len(names))]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


@pytest.mark.parametrize("command", ["attributes", "heatmaps"])
def test_help_has_an_example(command: str) -> None:
    assert f"Example: vibench data {command}" in shown("data", command, "--help")


def test_official_labels_are_counted_and_written(root: Path, tmp_path: Path) -> None:
    official = write_official(tmp_path / "official")
    text = shown("data", "attributes", "-d", "sysu-mm01", "--root", root, "--from", official)
    # Training identities 1, 2 and 4 in six cameras each: 1 and 2 have labels, 1 another code in every camera.
    assert "training 3 1 18 6 7" in text and "test 2 2 12 12 0" in text
    assert "training identities without any label: 4" in text
    assert "test identities without any label: 6, 10" in text
    assert f"12 labels: {root / 'attributes.csv'}" in text
    bits, known = read_attributes(root / "attributes.csv").lookup([1, 1, 2, 4], [3, 6, 5, 1])
    assert known.tolist() == [True, True, True, False] and bits[0].tolist() == [0, 0, 0, 0, 0, 0, 1, 1]

    before = (root / "attributes.csv").read_bytes()
    other = tmp_path / "other.csv"
    data = ["data", "attributes", "-d", "sysu-mm01", "--root", root]
    arguments = [*data, "--from", root / "attributes.csv", "-o", other]
    shown(*arguments)
    assert other.read_bytes() == before == (root / "attributes.csv").read_bytes()
    text = shown(*arguments, "--identity-level")
    assert "training 3 1 18 6 1" in text
    # Of the codes 001 to 110 three have each bit: a tie.
    assert other.read_text().splitlines()[1:] == ["1,0,0,0,0,0,0,0,0", "2,0,0,0,0,0,0,0,0"]


def test_cameras_without_label_are_named(root: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    zeros = ",0" * 8
    rows = [f"{pid},{camera}{zeros}" for pid in (1, 2, 4, 6, 10) for camera in range(1, 7) if (pid, camera) != (2, 3)]
    labels.write_text("\n".join([f"pid,camera,{','.join(ATTRIBUTES)}", *rows]))
    text = shown("data", "attributes", "-d", "sysu-mm01", "--root", root, "--from", labels)
    assert "training identities without label: 2 in camera 3" in text and "without any" not in text


def test_bad_input_leaves_the_old_file_and_exits_with_2(vibench: Command, root: Path, tmp_path: Path) -> None:
    (root / "attributes.csv").write_text("precious")
    labels = tmp_path / "labels.csv"
    labels.write_text(f"pid,{','.join(ATTRIBUTES)}\n1,0,0,0,0,0,0,0,7\n")
    done = vibench("data", "attributes", "-d", "sysu-mm01", "--root", root, "--from", labels)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith(f"error: {labels}, line 2: 'satchel' of identity 1 is '7'; it must be 0 or 1")
    assert (root / "attributes.csv").read_text() == "precious"


def test_a_place_that_cannot_be_written_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    common = ["-d", "sysu-mm01", "--root", str(root), "-o", str(tmp_path / "file" / "x"), "--from"]
    for command, source in (
        ("attributes", write_official(tmp_path / "official")),
        ("heatmaps", write_coco(tmp_path / "coco.json", root)),
    ):
        with pytest.raises(VibenchError, match=r"cannot be written \(.*\); choose another -o"):
            CliRunner().invoke(app, ["data", command, *common, str(source)], catch_exceptions=False)


def test_heatmaps_are_counted_by_modality_and_written(root: Path, tmp_path: Path) -> None:
    coco = write_coco(tmp_path / "coco.json", root)
    common = ["data", "heatmaps", "-d", "sysu-mm01", "--root", root, "--from", coco, "--height", 48, "--width", 32]
    text = shown(*common)
    # Three training identities, two images in each of four visible and two infrared cameras.
    assert "visible 24 24 2.00" in text and "infrared 12 12 2.00" in text
    assert f"36 x 1 x 12 x 8 heatmaps: {root / 'heatmaps.npz'}" in text
    with np.load(root / "heatmaps.npz") as stored:
        assert stored["known"].all() and stored["heatmaps"].shape == (36, 1, 12, 8)
    assert "36 x 17 x 12 x 8" in shown(*common, "--channels", 17)
    with pytest.raises(UsageError, match="--channels 2"):
        CliRunner().invoke(app, [*map(str, common), "--channels", "2"], catch_exceptions=False)


def test_info_says_what_lies_beside_the_images(root: Path, tmp_path: Path, sysu_twin: Path) -> None:
    arguments = ["data", "info", "-d", "sysu-mm01", "--root", root]
    assert "attributes: none; 'vibench data attributes' makes them" in shown(*arguments)
    shown("data", "attributes", *arguments[2:], "--from", write_official(tmp_path / "official"))
    text = shown(*arguments)
    assert f"attributes: {root / 'attributes.csv'}" in text and "heatmaps: none" in text
    text = shown("data", "info", "-d", "sysu-mm01-twin", "--root", sysu_twin)
    assert f"heatmaps: {sysu_twin / 'truth' / 'keypoints.npz'}" in text


def test_training_uses_what_was_made_or_what_is_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIBENCH_CACHE", str(tmp_path / "cache"))
    data = ["-d", "sysu-mm01", "--root", root]
    shown("data", "attributes", *data, "--from", write_official(tmp_path / "official"))
    coco = write_coco(tmp_path / "coco.json", root)
    shown("data", "heatmaps", *data, "--from", coco, "--height", 48, "--width", 32, "-o", tmp_path / "h.npz")
    training = ["train", "toy-inputs", "--dataset", "sysu-mm01", "--root", root, "--pretrained", "none"]
    training += ["--set", "schedule.epochs=1", "--set", "schedule.milestones=[]", "--device", "cpu"]
    training.append("--allow-incomplete")
    with pytest.raises(UsageError, match="holds no keypoint heatmaps of sysu-mm01"):
        CliRunner().invoke(app, list(map(str, training)), catch_exceptions=False)
    shown(*training, "--heatmaps", tmp_path / "h.npz", "--out", "run")
    inputs = RunFolder(tmp_path / "run").description().inputs
    assert inputs["attributes"].path == str(root / "attributes.csv")
    assert inputs["heatmaps"].path == str(tmp_path / "h.npz")
    with pytest.raises(UsageError, match="--heatmaps cannot be changed with --resume"):
        CliRunner().invoke(app, ["train", "--resume", "run", "--heatmaps", "h.npz"], catch_exceptions=False)


def test_methods_say_how_their_needs_are_met() -> None:
    text = shown("methods", "toy-inputs")
    assert "needs in training besides images and identities: attributes, heatmaps" in text
    assert "'vibench data heatmaps' makes them" in text
