"""The protocols of video against a literal evaluation from their descriptions."""

from __future__ import annotations

import numpy as np
import pytest

from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features
from vibench.protocols import load_protocol


def tracklets(seed: int) -> Features:
    """Tracklets of nine people on cameras of both modalities; some identities meet nobody on another camera."""
    random = np.random.default_rng(seed)
    names, rows = [], []
    for pid in range(1, 10):
        person = random.normal(size=8)
        for folder in ("rgb", "ir"):
            for camera in random.choice([1, 2, 3, 11, 12], size=random.integers(1, 4), replace=False):
                for number in range(random.integers(1, 3)):
                    names.append(f"Test/{pid:04d}/{folder}/D{camera}/{100 * number + 1}.jpg")
                    rows.append(person + random.normal(size=8))
    order = random.permutation(len(names))
    return Features(np.array(rows, dtype=np.float32)[order], paths=tuple(names[at] for at in order))


Person = tuple[int, int, str, str, np.ndarray]
"""Identity, camera, name, which side, unit feature."""


def literal(people: list[Person], asking: str, answering: str, skips: bool) -> tuple[dict[str, float], int, int]:
    """CMC at the first hit and mean average precision, one query after the other."""
    people = sorted(people, key=lambda person: person[:3])
    first, precision, inverse, queries = [], [], [], 0
    for pid, camera, _, side, feature in people:
        if side != asking:
            continue
        queries += 1
        gallery = [
            other for other in people if other[3] == answering and not (skips and (other[0], other[1]) == (pid, camera))
        ]
        ranked = sorted(gallery, key=lambda other: -float(other[4] @ feature))
        places = [place for place, other in enumerate(ranked, start=1) if other[0] == pid]
        if not places:
            continue
        first.append(places[0])
        precision.append(sum(hit / place for hit, place in enumerate(places, start=1)) / len(places))
        inverse.append(len(places) / places[-1])
    scores = {f"r{rank}": sum(place <= rank for place in first) / len(first) for rank in (1, 5, 10, 20)}
    return {**scores, "map": float(np.mean(precision)), "minp": float(np.mean(inverse))}, queries, len(first)


def unit(features: Features) -> list[tuple[str, np.ndarray]]:
    assert features.paths is not None
    rows = features.features.astype(np.float64)
    return [(name, row / np.linalg.norm(row)) for name, row in zip(features.paths, rows, strict=True)]


def compare(features: Features, name: str, people: list[Person], asking: str, answering: str, skips: bool) -> None:
    (evaluation,) = evaluate_features(features, [load_protocol(name)])
    scores, queries, valid = literal(people, asking, answering, skips)
    assert (evaluation.trials[0].queries, evaluation.trials[0].valid_queries) == (queries, valid)
    for metric, score in scores.items():
        assert evaluation.mean[metric] == pytest.approx(score, abs=1e-12), metric


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("name", "asking", "answering"), [("hitsz-v2i", "rgb", "ir"), ("hitsz-i2v", "ir", "rgb")])
def test_hitsz_vcm(name: str, asking: str, answering: str, seed: int) -> None:
    features, people = tracklets(seed), []
    for path, row in unit(features):
        _, pid, folder, camera, _ = path.split("/")
        people.append((int(pid), int(camera[1:]), path, folder, row))
    compare(features, name, people, asking, answering, skips=True)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize(("direction", "asking", "answering"), [("v2i", "RGB", "IR"), ("i2v", "IR", "RGB")])
def test_buptcampus(direction: str, asking: str, answering: str, skips: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    names, rows = [], []
    for pid in range(1, 12):
        person = random.normal(size=8)
        for listed in ("query", "gallery"):
            for camera in random.choice(["LS3", "G25", "TSG2"], size=random.integers(1, 3), replace=False):
                for modality in ("RGB", "IR"):
                    names.append(f"{listed}/{pid}/{modality}/{camera}/{pid}_{modality}_{camera}_1_1.jpg")
                    rows.append(person + random.normal(size=8))
    features, people = Features(np.array(rows, dtype=np.float32), paths=tuple(names)), []
    for path, row in unit(features):
        listed, pid, modality, camera, _ = path.split("/")
        people.append((int(pid), ["LS3", "G25", "TSG2"].index(camera), path, f"{listed} {modality}", row))
    name = f"bupt-{direction}" + ("-other-cameras" if skips else "")
    compare(features, name, people, f"query {asking}", f"gallery {answering}", skips)


def test_rules_of_both_directions_are_one_with_sides_exchanged() -> None:
    forth, back = load_protocol("hitsz-v2i"), load_protocol("hitsz-i2v")
    assert (forth.query, forth.gallery, forth.skip) == (back.gallery, back.query, back.skip)
    assert (forth.expected.queries, forth.expected.gallery) == (back.expected.gallery, back.expected.queries)
    assert forth.search == "visible to infrared" and forth.dataset == "hitsz-vcm"
