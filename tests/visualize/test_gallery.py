"""Pictures of a run: which queries, what their figures show, and what cannot be drawn."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install vibench[plots])")

from tests.pictures.test_panels import frame_of, panels_of
from vibench.corruption import parse_corruptions
from vibench.data.keypoints import keypoints_of_arrays
from vibench.errors import UsageError, VibenchWarning
from vibench.files.npz import read_npz
from vibench.pictures.figure import BLUE, GREY, VERMILION
from vibench.protocols import load_protocol
from vibench.scoring.trained import models_of_run
from vibench.visualize.gallery import Gallery, visualize
from vibench.visualize.pictured_run import PicturedRun, find_model, picture_run
from vibench.visualize.queries import select_queries
from vibench.visualize.request import PictureRequest


def prepared(path: Path, protocol: str, request: PictureRequest, trial: int | None = None) -> PicturedRun:
    model, number = find_model(path, None, None, trial)
    request = replace(request, trial=number)
    return picture_run(model, load_protocol(protocol), request, device="cpu", amp="off")


@pytest.fixture(scope="module")
def run(sysu_run: Path) -> PicturedRun:
    return prepared(sysu_run, "sysu-all", PictureRequest())


def gallery(run: PicturedRun, **changes: Any) -> Gallery:
    return Gallery(run, PictureRequest(**changes))


def test_queries_are_the_best_the_worst_or_random_ones(run: PicturedRun) -> None:
    def selected(seed: int = 0) -> dict[str, list[int]]:
        pids = run.images.pids[run.queries]
        return select_queries(("best", "worst", "random"), {}, run.queries, pids, run.precisions, 3, seed)

    ap = dict(zip(run.queries.tolist(), run.precisions, strict=True))
    groups = selected()
    assert list(groups) == ["best", "worst", "random"]
    of_identity: dict[int, list[float]] = {}
    for row, value in ap.items():
        if not np.isnan(value):
            of_identity.setdefault(int(run.images.pids[row]), []).append(value)
    best, worst = (np.sort([choose(found) for found in of_identity.values()]) for choose in (max, min))
    np.testing.assert_array_equal([ap[row] for row in groups["best"]], best[::-1][:3])
    np.testing.assert_array_equal([ap[row] for row in groups["worst"]], worst[:3])
    assert selected() == groups and selected(1)["random"] != groups["random"]
    assert len(set(groups["random"])) == 3


def test_a_copy_without_all_test_images_is_pictured_as_it_is(run: PicturedRun, sysu_run: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(run.model.root, tmp_path / "copy"))
    (root / str(run.model.test_index["path"].iloc[0])).unlink()
    model, _ = find_model(sysu_run, None, root, None)
    with pytest.warns(
        VibenchWarning, match=r"the test split of sysu-mm01-twin lacks 1 .*; pictures show what is there"
    ):
        found = picture_run(model, load_protocol("sysu-all"), PictureRequest(), device="cpu", amp="off")
    assert len(found.features.features) == len(run.features.features) - 1


def test_a_query_without_match_is_never_selected() -> None:
    precisions = np.array([np.nan, 0.5, np.nan, 0.25, 0.5])
    groups = select_queries(("random", "best", "worst"), {}, np.arange(10, 15), np.arange(5), precisions, 9, 0)
    assert groups == {"random": [11, 13, 14], "best": [11, 14, 13], "worst": [13, 11, 14]}


def test_best_and_worst_show_everybody_once_before_anybody_twice() -> None:
    precisions, pids = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([1, 1, 1, 2, 3])

    def selected(count: int) -> dict[str, list[int]]:
        return select_queries(("best", "worst"), {}, np.arange(5), pids, precisions, count, 0)

    assert selected(3) == {"best": [0, 3, 4], "worst": [4, 3, 2]}
    assert selected(4) == {"best": [0, 1, 3, 4], "worst": [4, 3, 2, 1]}, "more are asked for than there are people"


def test_ranked_figures_show_the_evaluated_lists(run: PicturedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = gallery(run, queries=("best", "worst"), count=2)
    # Queries of camera 3 skip the gallery of camera 2: those that meet it first.
    third = run.ranked(run.queries[run.images.cameras[run.queries] == 3].tolist())
    shown.lists["third"] = sorted(third, key=lambda one: int(np.argmax(one.skipped)))[:2]
    ranks = int(np.argmax(shown.lists["third"][0].skipped)) + 2
    monkeypatch.setattr("vibench.visualize.gallery.SHOWN_RANKS", ranks)
    figures = shown.ranked()
    assert list(figures) == ["ranked-best", "ranked-worst", "ranked-third"]
    for name, lists in shown.lists.items():
        panels = panels_of(figures[f"ranked-{name}"])
        assert len(panels) == 2 * (1 + ranks)
        for number, one in enumerate(lists):
            place = int(np.flatnonzero(run.queries == one.query)[0])
            assert one.average_precision == pytest.approx(run.precisions[place])
            query, *images = panels[number * (1 + ranks) :][: 1 + ranks]
            np.testing.assert_array_equal(query.images[0].get_array(), run.pixels(one.query))
            for at, axes in enumerate(images):
                row = one.gallery[at]
                expected = GREY if one.skipped[at] else BLUE if one.matches[at] else VERMILION
                frame = frame_of(axes)
                assert frame is not None and frame[0] == expected
                mark, camera, distance = axes.get_xlabel().split("\n")
                assert camera == f"cam {run.images.cameras[row]}" and distance == f"{one.distances[at]:#.3g}"
                assert mark.startswith("skipped" if one.skipped[at] else ("✓" if one.matches[at] else "✗"))
                if not one.skipped[at]:
                    assert mark.endswith(f" {one.ranks[at]}")
                    np.testing.assert_array_equal(axes.images[0].get_array(), run.pixels(int(row)))
    assert any(one.skipped[:ranks].any() for one in shown.lists["third"])


def test_queries_can_be_named(run: PicturedRun, sysu_run: Path) -> None:
    first, last = str(run.paths[run.queries[0]]), str(run.paths[run.queries[-1]])
    request = PictureRequest(queries=(last, "best", first), count=1)
    shown = Gallery(prepared(sysu_run, "sysu-all", request, 3), request)
    assert shown.run.trial.number == 3
    assert list(shown.ranked()) == ["ranked-chosen", "ranked-best"]
    assert [str(run.paths[one.query]) for one in shown.lists["chosen"]] == [last, first]
    labels = [axes.texts[0].get_text() for axes in shown.ranked()["ranked-chosen"].axes if axes.texts]
    assert labels[0].replace("/\n", "/").split("\n")[1] == last and "AP " in labels[0]


def test_names_that_are_no_queries_are_refused_before_anything_is_embedded(
    run: PicturedRun, sysu_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vibench.visualize.pictured_run.embed_models", lambda *_, **__: pytest.fail("too late"))
    name, other = str(run.paths[run.queries[0]]), str(run.paths[run.trial.gallery[0]])
    for word, expected in (
        (name.replace(".jpg", ".jpgg"), rf"neither random, best, worst nor a query .*did you mean '{name}'\?"),
        ("wrost", r"did you mean 'worst'\?\); name it relative to the data set's folder, such as cam"),
        (other, "is a test image but no query of sysu-all, whose queries are infrared images of camera 3, 6"),
    ):
        with pytest.raises(UsageError, match=f"--queries {word}: .*{expected}"):
            prepared(sysu_run, "sysu-all", PictureRequest(queries=(word,)))
    with pytest.raises(UsageError, match="--trial 10: sysu-all has the trials 0 to 9; choose"):
        prepared(sysu_run, "sysu-all", PictureRequest(), 10)
    with pytest.raises(UsageError, match="--what parts: toy has no pictures of its own"):
        prepared(sysu_run, "sysu-all", PictureRequest(what="parts"))
    with pytest.raises(UsageError, match="--protocol regdb-v2t: is a protocol of regdb"):
        prepared(sysu_run, "regdb-v2t", PictureRequest())
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(UsageError, match=r"--what tsne: t-SNE needs scikit-learn.*vibench\[tsne\]"):
        prepared(sysu_run, "sysu-all", PictureRequest(what="tsne"))


def test_requests_are_checked() -> None:
    for changes, expected in (
        ({"what": "rankd"}, r"--what rankd: there is no such picture \(did you mean 'ranked'\?\)"),
        ({"count": 0}, "--count 0: show at least 1"),
        ({"queries": ()}, "--queries: name random"),
    ):
        with pytest.raises(UsageError, match=expected):
            PictureRequest(**changes)  # type: ignore[arg-type]


def test_a_trial_of_regdb_is_its_split(regdb_runs: Path) -> None:
    for trial in (None, 2):
        run = prepared(regdb_runs, "regdb-v2t", PictureRequest(), trial)
        assert run.model.split == run.trial.number == (trial or 1)
        lists = run.ranked(run.queries[:3].tolist())
        np.testing.assert_allclose([one.average_precision for one in lists], run.precisions[:3])
        assert not any(one.skipped.any() for one in lists)
        (axes,) = Gallery(run, PictureRequest()).cmc()["cmc"].axes
        assert axes.lines[0].get_label() == f"trial {trial or 1}"
    with pytest.raises(UsageError, match="holds no run of --trial 3"):
        prepared(regdb_runs, "regdb-v2t", PictureRequest(), 3)
    with pytest.raises(UsageError, match="has the train/test splits 1 to 10"):
        prepared(regdb_runs / "trial-01", "regdb-v2t", PictureRequest(), 11)


def test_corrupted_images_are_shown_as_they_were_evaluated(run: PicturedRun, sysu_run: Path) -> None:
    (corruption,) = parse_corruptions("occlusion:3")
    model, _ = find_model(sysu_run, None, None, None)
    protocol = replace(load_protocol("sysu-all"), corruption=corruption)
    found = picture_run(model, protocol, PictureRequest(), device="cpu", amp="off")
    shown = {"visible": [False, False], "infrared": [False, False]}
    for row in range(len(found.paths)):
        shown[str(found.images.modalities[row])][np.array_equal(found.pixels(row), run.pixels(row))] = True
    assert shown == {"visible": [True, False], "infrared": [False, True]}
    assert not np.array_equal(found.features.features, run.features.features)


def test_the_title_names_the_data_set_of_the_test(sysu_run: Path, regdb_twin: Path, run: PicturedRun) -> None:
    (model, *_) = models_of_run(sysu_run, regdb_twin, dataset="regdb-twin")
    found = picture_run(model, load_protocol("regdb-v2t"), PictureRequest(), device="cpu", amp="off")
    label = run.title.partition(" on ")[0]
    assert found.title == f"{label} trained on sysu-mm01-twin, on regdb-twin, regdb-v2t, trial 1"
    assert run.title == f"{label} on sysu-mm01-twin, sysu-all, trial 0"


def test_the_cmc_figure_shows_the_evaluation(run: PicturedRun) -> None:
    (axes,) = gallery(run).cmc()["cmc"].axes
    np.testing.assert_allclose(axes.lines[10].get_ydata(), 100 * np.array(run.evaluation.cmc))
    assert "trial" not in axes.get_title(loc="left")


def test_distances_are_of_every_pair_once(run: PicturedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("vibench.visualize.gallery.distance_histograms", lambda groups, *_: seen.extend(groups))
    gallery(run).distances()
    across, visible, infrared = seen
    units = run.features.features / np.linalg.norm(run.features.features, axis=1, keepdims=True)
    table = 1 - units @ units.T
    pids, of = run.images.pids, run.images.modalities
    for group, pairs in (
        (across, [(i, j) for i in np.flatnonzero(of == "visible") for j in np.flatnonzero(of == "infrared")]),
        (visible, [(i, j) for i in np.flatnonzero(of == "visible") for j in np.flatnonzero(of == "visible") if i < j]),
        (
            infrared,
            [(i, j) for i in np.flatnonzero(of == "infrared") for j in np.flatnonzero(of == "infrared") if i < j],
        ),
    ):
        same = [table[i, j] for i, j in pairs if pids[i] == pids[j]]
        different = [table[i, j] for i, j in pairs if pids[i] != pids[j]]
        np.testing.assert_allclose(np.sort(group.same), np.sort(same), atol=1e-5)
        np.testing.assert_allclose(np.sort(group.different), np.sort(different), atol=1e-5)


def test_large_sets_are_sampled(run: PicturedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vibench.visualize.gallery.HISTOGRAM_IMAGES", 4)
    rows = gallery(run)._sample(run.images.modalities == "visible")
    assert len(rows) == 4 and (run.images.modalities[rows] == "visible").all()
    assert not np.array_equal(rows, gallery(run, seed=1)._sample(run.images.modalities == "visible"))


def test_tsne_shows_people_seen_in_both_modalities(run: PicturedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vibench.visualize.gallery.TSNE_IMAGES", 2)
    asked: list[np.ndarray] = []

    def places(features: np.ndarray, distance: str, seed: int) -> np.ndarray:
        asked.append(features)
        return features[:, :2]

    monkeypatch.setattr("vibench.visualize.gallery.tsne", places)
    by_modality, by_identity = gallery(run).tsne()["tsne"].axes
    both = {pid for pid in run.images.pids if len(set(run.images.modalities[run.images.pids == pid])) == 2}
    shown = {int(text.get_text()) for text in by_identity.get_legend().get_texts()}
    assert shown <= both and len(shown) == min(10, len(both))
    assert len(asked[0]) == 4 * len(shown)
    assert [len(part.get_offsets()) for part in by_modality.collections] == [2 * len(shown)] * 2


def test_grad_cam_shows_queries_with_their_first_true_match(run: PicturedRun) -> None:
    shown = gallery(run, queries=("worst",), count=2)
    panels = panels_of(shown.gradcam()["gradcam"])
    assert len(panels) == 2 * 4
    for number, one in enumerate(shown.lists["worst"]):
        query, _, match, heat = panels[4 * number : 4 * number + 4]
        first = int(np.argmax(one.matches))
        np.testing.assert_array_equal(query.images[0].get_array(), run.pixels(one.query))
        np.testing.assert_array_equal(match.images[0].get_array(), run.pixels(int(one.gallery[first])))
        assert match.get_xlabel().startswith(f"true match, rank {one.ranks[first]}\n")
        assert heat.images[1].get_array().shape == (16, 8)


def test_queries_without_match_have_no_pair(run: PicturedRun) -> None:
    lists = run.ranked(run.queries[:2].tolist())
    alone = [replace(one, same_identity=np.zeros_like(one.same_identity)) for one in lists]
    shown = gallery(run)
    shown.__dict__["lists"] = {"random": [alone[0], lists[1]]}
    assert [pair.query.label for pair in shown.pairs] == [shown._label(lists[1].query)]
    shown = gallery(run)
    shown.__dict__["lists"] = {"random": alone}
    with pytest.raises(UsageError, match="none of them has a true match"):
        _ = shown.pairs
    assert "no match" in next(iter(shown.ranked().values())).axes[0].texts[0].get_text()


def test_pairs_carry_the_heatmaps_of_methods_that_predict_them(
    run: PicturedRun, sysu_twin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all(shown.heatmaps is None for pair in gallery(run).pairs for shown in pair.both)
    monkeypatch.setattr(run.method, "needs", frozenset({"heatmaps"}))
    shown = gallery(run, count=2)
    (query, *_), (one, *_) = [pair.query for pair in shown.pairs], shown.lists["random"]
    assert query.heatmaps is not None and query.heatmaps.shape == (1, 16, 8)
    truth = sysu_twin / "truth" / "keypoints.npz"
    keypoints = keypoints_of_arrays(truth, read_npz(truth), sysu_twin, [str(run.paths[one.query])])
    x, y = keypoints.places[0][keypoints.confidence[0] > 0.5].mean(axis=0)
    mass = query.heatmaps[0] / query.heatmaps[0].sum()
    assert abs((mass.sum(axis=1) * (np.arange(16) + 0.5)).sum() / 16 - y) < 0.15
    assert abs((mass.sum(axis=0) * (np.arange(8) + 0.5)).sum() / 8 - x) < 0.25


def test_everything_that_can_be_drawn_is_written(
    run: PicturedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    written = visualize(run, PictureRequest(count=1), tmp_path / "out")
    names = ["ranked-random", "ranked-best", "ranked-worst", "cmc", "distances", "gradcam"]
    assert written == [tmp_path / "out" / f"{name}.png" for name in names]
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == sorted(names)


def test_a_method_adds_its_pictures_in_its_own_class(
    run: PicturedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vibench.pictures.panels import Panel, PanelRow, panel_grid

    def mine(pairs: Any) -> Any:
        return panel_grid([PanelRow(pair.query.label, (Panel(pair.query.pixels),)) for pair in pairs])

    monkeypatch.setattr(type(run.method), "pictures", lambda _: {"mine": mine}, raising=False)
    written = visualize(run, PictureRequest("parts", count=2), tmp_path)
    assert written == [tmp_path / "parts-mine.png"]
