"""Models that are tested on another data set than they were trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.toy_runs import train_toy, train_toy_trials
from vibench.errors import UsageError, VibenchError
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import read_features, write_features
from vibench.leaderboard.board import build_boards
from vibench.leaderboard.overview import overview
from vibench.records.record_json import from_json, record_dict, to_json
from vibench.runtime.devices import Precision, resolve_device
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import read_features_files, score_features, score_models
from vibench.scoring.trained import TrainedModel, models_of_run

SETTINGS = ("batches_per_epoch=2", "schedule.epochs=2", "identities=4", "sampler.images=2")
TOGETHER = "sysu-mm01-twin+regdb-twin"


@pytest.fixture(scope="module")
def data(sysu_twin: Path, regdb_twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for twin in (sysu_twin, regdb_twin):
        (folder / twin.name).symlink_to(twin)
    return folder


@pytest.fixture(scope="module")
def sysu_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_toy("sysu-mm01-twin", data / "sysu-mm01-twin", tmp_path_factory.mktemp("runs") / "sysu", SETTINGS)


@pytest.fixture(scope="module")
def joint_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_toy(TOGETHER, data, tmp_path_factory.mktemp("runs") / "joint", SETTINGS, trial=1)


def models(run: Path, data: Path, dataset: str, trial: int | None = None) -> list[TrainedModel]:
    return models_of_run(run, data / dataset, trial, dataset=dataset)


def test_one_model_is_tested_on_every_split_of_another_data_set(sysu_run: Path, data: Path) -> None:
    rules = Rules(load_protocols(["regdb-v2t"]))
    (scored,) = score_models(models(sysu_run, data, "regdb-twin"), rules, device="cpu", amp="off")
    record = scored.record
    assert [trial.trial for trial in record.trials] == list(range(1, 11))
    assert (record.dataset, record.dataset_version) == ("regdb-twin", "tiny-s0-r2")
    assert record.run.trained_on == "sysu-mm01-twin tiny-s0-r1" and not record.leaking and record.run.incomplete == ""
    (alone,) = score_models(models(sysu_run, data, "regdb-twin", 4), rules, device="cpu", amp="off")
    assert alone.record.trials == (record.trials[3],)
    # The score is that of the split's test images under its rules, whatever network embedded them.
    (model,) = models(sysu_run, data, "regdb-twin", 4)
    place = resolve_device("cpu")
    _, extraction = model.extract(place, Precision("fp32", "cpu"))
    (plain,) = evaluate_features({4: extraction.features}, rules.protocols)
    assert plain.mean == alone.record.mean


def test_a_record_says_it_and_older_ones_keep_their_bytes(sysu_run: Path, data: Path) -> None:
    rules = Rules(load_protocols(["sysu-all"]))
    (own,) = score_models(models_of_run(sysu_run), rules, device="cpu", amp="off")
    assert "trained_on" not in record_dict(own.record)["run"]
    (other,) = score_models(
        models(sysu_run, data, "regdb-twin", 1), Rules(load_protocols(["regdb-v2t"])), device="cpu", amp="off"
    )
    assert from_json(to_json(other.record)).run.trained_on == other.record.run.trained_on


def test_boards_keep_them_apart(sysu_run: Path, joint_run: Path, data: Path) -> None:
    rules = Rules(load_protocols(["sysu-all"]))
    (own,) = score_models(models_of_run(sysu_run), rules, device="cpu", amp="off")
    (joint,) = score_models(models(joint_run, data, "sysu-mm01-twin"), rules, device="cpu", amp="off")
    boards = build_boards([own.record, joint.record], [])
    assert [(board.name, board.measured) for board in boards] == [
        ("sysu-all-seeded-tiny-s0-r1", 1),
        ("sysu-all-seeded-tiny-s0-r1-from-sysu-mm01-twin-regdb-twin-tiny-s0-r1-tiny-s0-r2-split-1", 1),
    ]
    assert own.record.fingerprint == joint.record.fingerprint
    assert "from" not in "".join(overview(boards))


def test_the_features_of_a_transfer_stay_one(sysu_run: Path, data: Path, tmp_path: Path) -> None:
    (model,) = models(sysu_run, data, "regdb-twin", 2)
    _, extraction = model.extract(resolve_device("cpu"), Precision("fp32", "cpu"))
    write_features(tmp_path / "f.npz", extraction.features)
    assert read_features(tmp_path / "f.npz").meta["trained_on"] == "sysu-mm01-twin tiny-s0-r1"
    rules = Rules(load_protocols(["regdb-t2v"]))
    read = read_features_files([tmp_path / "f.npz"], rules.protocols)
    (scored,) = score_features(read.features, rules, name="toy", digests=read.digests)
    assert scored.record.run.trained_on == "sysu-mm01-twin tiny-s0-r1"


def test_what_was_trained_on_together_is_tested_apart(joint_run: Path, data: Path) -> None:
    with pytest.raises(UsageError, match="say which data set to evaluate on with --dataset sysu-mm01-twin"):
        models_of_run(joint_run)
    v2t = Rules(load_protocols(["regdb-v2t"]))
    # Its training has seen the training half of one split; the test half of that split alone is new to it.
    (scored,) = score_models(models(joint_run, data, "regdb-twin"), v2t, device="cpu", amp="off")
    assert [trial.trial for trial in scored.record.trials] == [1] and not scored.record.leaking
    with pytest.raises(VibenchError, match="are training identities of this toy checkpoint on regdb-twin"):
        score_models(models(joint_run, data, "regdb-twin", 2), v2t, device="cpu", amp="off")
    (model,) = models(joint_run, data, "sysu-mm01-twin")
    trained = np.array(model.checkpoint.train_pids)
    assert model.checkpoint.num_classes == 16 + 8 and (trained > 1_000_000).sum() == 8


def test_several_models_need_a_choice(regdb_twin: Path, data: Path, tmp_path: Path) -> None:
    runs = train_toy_trials(regdb_twin, tmp_path / "regdb", SETTINGS)
    with pytest.raises(UsageError, match="sysu-mm01-twin takes one; name it with --trial"):
        models(runs, data, "sysu-mm01-twin")
    (model,) = models(runs, data, "sysu-mm01-twin", 2)
    assert model.checkpoint.trial == 2 and model.split == 1 and model.origin.endswith("split 2")
    assert [one.split for one in models(runs / "trial-02", data, "sysu-mm01-twin", 2)] == [1]
    with pytest.raises(UsageError, match="--trial 7: sysu-mm01-twin has only one train/test split"):
        models(runs / "trial-02", data, "sysu-mm01-twin", 7)
    with pytest.raises(UsageError, match=r"--protocol regdb-v2t: .* is to be tested on sysu-mm01-twin"):
        score_models([model], Rules(load_protocols(["regdb-v2t"])), device="cpu", amp="off")
