"""What the published evaluation codes print, for synthetic features of a fixed recipe, is what comes out here."""

from __future__ import annotations

import importlib.util
import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from vibench.datasets.permutations import Permutations, read_permutations
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features
from vibench.evaluation.result import Evaluation
from vibench.protocols import load_protocol

PROTOCOLS = {
    "sysu-all-single": "sysu-all",
    "sysu-all-multi": "sysu-all-multi",
    "sysu-indoor-single": "sysu-indoor",
    "sysu-indoor-multi": "sysu-indoor-multi",
    "regdb-v2t": "regdb-v2t",
    "regdb-t2v": "regdb-t2v",
    "llcm-nir2vis": "llcm-i2v",
    "llcm-vis2nir": "llcm-v2i",
    "llcm-vis2nir-as-scripted": "llcm-v2i-as-scripted",
}
DRAWS = {"agw": "seeded", "numpy-choice": "seeded", "official": "official", "none": "none"}
SETS = [
    (data, draw, distance, seed, False)
    for seed in (0, 1, 2)
    for data, draw, distance in (
        ("sysu", "official", "cosine"),
        ("sysu", "official", "euclidean"),
        ("sysu", "seeded", "cosine"),
        ("regdb", "none", "cosine"),
        ("llcm", "seeded", "cosine"),
    )
    if distance == "cosine" or seed == 0
]
TIES = ("sysu", "official", "euclidean", 0, True)
QUICK = [
    pytest.param(key, marks=pytest.mark.slow) if key[0] == "sysu" and key[3] else pytest.param(key)
    for key in (*SETS, TIES)
]
"""The other seeds of SYSU-MM01 say the same again."""


@cache
def golden(shared: Path) -> tuple[dict[tuple[Any, ...], list[dict[str, Any]]], dict[str, Any]]:
    """Entries by (data, draw, distance, seed, quantised), and galleries by protocol and draw."""
    entries: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    files = [json.loads((shared / "golden" / name).read_text()) for name in ("metrics.json", "ties.json")]
    for entry in files[0]["entries"] + files[1]["entries"]:
        data = entry["protocol"].split("-")[0]
        key = (data, DRAWS[entry["draw"]], entry["distance"], entry["seed"], entry.get("quantise", False))
        entries[key].append(entry)
    return dict(entries), files[0]["draws"]


@cache
def recipe(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_recipe", shared / "golden" / "recipe.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def official(shared: Path) -> Permutations:
    return read_permutations(shared / "sysu-mm01" / "rand_perm_cam.mat")


def evaluate(shared: Path, key: tuple[Any, ...], device: str = "cpu") -> list[Evaluation]:
    data, draw, distance, seed, quantised = key
    names, values = getattr(recipe(shared), f"{data}_features")(seed, quantise=quantised)
    protocols = [load_protocol(PROTOCOLS[entry["protocol"]]) for entry in golden(shared)[0][key]]
    permutations = official(shared) if draw == "official" else None
    features = Features(values, tuple(names))
    return evaluate_features(
        features, protocols, draw=draw, distance=distance, permutations=permutations, device=device
    )


def test_both_draws_at_once(shared: Path) -> None:
    keys = [("sysu", draw, "cosine", 0, False) for draw in ("seeded", "official")]
    names, values = recipe(shared).sysu_features(0, quantise=False)
    protocols = [load_protocol(PROTOCOLS[entry["protocol"]]) for entry in golden(shared)[0][keys[0]]]
    both = evaluate_features(
        Features(values, tuple(names)), protocols, draw=("seeded", "official"), permutations=official(shared)
    )
    for at, key in enumerate(keys):
        compare(shared, key, both[at::2])


def test_ties_of_both_draws_at_once(shared: Path) -> None:
    names, values = recipe(shared).sysu_features(0, quantise=True)
    entries = golden(shared)[0][TIES]
    protocols = [load_protocol(PROTOCOLS[entry["protocol"]]) for entry in entries]
    both = evaluate_features(
        Features(values, tuple(names)),
        protocols,
        draw=("seeded", "official"),
        distance="euclidean",
        permutations=official(shared),
    )
    compare(shared, TIES, both[1::2])


def compare(shared: Path, key: tuple[Any, ...], evaluations: list[Evaluation]) -> None:
    entries, draws = golden(shared)
    for entry, evaluation in zip(entries[key], evaluations, strict=True):
        galleries = draws.get(f"{entry['protocol']}/{entry['draw']}", [])
        for number, (expected, found) in enumerate(zip(entry["trials"], evaluation.trials, strict=True)):
            place = (entry["protocol"], key, number)
            hits = {rank: round(getattr(found, f"r{rank}") * found.valid_queries) for rank in (1, 5, 10, 20)}
            assert hits == {int(rank): count for rank, count in expected["hits"].items()}, place
            for rank, value in expected["cmc"].items():
                # The AGW evaluator sums the CMC in float32.
                assert getattr(found, f"r{rank}") == pytest.approx(value, rel=0, abs=1e-6), place
            assert found.map == pytest.approx(expected["mAP"], rel=0, abs=1e-9), place
            if expected["mINP"] is not None:
                assert found.minp == pytest.approx(expected["mINP"], rel=0, abs=1e-9), place
            counts = (found.queries, found.valid_queries, found.gallery)
            assert counts == (expected["queries"], expected["valid_queries"], expected["gallery"]), place
            if galleries:
                assert found.trial == galleries[number]["trial"] and found.gallery_sha256 == galleries[number]["sha256"]
        assert evaluation.mean["map"] == pytest.approx(entry["mean"]["mAP"], rel=0, abs=1e-9)


def test_every_entry_is_covered(shared: Path) -> None:
    assert set(golden(shared)[0]) == {*SETS, TIES}


@pytest.mark.parametrize("key", QUICK, ids=lambda key: "-".join(map(str, key)))
def test_equals_the_published_codes(shared: Path, key: tuple[Any, ...]) -> None:
    names, values = getattr(recipe(shared), f"{key[0]}_features")(key[3])
    digests = json.loads((shared / "golden" / "metrics.json").read_text())["recipe"]["feature_sha256"]
    assert recipe(shared).digest(names, values) == digests[key[0]][str(key[3])]
    compare(shared, key, evaluate(shared, key))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("key", [*SETS, TIES], ids=lambda key: "-".join(map(str, key)))
def test_same_on_cuda(shared: Path, key: tuple[Any, ...]) -> None:
    compare(shared, key, evaluate(shared, key, "cuda"))
