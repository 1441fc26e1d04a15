"""Records of corrupted images: other features for them alone, on the same galleries, and said in the record."""

from __future__ import annotations

import dataclasses
import random
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.toy_runs import train_toy, train_toy_trials
from vibench.corruption import Corruption, parse_corruptions
from vibench.data.cache import open_cache
from vibench.data.corruption.cache import open_corrupted
from vibench.data.corruption.corrupt import corrupt
from vibench.data.normalise import normalise
from vibench.errors import UsageError
from vibench.evaluation.features import Features
from vibench.protocols import corrupted
from vibench.records.galleries import gallery_problems
from vibench.records.record_json import from_json, record_dict, to_json
from vibench.runtime.devices import Precision
from vibench.scoring.matrix import check_rules
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import Scored, score_attributes, score_features, score_models
from vibench.scoring.trained import models_of_run

CPU = torch.device("cpu")
FP32 = Precision("fp32", "cpu")
SETTINGS = ("batches_per_epoch=2", "schedule.epochs=2", "identities=4", "sampler.images=2")


@pytest.fixture(scope="module")
def run(sysu_twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_toy("sysu-mm01-twin", sysu_twin, tmp_path_factory.mktemp("runs") / "sysu", SETTINGS)


def scored(run: Path, request: str | None, modality: str | None = "visible", *protocols: str) -> list[Scored]:
    groups = corrupted(load_protocols(protocols or ("sysu-all",)), request, modality)
    models = models_of_run(run)
    return [one for group in groups for one in score_models(models, Rules(group), device="cpu", amp="off")]


@pytest.mark.parametrize("modality", ["visible", "infrared", "both"])
def test_features_are_those_of_the_corrupted_images(run: Path, modality: str) -> None:
    (model,) = models_of_run(run)
    (corruption,) = parse_corruptions("occlusion:3", modality)
    _, clean = model.extract(CPU, FP32, extras=True)
    method, found = model.extract(CPU, FP32, extras=True, corruption=corruption)
    assert found.features.paths == clean.features.paths and found.features.extras.keys() == clean.features.extras.keys()
    size, index = model.recipe.input, model.test_index
    cache = open_cache(model.dataset, model.root, size.height, size.width, size.interpolation)
    crc = 0
    for shown in corruption.modalities:
        crc = zlib.crc32(open_corrupted(cache, model.dataset, corruption, shown).images.tobytes(), crc)
    assert any(f"CRC-32 {crc:08x}," in note for note in found.notes) and not clean.notes
    for at in range(0, len(index), 7):
        path, shown, pid = index["path"][at], index["modality"][at], index["pid"][at]
        pixels = np.array(cache.images[cache.rows([path])[0]])
        if shown in corruption.modalities:
            drawn = corruption.of_image(path, shown)
            others = index["path"][(index["modality"] == shown) & (index["pid"] != pid)].tolist()
            other = cache.images[cache.rows([others[drawn.other % len(others)]])[0]]
            pixels = corrupt(pixels, drawn, shown, other)
        with torch.inference_mode():
            expected = method.embed(normalise(torch.from_numpy(pixels)[None]), shown)
        assert np.allclose(found.features.features[at], expected["embedding"][0].numpy(), atol=1e-5)
        for name, values in found.features.extras.items():
            assert np.allclose(values[at], expected[name][0].numpy(), atol=1e-5)
        same = np.array_equal(found.features.features[at], clean.features.features[at])
        assert same == (shown not in corruption.modalities)


def test_records_say_what_happened_and_differ_in_nothing_else(run: Path) -> None:
    (clean,) = (one.record for one in score_models(models_of_run(run), Rules(load_protocols(["sysu-all"])), amp="off"))
    records = [one.record for one in scored(run, "occlusion:1-3")]
    assert [one.corruption for one in records] == [*parse_corruptions("occlusion:1-3")]
    assert len({one.fingerprint for one in (clean, *records)}) == len({one.id for one in (clean, *records)}) == 4
    assert clean.corruption is None and "corruption" not in record_dict(clean)
    for record in records:
        assert record.galleries == clean.galleries and len(record.trials) == 10
        assert any("CRC-32" in note for note in record.notes)
        assert from_json(to_json(record)) == record
        assert (record.run, record.protocol, record.method) == (clean.run, clean.protocol, clean.method)
    assert not gallery_problems({Path(f"{at}.json"): one for at, one in enumerate((clean, *records))})
    # A record that hides its corruption, or claims one, has another fingerprint than its rules.
    hidden = dataclasses.replace(records[0], corruption=None)
    claimed = dataclasses.replace(clean, corruption=records[0].corruption)
    assert len(gallery_problems({Path("hidden.json"): hidden, Path("claimed.json"): claimed})) == 2
    # Of rules that vibench does not have, nothing is said.
    older = dataclasses.replace(records[0], corruption=Corruption("occlusion", ("visible",), version=7, severity=1))
    assert not gallery_problems({Path("older.json"): older})


def literal_scores(run: Path, corruption: Corruption) -> tuple[float, float, float]:
    """Rank-1, mAP and mINP as the benchmark's script computes them for all-search, image by image, query by query.

    Zoky-2020/CIL-CrossModal ``test.py``, ``dataset/data_manager.py`` and ``eval_metrics.py``.
    """
    (model,) = models_of_run(run)
    method, _ = model.extract(CPU, FP32)
    size, index = model.recipe.input, model.test_index
    cache = open_cache(model.dataset, model.root, size.height, size.width, size.interpolation)

    def embedded(path: str, shown: str) -> np.ndarray:
        pixels = np.array(cache.images[cache.rows([path])[0]])
        if shown == "visible":
            pixels = corrupt(pixels, corruption.of_image(path, shown), shown)
        with torch.inference_mode():
            vector = method.embed(normalise(torch.from_numpy(pixels)[None]), shown)["embedding"][0].double().numpy()
        return vector / np.linalg.norm(vector)

    def place(path: str) -> tuple[int, int]:
        return int(path[5:9]), int(path[3])

    paths = sorted(index["path"])
    queries = [path for path in paths if place(path)[1] in (3, 6)]
    draws = random.Random(0)
    gallery = []
    for pid in sorted({place(path)[0] for path in paths}):
        for camera in (1, 2, 4, 5):
            if of_both := [path for path in paths if place(path) == (pid, camera)]:
                gallery.append(draws.choice(of_both))
    answers = np.stack([embedded(path, "visible") for path in gallery])
    first, precisions, worst = [], [], []
    for query in queries:
        pid, camera = place(query)
        scores = answers @ embedded(query, "infrared")
        order = np.argsort(-scores, kind="stable")
        kept = [place(gallery[at])[0] for at in order if not (camera == 3 and place(gallery[at])[1] == 2)]
        hits = [at for at, other in enumerate(kept, start=1) if other == pid]
        if hits:
            first.append(kept[0] == pid)
            precisions.append(np.mean([found / at for found, at in enumerate(hits, start=1)]))
            worst.append(len(hits) / hits[-1])
    return float(np.mean(first)), float(np.mean(precisions)), float(np.mean(worst))


def test_the_form_as_scripted_against_its_script(run: Path) -> None:
    pytest.importorskip("imagecorruptions")
    (scripted,) = (one.record for one in scored(run, None, None, "sysu-all-c-as-scripted"))
    assert scripted.corruption is not None
    r1, mean_ap, minp = literal_scores(run, scripted.corruption)
    # One image at a time has other last digits than a batch.
    assert scripted.mean["r1"] == pytest.approx(r1, abs=1e-9)
    assert (scripted.mean["map"], scripted.mean["minp"]) == pytest.approx((mean_ap, minp), abs=1e-3)


def test_the_form_as_scripted_is_the_first_gallery(run: Path) -> None:
    pytest.importorskip("imagecorruptions")
    (scripted,) = (one.record for one in scored(run, None, None, "sysu-all-c-as-scripted"))
    (ours,) = (one.record for one in scored(run, "mixed"))
    assert scripted.corruption == ours.corruption and scripted.fingerprint != ours.fingerprint
    assert scripted.trials == ours.trials[:1] and [trial.trial for trial in ours.trials] == list(range(10))


def test_several_splits_share_their_corrupted_images(regdb_twin: Path, tmp_path: Path) -> None:
    runs = train_toy_trials(regdb_twin, tmp_path / "regdb", SETTINGS)
    (one,) = scored(runs, "occlusion", "visible", "regdb-v2t")
    assert one.record.corruption == parse_corruptions("occlusion")[0] and len(one.record.trials) > 1


def test_what_does_not_say_of_which_images_it_is_is_refused(run: Path, sysu_twin: Path) -> None:
    (model,) = models_of_run(run)
    (group,) = corrupted(load_protocols(["sysu-all"]), "occlusion")
    rules = Rules(group)
    _, extraction = model.extract(CPU, FP32)
    features = Features(extraction.features.features, paths=extraction.features.paths, meta=extraction.features.meta)
    with pytest.raises(UsageError, match="sysu-all: is of corrupted images, and features do not say"):
        score_features([features], rules, name="mine")
    with pytest.raises(UsageError, match="and scores do not say"):
        check_rules(rules)
    with pytest.raises(UsageError, match="and attribute labels do not say"):
        score_attributes(model.dataset, sysu_twin, {1: model.test_index}, rules)


def test_protocols_of_other_images_are_evaluated_apart(run: Path) -> None:
    rules = Rules(load_protocols(["sysu-all", "sysu-all-c-as-scripted"]))
    with pytest.raises(UsageError, match="sysu-all, and sysu-all-c-as-scripted are of other images each"):
        score_models(models_of_run(run), rules, device="cpu")
