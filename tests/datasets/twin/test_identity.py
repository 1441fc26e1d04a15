"""Identities: drawn by seed and pid alone, with the real labels' marginals and correlations."""

import numpy as np
import pytest

from vibench.datasets.attribute_names import ATTRIBUTES
from vibench.datasets.twin.identity import draw_identity

_CAMERAS = 6


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    """(identities, cameras, 8)."""
    identities = [draw_identity(11, pid, _CAMERAS) for pid in range(1, 401)]
    return np.array([[identity.code(camera) for camera in range(1, _CAMERAS + 1)] for identity in identities])


def test_an_identity_depends_on_seed_and_pid_only() -> None:
    draw_identity.cache_clear()
    alone = draw_identity(3, 7, _CAMERAS)
    draw_identity.cache_clear()
    for pid in range(1, 7):
        draw_identity(3, pid, _CAMERAS)
    again = draw_identity(3, 7, _CAMERAS)
    assert again.attributes == alone.attributes and again.body == alone.body
    assert np.array_equal(again.upper.texture, alone.upper.texture)
    assert draw_identity(4, 7, _CAMERAS).body != alone.body


def test_marginals_are_those_of_the_real_labels(codes: np.ndarray) -> None:
    # Measured on the 512 labelled identities of SYSU-MM01, weighted by (identity, camera) pairs.
    real = {"gender": 0.44, "hair": 0.39, "glasses": 0.64, "sleeve": 0.45, "lower_type": 0.09, "lower_length": 0.72}
    real |= {"backpack": 0.45, "satchel": 0.08}
    means = codes.reshape(-1, 8).mean(axis=0)
    for name, mean in zip(ATTRIBUTES, means, strict=True):
        assert mean == pytest.approx(real[name], abs=0.09), name


def test_correlations_are_those_of_the_real_labels(codes: np.ndarray) -> None:
    first = codes[:, 0].astype(float)
    correlation = np.corrcoef(first.T)
    place = {name: row for row, name in enumerate(ATTRIBUTES)}
    assert correlation[place["gender"], place["hair"]] > 0.75
    assert correlation[place["sleeve"], place["lower_length"]] > 0.2
    assert first[first[:, place["lower_type"]] == 1, place["gender"]].all()


def test_only_bags_differ_between_cameras(codes: np.ndarray) -> None:
    differ = (codes != codes[:, :1]).any(axis=1).mean(axis=0)
    assert (differ[:6] == 0).all()
    assert 0.15 < differ[6] < 0.5
    assert 0.0 < differ[7] < 0.15


def test_no_attribute_code_belongs_to_most_identities(codes: np.ndarray) -> None:
    _, counts = np.unique(codes[:, 0], axis=0, return_counts=True)
    assert len(counts) > 40
    assert counts.max() < 60


def test_visible_brightness_does_not_settle_infrared_brightness() -> None:
    uppers = [draw_identity(5, pid, _CAMERAS).upper for pid in range(1, 301)]
    visible = np.array([surface.colours[0].mean() for surface in uppers])
    infrared = np.array([surface.reflectance[0] for surface in uppers])
    assert np.corrcoef(visible, infrared)[0, 1] < 0.85
    dark_turned_bright = infrared[visible < 0.3] > 0.55
    assert 0.05 < dark_turned_bright.mean() < 0.3


def test_some_patterns_vanish_in_infrared() -> None:
    uppers = [draw_identity(5, pid, _CAMERAS).upper for pid in range(1, 301)]
    patterned = [surface for surface in uppers if surface.texture.max() > 0.5]
    vanished = np.mean([abs(float(np.diff(surface.reflectance)[0])) < 0.1 for surface in patterned])
    assert 0.04 < vanished < 0.4
