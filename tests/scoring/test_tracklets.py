"""Tracklets: the mean of their frames' features, from the index to the record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.training.toy_runs import train_toy
from vibench.data.cache import open_cache
from vibench.datasets.registry import get_dataset
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features
from vibench.runtime.devices import Precision, resolve_device
from vibench.runtime.memory import PeakMemory
from vibench.scoring.extraction import Extraction, extract_features
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import score_models
from vibench.scoring.tracklets import frames_of
from vibench.scoring.trained import models_of_run
from vibench.training.checkpoint import load_method

SETTINGS = ("batches_per_epoch=2", "schedule.epochs=1", "identities=4", "sampler.images=2")
PRECISION = Precision("fp32", "cpu")


@pytest.fixture(scope="module")
def run(hitsz_twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_toy("hitsz-vcm-twin", hitsz_twin, tmp_path_factory.mktemp("runs") / "hitsz", SETTINGS)


def index_of(*paths: str) -> pd.DataFrame:
    return pd.DataFrame({"path": paths, "pid": 1, "camera": 1, "modality": "visible", "split": "test"})


def test_frames_and_their_mean() -> None:
    index = index_of("b1", "x", "a1")
    frames = frames_of(index, {"a1": ("a1", "a2", "a2"), "b1": ("b1", "b2"), "c1": ("c1", "c2")})
    assert frames.index["path"].tolist() == ["b1", "b2", "x", "a1", "a2", "a2"]
    assert frames.rows.tolist() == [0, 0, 1, 2, 2, 2]
    values = np.arange(24, dtype=np.float32).reshape(6, 4) ** 2
    features = Features(values, paths=tuple(frames.index["path"]), extras={"parts": values.reshape(6, 2, 2)})
    mean = frames.mean(Extraction(features, 1.0, PeakMemory()), index).features
    expected = np.stack([sum(values[at].astype(float) for at in rows) / len(rows) for rows in ([0, 1], [2], [3, 4, 5])])
    np.testing.assert_allclose(mean.features, expected, rtol=1e-7)
    np.testing.assert_allclose(mean.extras["parts"], expected.reshape(3, 2, 2), rtol=1e-7)
    assert mean.paths == ("b1", "x", "a1") and mean.features.dtype == np.float32
    codes = frames.attributes(np.array([[1], [2], [3]]))
    assert codes is not None and codes.ravel().tolist() == [1, 1, 2, 3, 3, 3] and frames.attributes(None) is None


def test_images_stay_as_they_are() -> None:
    index = index_of("x", "y")
    extraction = Extraction(Features(np.eye(2, dtype=np.float32), paths=("x", "y")), 1.0, PeakMemory())
    assert frames_of(index, {}).mean(extraction, index) is extraction


def test_a_run_is_scored_by_the_means_of_its_frames(run: Path, hitsz_twin: Path) -> None:
    (model,) = models_of_run(run)
    device = resolve_device("cpu")
    _, extraction = model.extract(device, PRECISION, extras=True)
    tracklets = get_dataset("hitsz-vcm-twin").tracklets(hitsz_twin)
    assert extraction.features.paths == tuple(sorted(tracklets))
    # One image at a time, without anything that knows of tracklets.
    size = model.recipe.input
    cache = open_cache(model.dataset, hitsz_twin, size.height, size.width, size.interpolation)
    every = sorted({frame for frames in tracklets.values() for frame in frames})
    index = cache.index.set_index("path").loc[every].reset_index()
    alone = extract_features(load_method(model.path, device), cache, index, device=device, precision=PRECISION)
    of_frame = dict(zip(every, alone.features.features.astype(np.float64), strict=True))
    expected = [sum(of_frame[frame] for frame in tracklets[name]) / 6 for name in sorted(tracklets)]
    np.testing.assert_allclose(extraction.features.features, np.stack(expected), rtol=1e-5, atol=1e-6)

    rules = Rules(load_protocols(["hitsz-v2i", "hitsz-i2v"]))
    scored = score_models([model], rules, device="cpu", amp="off")
    plain = evaluate_features(extraction.features, rules.protocols, dataset="hitsz-vcm-twin")
    assert [one.record.mean for one in scored] == [one.mean for one in plain]
    counts = [(one.record.trials[0].queries, one.record.trials[0].gallery) for one in scored]
    assert counts == [(15, 15), (15, 15)]


def test_a_model_of_images_is_tested_on_video(sysu_twin: Path, hitsz_twin: Path, tmp_path: Path) -> None:
    trained = train_toy("sysu-mm01-twin", sysu_twin, tmp_path / "sysu", SETTINGS)
    models = models_of_run(trained, hitsz_twin, dataset="hitsz-vcm-twin")
    (scored,) = score_models(models, Rules(load_protocols(["hitsz-i2v"])), device="cpu", amp="off")
    assert scored.record.dataset == "hitsz-vcm-twin" and scored.record.run.trained_on == "sysu-mm01-twin tiny-s0-r1"
    assert scored.record.trials[0].valid_queries == 15
