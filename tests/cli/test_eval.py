"""``vibench eval`` and ``vibench extract`` as a user meets them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.training import toy  # noqa: F401  (registers the method)
from vibench.cli.main import app
from vibench.datasets.registry import get_dataset
from vibench.datasets.sysu_mm01 import sysu_skeleton
from vibench.datasets.testing import images_of_tests
from vibench.errors import UsageError, VibenchError
from vibench.evaluation.features import read_features
from vibench.records.store import read_records

SCORES = ("--scores", "s.npz", "--protocol", "sysu-all", "--test-time-information")
TINY = ("batches_per_epoch=1", "schedule.epochs=1", "identities=4", "sampler.images=2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("eval")


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run ``vibench ARGS...`` in this process, in one folder for the whole module."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("VIBENCH_CACHE", str(folder / "cache"))
    monkeypatch.setenv("COLUMNS", "80")

    def invoke(*arguments: object) -> Result:
        result = CliRunner().invoke(app, list(map(str, arguments)))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def trained(folder: Path, sysu_twin: Path, run: Callable[..., Result]) -> Path:
    target = folder / "run"
    if not target.exists():
        settings = [word for setting in TINY for word in ("--set", setting)]
        where = ("--dataset", "sysu-mm01-twin", "--root", sysu_twin, "--out", target)
        run("train", "toy", *where, "--pretrained", "none", "--amp", "off", "--device", "cpu", *settings)
    return target


def test_a_run_is_evaluated_recorded_and_shown(run: Callable[..., Result], trained: Path, folder: Path) -> None:
    protocols = ("--protocol", "sysu-all", "--protocol", "sysu-indoor")
    result = run("eval", trained, *protocols, "--json", "records.json", "--device", "cpu", "--amp", "off")
    records, problems = read_records(folder / "leaderboards")
    assert not problems
    assert sorted(record.protocol for record in records) == ["sysu-all", "sysu-indoor"]
    listed = json.loads((folder / "records.json").read_text())
    assert [record["protocol"] for record in listed] == ["sysu-all", "sysu-indoor"]
    indoor = next(record for record in records if record.protocol == "sysu-indoor")
    assert f"{indoor.trials[0].valid_queries}/{indoor.trials[0].queries}" in result.output
    assert f"{100 * indoor.mean['r1']:.2f}" in result.output
    assert "have no reachable match" in result.output
    assert max(map(len, result.output.splitlines())) <= 160


def test_extracted_features_evaluate_like_the_run(run: Callable[..., Result], trained: Path, folder: Path) -> None:
    run("extract", trained, "-o", "features.npz", "--device", "cpu", "--amp", "off")
    assert read_features(folder / "features.npz").meta["method"] == "toy"
    for source, json_file in ((("eval", trained), "a.json"), (("eval", "--features", "features.npz"), "b.json")):
        run(*source, "--protocol", "sysu-all", "--json", json_file, "--device", "cpu", "--leaderboards", "elsewhere")
    from_run, from_file = (json.loads((folder / name).read_text())[0] for name in ("a.json", "b.json"))
    assert from_run["mean"]["map"] == pytest.approx(from_file["mean"]["map"], abs=2e-2)
    assert from_file["source"] == "features" and from_file["method"] == "toy"
    assert from_file["dataset_version"] == from_run["dataset_version"] != ""


def test_extracting_from_a_copy_that_lacks_test_images_says_so(
    run: Callable[..., Result], trained: Path, sysu_twin: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(sysu_twin, tmp_path / "copy"))
    index = get_dataset("sysu-mm01-twin").index(copy)
    missing = sorted(index.loc[index["split"] == "test", "path"])[0]
    (copy / missing).unlink()
    result = run("extract", trained, "--root", copy, "-o", tmp_path / "f.npz", "--device", "cpu", "--amp", "off")
    assert result.exit_code == 0, result.output
    said = " ".join(result.stderr.split())
    assert f"the test split of sysu-mm01-twin lacks 1 of {(index['split'] == 'test').sum()} images ({missing})" in said
    assert "unranked, with --allow-incomplete" in said


def test_a_twin_that_was_moved_is_asked_for(
    run: Callable[..., Result], trained: Path, sysu_twin: Path, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(trained, tmp_path / "moved"))
    description = json.loads((moved / "run.json").read_text())
    (moved / "run.json").write_text(json.dumps({**description, "root": str(tmp_path / "gone")}))
    words = ("eval", moved, "--protocol", "sysu-all", "--device", "cpu", "--leaderboards", "boards")
    with pytest.raises(UsageError, match=r"gone: the data set sysu-mm01-twin is no longer there; say .* --root"):
        run(*words)
    found = run(*words, "--root", sysu_twin)
    assert found.stderr.endswith("1 records in boards/records; next: vibench leaderboard --leaderboards boards\n")


def test_scores_of_pairs_make_the_record_of_their_features(
    run: Callable[..., Result], folder: Path, sysu_twin: Path
) -> None:
    names = np.array(images_of_tests(get_dataset("sysu-mm01-twin"), sysu_twin)[1]["path"])
    values = np.random.default_rng(0).integers(-3, 4, (len(names), 6)).astype(np.float32)
    infrared = np.array([name[3] in "36" for name in names])
    np.savez(folder / "f.npz", features=values, paths=names)
    squared = np.square(values[infrared][:, None] - values[~infrared][None]).sum(axis=2)
    np.savez(folder / "pairs.npz", distances=squared, query_paths=names[infrared], gallery_paths=names[~infrared])
    rules = ("--protocol", "sysu-all", "--protocol", "sysu-indoor", "--dataset", "sysu-mm01-twin", "--device", "cpu")
    keep = ("--root", sysu_twin, "--leaderboards", "pairs", "--name", "pairs")
    run("eval", "--features", "f.npz", "--distance", "euclidean", *rules, *keep, "--json", "f.json")
    result = run(
        "eval", "--scores", "pairs.npz", "--test-time-information", "queries+gallery", *rules, *keep, "--json", "s.json"
    )
    ours, theirs = (json.loads((folder / name).read_text()) for name in ("s.json", "f.json"))
    assert [one["trials"] for one in ours] == [one["trials"] for one in theirs]
    assert {one["test_time_information"] for one in ours} == {"gallery+queries"}
    assert {one["source"] for one in ours} == {"scores"}
    assert "pairs on sysu-mm01-twin tiny-s0-r" in result.output and "(scores)" in result.output
    assert "gallery and queries besides is declared, not checked" in result.output
    assert len(read_records(folder / "pairs")[0]) == 4


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ((), UsageError, "exactly one of RUN, --features, --scores, --checkpoint and --attributes-only"),
        (("RUN",), UsageError, "no protocol given"),
        (("RUN", "--protocol", "sysu-al"), UsageError, "did you mean 'sysu-all'"),
        (("RUN", "--protocol", "regdb-v2t"), UsageError, "is a protocol of regdb"),
        (("RUN", "--protocol", "sysu-all", "--draw", "offical"), UsageError, "did you mean 'official'"),
        (("RUN", "--protocol", "sysu-all", "--rerank", "k-recip"), UsageError, "did you mean 'k-reciprocal'"),
        (("RUN", "--protocol", "sysu-all", "--distance", "l2"), UsageError, "unknown distance 'l2'"),
        (("RUN", "--protocol", "sysu-all", "--feature", "f"), UsageError, "toy has no such feature; it has embedding"),
        (("nowhere", "--protocol", "sysu-all"), UsageError, "nowhere: there is no such run folder"),
        (("--features", "nowhere.npz", "--protocol", "sysu-all"), UsageError, "nowhere.npz"),
        (("--checkpoint", "nowhere.pt", "--protocol", "sysu-all"), UsageError, "no such checkpoint"),
        (
            ("--scores", "s.npz", "--protocol", "sysu-all"),
            UsageError,
            "--scores: nobody .*--test-time-information none, or",
        ),
        ((*SCORES, "gallery+quries"), UsageError, "gallery.quries: must be none, or kinds .*did you mean 'queries'"),
        ((*SCORES, "none", "--features", "f.npz"), UsageError, "exactly one of RUN, --features, --scores"),
        ((*SCORES, "none"), UsageError, "s.npz: there is no such file"),
        (
            (*SCORES, "none", "--rerank", "k-reciprocal"),
            UsageError,
            "--rerank k-reciprocal: re-ranking needs all pairs",
        ),
        (
            (*SCORES, "none", "--query-mode", "all", "--query-mode", "single"),
            UsageError,
            "--query-mode single: whether",
        ),
        ((*SCORES, "none", "--distance", "cosine"), UsageError, "--distance cosine: scores are ranked as they are"),
        ((*SCORES, "none", "--trial", "3"), UsageError, "--trial 3: scores of one split are an array scores_3"),
        ((*SCORES, "none", "--test-attributes", "gt"), UsageError, "declare the labels they use with --test-time-inf"),
        ((*SCORES, "none", "--auxiliary", "1,all"), UsageError, "--auxiliary: needs a trained method"),
        ((*SCORES, "none", "--name", "a\x1b"), UsageError, "is no printable text, so no label of scores"),
        (
            ("RUN", "--protocol", "sysu-all", "--test-time-information", "none"),
            UsageError,
            "declared of --scores alone",
        ),
    ],
)
def test_bad_usage_is_one_sentence(
    run: Callable[..., Result], trained: Path, arguments: tuple[str, ...], error: type[VibenchError], sentence: str
) -> None:
    words = [str(trained) if word == "RUN" else word for word in arguments]
    with pytest.raises(error, match=sentence) as caught:
        run("eval", *words, "--leaderboards", "unused")
    assert caught.value.exit_code == 2
    assert len(str(caught.value).splitlines()) == 1


def test_a_checkpoint_of_another_method_is_refused(run: Callable[..., Result], trained: Path) -> None:
    checkpoint = trained / "checkpoints" / "last.pt"
    with pytest.raises(UsageError, match="is a checkpoint of toy, not of --method agw"):
        run("eval", "--method", "agw", "--checkpoint", checkpoint, "--protocol", "sysu-all")


def test_features_need_neither_images_nor_a_root(
    tmp_path: Path, vibench: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Features of the real size, in a process of their own; tests/test_docs.py runs the README's lines."""
    skeleton = sysu_skeleton()
    rows = skeleton[skeleton["split"] == "test"][["camera", "pid", "images"]].itertuples(index=False)
    names = [f"cam{cam}/{pid:04d}/{at:04d}.jpg" for cam, pid, count in rows for at in range(1, count + 1)]
    features = np.random.default_rng(0).standard_normal((len(names), 16)).astype(np.float32)
    np.savez(tmp_path / "features.npz", features=features, paths=np.array(names))
    done = vibench("eval", "--features", "features.npz", "--name", "my-method", "--protocol", "sysu-indoor")
    assert done.returncode == 0, done.stderr
    assert "my-method on sysu-mm01 (features" in done.stdout
    assert "2208/3803" in done.stdout

    np.savez(tmp_path / "features.npz", features=features[1:], paths=np.array(names[1:]))
    done = vibench("eval", "--features", "features.npz", "--protocol", "sysu-all", "--protocol", "sysu-indoor")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert not done.stdout
