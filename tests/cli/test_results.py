"""Results are never lost: their places are tried before the work, and what fails at its end is kept elsewhere."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.training import toy  # noqa: F401  (registers the method)
from vibench.cli.main import app
from vibench.datasets.registry import get_dataset
from vibench.errors import UsageError, VibenchError
from vibench.evaluation.features import Features, read_features, write_features
from vibench.records.store import read_records

Vibench = Callable[..., subprocess.CompletedProcess[str]]
Run = Callable[..., Result]

TINY = ("sampler.batches_per_epoch=1", "schedule.epochs=1", "sampler.identities=4", "sampler.images=2")
DECLARED = ("--test-time-information", "none")
ON_CPU = ("--device", "cpu", "--amp", "off")


@pytest.fixture(scope="module")
def features(sysu_twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    index = get_dataset("sysu-mm01-twin").index(sysu_twin)
    names = tuple(index["path"][index["split"] == "test"])
    values = np.random.default_rng(0).standard_normal((len(names), 8)).astype(np.float32)
    path = tmp_path_factory.mktemp("features") / "random.npz"
    write_features(path, Features(values, names, meta={"dataset": "sysu-mm01-twin"}))
    return path


@pytest.fixture(scope="module")
def scores(features: Path) -> Path:
    """The same as scores of pairs."""
    found = read_features(features)
    names = np.array(found.paths)
    infrared = np.array([name.startswith(("cam3", "cam6")) for name in names])
    query, gallery = (found.features[rows] for rows in (infrared, ~infrared))
    path = features.with_name("scores.npz")
    np.savez(path, scores=query @ gallery.T, query_paths=names[infrared], gallery_paths=names[~infrared])
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``vibench ARGS...`` in this process and a folder in which lie a file, a folder and a link to nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIBENCH_LEADERBOARDS", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def trained(sysu_twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    settings = [word for setting in TINY for word in ("--set", setting)]
    data = ("--dataset", "sysu-mm01-twin", "--root", str(sysu_twin), "--out", str(folder / "run"))
    result = CliRunner(env={"VIBENCH_CACHE": str(folder / "cache")}).invoke(
        app, ["train", "toy", *data, "--pretrained", "none", *ON_CPU, *settings]
    )
    assert result.exit_code == 0, result.output
    return folder / "run"


@pytest.fixture
def fill(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """From now on nothing gets its name below a folder: its disk has become full as the work ended."""
    rename = Path.replace

    def begin(folder: Path) -> None:
        def replace(self: Path, target: Path) -> Path:
            if Path(target).resolve().is_relative_to(folder.resolve()):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
            return rename(self, target)

        monkeypatch.setattr(Path, "replace", replace)

    return begin


def never(*_: object, **__: object) -> None:
    raise AssertionError("the work has begun")


@pytest.mark.parametrize(
    ("command", "work"),
    [
        ("eval RUN --protocol sysu-all --leaderboards {}", "vibench.scoring.embedded.embed_models"),
        ("eval RUN --protocol sysu-all --json {}", "vibench.scoring.embedded.embed_models"),
        (
            "eval --scores S --test-time-information none --protocol sysu-all --leaderboards {}",
            "vibench.scoring.matrix.score_matrices",
        ),
        (
            "eval --scores S --test-time-information none --protocol sysu-all --json {}",
            "vibench.scoring.matrix.score_matrices",
        ),
        ("extract RUN -o {}", "vibench.scoring.trained.TrainedModel.extract"),
        ("profile toy --json {}", "vibench.profiling.measure.profile_method"),
        ("profile toy --plot {}", "vibench.profiling.measure.profile_method"),
        ("compare agw caj --json {}", "vibench.records.store.find_records"),
        ("visualize RUN -o {}", "vibench.visualize.pictured_run.find_model"),
        ("report -o {}", "vibench.report.write.render_report"),
        ("leaderboard --leaderboards {}", "vibench.leaderboard.update.update_boards"),
        ("train toy --dataset sysu-mm01-twin --root ROOT --out {}", "vibench.training.prepare.find_inputs"),
        ("data check --dataset sysu-mm01-twin --root ROOT --json {}", "vibench.datasets.check.check_dataset"),
        (
            "data heatmaps -d sysu-mm01-twin --root ROOT --from twin -o {}",
            "vibench.data.heatmap_sources.source_heatmaps",
        ),
        (
            "data attributes -d sysu-mm01-twin --root ROOT --from twin -o {}",
            "vibench.data.attribute_sources.read_source",
        ),
        ("data twin --scale tiny --preview {}", "vibench.datasets.twin.preview.write_preview"),
        ("data twin --scale tiny --out {}", "vibench.datasets.twin.make.make_twin"),
        ("import agw FILE -o {}", "vibench.training.official.import_official"),
        ("demo --scale tiny --out {}", "vibench.demo.run_demo"),
    ],
)
@pytest.mark.parametrize("place", ["file/x.png", "dangling/x.png", "n" * 300])
def test_the_place_is_tried_before_the_work(
    run: Run,
    trained: Path,
    sysu_twin: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: str,
    work: str,
    place: str,
) -> None:
    monkeypatch.setattr(work, never)
    known = {"RUN": trained, "ROOT": sysu_twin, "S": "no-scores.npz"}
    before = sorted(tmp_path.rglob("*"))
    error = run(*(known.get(word, word.format(place)) for word in command.split())).exception
    assert isinstance(error, UsageError), error
    assert place[:20] in str(error) and "choose another" in str(error)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["eval --features F --protocol sysu-all --json {}", "report -o {}"])
def test_a_folder_in_place_of_a_file(run: Run, features: Path, command: str) -> None:
    error = run(*(features if word == "F" else word.format("folder") for word in command.split())).exception
    assert isinstance(error, UsageError) and "folder: is a folder; name the file" in str(error)


@pytest.mark.parametrize("source", ["features", "scores"])
def test_scores_are_shown_and_records_kept(
    run: Run, features: Path, scores: Path, source: str, tmp_path: Path, fill: Callable[..., None]
) -> None:
    given = ("--features", features) if source == "features" else ("--scores", scores, *DECLARED)
    arguments = ("eval", *given, "--dataset", "sysu-mm01-twin", "--protocol", "sysu-all")
    good = run(*arguments, "--leaderboards", "good")
    fill(tmp_path / "full")
    result = run(*arguments, "--leaderboards", "full/boards", "--json", "full/records.json")
    assert good.exit_code == 0 and good.stdout == result.stdout and "mAP" in result.stdout
    error = result.exception
    assert isinstance(error, VibenchError) and error.exit_code == 1
    assert "No space left on device" in str(error) and str(error).count("\n") == 0
    (kept,) = tmp_path.glob("vibench-kept-*")
    (record,), problems = read_records(kept / "boards")
    assert not problems and record.id == read_records(tmp_path / "good")[0][0].id
    assert json.loads((kept / "records.json").read_text())[0]["mean"] == record.mean
    for file in (kept / "records.json", next((kept / "boards").rglob("*.json"))):
        assert f"kept as {file.relative_to(tmp_path)}" in str(error)


def test_a_folder_in_place_of_the_record_costs_nothing(vibench: Vibench, features: Path, tmp_path: Path) -> None:
    """As a user meets it: nothing is replaced by the test."""
    arguments = ("eval", "--features", features, "--dataset", "sysu-mm01-twin", "--protocol", "sysu-all")
    first = vibench(*arguments)
    (file,) = (tmp_path / "leaderboards").rglob("*.json")
    text = file.read_text()
    file.unlink()
    (file / "something").mkdir(parents=True)
    second = vibench(*arguments)
    assert second.returncode == 1 and second.stdout == first.stdout
    (kept,) = (tmp_path).glob(f"vibench-kept-*/leaderboards/records/*/*/{file.name}")
    assert json.loads(kept.read_text())["mean"] == json.loads(text)["mean"]
    assert str(kept.relative_to(tmp_path)) in second.stderr and "Traceback" not in second.stderr


def test_extracted_features_are_kept(run: Run, trained: Path, tmp_path: Path, fill: Callable[..., None]) -> None:
    fill(tmp_path / "full")
    error = run("extract", trained, "-o", "full/features.npz", *ON_CPU).exception
    (kept,) = tmp_path.glob("vibench-kept-*/features.npz")
    assert isinstance(error, VibenchError) and str(kept.relative_to(tmp_path)) in str(error)
    assert read_features(kept).meta["method"] == "toy"


def test_the_report_and_its_charts_are_kept(
    run: Run, features: Path, tmp_path: Path, fill: Callable[..., None]
) -> None:
    run("eval", "--features", features, "--dataset", "sysu-mm01-twin", "--protocol", "sysu-all")
    fill(tmp_path / "full")
    error = run("report", "-o", "full/report.html").exception
    (kept,) = tmp_path.glob("vibench-kept-*/report.html")
    assert isinstance(error, VibenchError) and str(kept.relative_to(tmp_path)) in str(error)
    assert "</html>" in kept.read_text()


def test_pictures_are_kept(run: Run, trained: Path, tmp_path: Path, fill: Callable[..., None]) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install vibench[plots])")
    fill(tmp_path / "full")
    error = run("visualize", trained, "-o", "full/pictures", "--what", "cmc", *ON_CPU).exception
    (kept,) = tmp_path.glob("vibench-kept-*/cmc.png")
    assert isinstance(error, VibenchError) and str(kept.relative_to(tmp_path)) in str(error)


def test_boards_are_shown_where_they_cannot_be_written(
    run: Run, features: Path, tmp_path: Path, fill: Callable[..., None]
) -> None:
    run("eval", "--features", features, "--dataset", "sysu-mm01-twin", "--protocol", "sysu-all")
    fill(tmp_path / "leaderboards")
    result = run("leaderboard")
    assert isinstance(result.exception, OSError)
    assert "sysu-all" in result.stdout and "mAP" in result.stdout


def test_a_profile_and_a_check_are_shown_and_kept(
    run: Run, sysu_twin: Path, tmp_path: Path, fill: Callable[..., None]
) -> None:
    fill(tmp_path / "full")
    for command in (
        ("profile", "toy", "--part", "matching", "--seconds", "0", "--device", "cpu"),
        ("data", "check", "--dataset", "sysu-mm01-twin", "--root", sysu_twin, "--workers", "1"),
    ):
        result = run(*command, "--json", "full/result.json")
        assert isinstance(result.exception, VibenchError) and result.stdout
    assert len(list(tmp_path.glob("vibench-kept-*/result.json"))) == 2


def test_parents_of_a_result_are_made(run: Run, trained: Path, tmp_path: Path) -> None:
    assert run("extract", trained, "-o", "new/folder/features.npz", *ON_CPU).exit_code == 0
    assert (tmp_path / "new" / "folder" / "features.npz").is_file()


@pytest.mark.parametrize("place", ["file", "file/caches", "dangling", "x" * 300])
def test_an_unusable_cache_is_said_before_images_are_listed(
    run: Run, trained: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("VIBENCH_CACHE", place)
    monkeypatch.setattr("vibench.datasets.registry.Dataset.index_from_names", never)
    monkeypatch.setattr("vibench.data.cache._fingerprint", never)
    error = run("extract", trained, "-o", "f.npz", *ON_CPU).exception
    assert isinstance(error, VibenchError) and "set VIBENCH_CACHE to another folder" in str(error)


def test_a_system_without_home_folder_is_one_sentence(run: Run, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("VIBENCH_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    error = run("extract", trained, "-o", "f.npz", *ON_CPU).exception
    assert isinstance(error, UsageError) and "set VIBENCH_CACHE" in str(error)
