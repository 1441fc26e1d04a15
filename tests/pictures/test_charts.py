"""CMC curves, histograms of distances, and points in the plane."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from vibench.errors import UsageError

pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install vibench[plots])")

from vibench.pictures.cmc import cmc_figure
from vibench.pictures.distances import PairDistances, distance_histograms
from vibench.pictures.embedding import MOST_IDENTITIES, embedding_map, has_tsne, tsne


def test_the_cmc_figure_shows_mean_and_trials() -> None:
    trials = np.array([[0.2, 0.4, 0.6, 0.7, 0.8, 0.9], [0.4, 0.6, 0.6, 0.7, 0.8, 1.0]])
    figure = cmc_figure({"mean": trials.mean(axis=0)}, "title", trials)
    (axes,) = figure.axes
    np.testing.assert_allclose(axes.lines[2].get_ydata(), 100 * trials.mean(axis=0))
    assert [text.get_text() for text in axes.texts] == ["30.0", "80.0"]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["single trials (2)", "mean"]


def test_several_curves_differ_in_colour_and_style() -> None:
    (axes,) = cmc_figure({"a": np.array([0.1, 0.2]), "b": np.array([0.3, 0.4])}).axes
    first, second = axes.lines
    assert first.get_color() != second.get_color() and first.get_linestyle() != second.get_linestyle()


def test_separation_is_the_share_of_pairs_in_order() -> None:
    random = np.random.default_rng(0)
    same, different = random.integers(0, 6, 40) / 4, random.integers(2, 9, 70) / 4
    below = (same[:, None] < different[None, :]).mean() + 0.5 * (same[:, None] == different[None, :]).mean()
    assert PairDistances("x", same, different).separation == pytest.approx(below)
    assert np.isnan(PairDistances("x", same[:0], different).separation)


def test_a_histogram_per_group_on_one_axis_of_distances() -> None:
    groups = [
        PairDistances("visible to infrared", np.array([0.1, 0.2, 0.2]), np.array([0.5, 0.9])),
        PairDistances("within visible", np.array([]), np.array([0.4, 0.4])),
    ]
    figure = distance_histograms(groups, "title", "cosine distance")
    first, second = figure.axes
    assert first.get_title(loc="left") == "visible to infrared: same nearer than different in 100.0%"
    assert first.get_xlim() == second.get_xlim()
    legend = [text.get_text() for text in first.get_legend().get_texts()]
    assert sorted(legend) == ["different identities (2 pairs)", "same identity (3 pairs)"]
    assert len(second.get_legend().get_texts()) == 1


def points() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    pids = np.repeat([3, 7, 9], 8)
    return random.standard_normal((24, 2)), pids, np.tile(["visible", "infrared"], 12)


def test_points_are_drawn_by_modality_and_by_identity() -> None:
    places, pids, modalities = points()
    figure = embedding_map(places, pids, modalities, "title")
    by_modality, by_identity = figure.axes
    assert [text.get_text() for text in by_modality.get_legend().get_texts()] == ["visible", "infrared"]
    assert len(by_modality.collections) == 2 and len(by_identity.collections) == 6
    colours = {tuple(part.get_facecolor()[0]) for part in by_identity.collections}
    assert len(colours) == 3
    assert [text.get_text() for text in by_identity.get_legend().get_texts()] == ["3", "7", "9"]
    shown = np.concatenate([part.get_offsets() for part in by_modality.collections])
    assert {tuple(row) for row in np.asarray(shown).tolist()} == {tuple(row) for row in places.tolist()}


def test_there_are_no_more_identities_than_colours() -> None:
    many = MOST_IDENTITIES + 1
    with pytest.raises(ValueError, match="colours for"):
        embedding_map(np.zeros((many, 2)), np.arange(many), np.array(["visible"] * many))


def test_without_scikit_learn_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    assert not has_tsne()
    with pytest.raises(UsageError, match=r"pip install 'vibench\[tsne\]'"):
        tsne(np.zeros((5, 3)))


def test_tsne_is_asked_for_a_perplexity_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What scikit-learn is given, with a stand-in for it."""
    asked = {}

    class Stub:
        def __init__(self, **options: object) -> None:
            asked.update(options)

        def fit_transform(self, features: np.ndarray) -> np.ndarray:
            return features[:, :2]

    manifold = ModuleType("sklearn.manifold")
    manifold.TSNE = Stub  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sklearn", ModuleType("sklearn"))
    monkeypatch.setitem(sys.modules, "sklearn.manifold", manifold)
    assert tsne(np.ones((10, 4)), "euclidean", seed=3).shape == (10, 2)
    assert asked["metric"] == "euclidean" and asked["random_state"] == 3 and asked["perplexity"] < 9
    with pytest.raises(UsageError, match="at least 3"):
        tsne(np.ones((2, 4)))


def test_tsne_separates_what_is_apart() -> None:
    pytest.importorskip("sklearn", reason="t-SNE needs scikit-learn (pip install vibench[tsne])")
    random = np.random.default_rng(0)
    features = np.concatenate([random.normal(mean, 0.1, (20, 8)) for mean in (-3.0, 3.0)])
    places = tsne(features, "euclidean")
    first, second = places[:20], places[20:]
    gap = np.linalg.norm(first.mean(axis=0) - second.mean(axis=0))
    assert gap > first.std() + second.std()
    np.testing.assert_array_equal(places, tsne(features, "euclidean"))
