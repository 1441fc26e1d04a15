"""Scores of pairs against the features that they come from, against loops, and what is wrong with a file of them."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from tests.evaluation.made import features_of, regdb, sysu
from tests.records.made import make_record
from vibench.datasets.permutations import write_permutations
from vibench.datasets.registry import get_dataset
from vibench.datasets.testing import images_of_tests, sysu_test_names
from vibench.errors import UsageError
from vibench.evaluation.distances import Comparison, Rows
from vibench.evaluation.draws import draw_trials
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features
from vibench.evaluation.images import identify
from vibench.files.shipped import protocols_folder
from vibench.leaderboard.board import build_boards
from vibench.leaderboard.rank import Rank
from vibench.records.record_json import from_json, to_json
from vibench.records.schema import Record
from vibench.scoring import matrix, matrix_places
from vibench.scoring.matrix import declared_information, score_matrices
from vibench.scoring.matrix_file import read_scores_file
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import Scored, score_features

SYSU = ("sysu-all", "sysu-all-multi", "sysu-indoor", "sysu-indoor-multi")


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No copy of any data set is found by chance."""
    monkeypatch.setenv("VIBENCH_DATA", str(tmp_path / "none"))


def whole(features: Features) -> Features:
    """Small whole numbers, whose products and ties are exact, and copies of rows."""
    values = np.round(features.features).astype(np.float64)
    values[5::7] = values[2::7][: len(values[5::7])]
    return replace(features, features=values)


def llcm() -> Features:
    names = [
        f"test_{kind}/cam{camera}/{pid:04d}/{number:04d}.jpg"
        for kind in ("vis", "nir")
        for camera in (1, 2, 4)
        for pid in range(1, 6)
        for number in (1, 2, 3)
    ]
    generator = np.random.default_rng(0)
    return Features(np.round(2 * generator.standard_normal((len(names), 5))), tuple(names))


def cosines(features: Features, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    query, gallery = (Rows(features.features, np.arange(len(features.features))[side]) for side in (rows, columns))
    return Comparison(query, gallery, "cosine").scores(slice(0, len(query))).numpy()


def sides(features: Features, dataset: str, infrared_asks: bool = True) -> tuple[np.ndarray, np.ndarray]:
    infrared = identify(features, get_dataset(dataset)).modalities == "infrared"
    asks = infrared if infrared_asks else ~infrared
    order = np.random.default_rng(3).permutation(len(infrared))
    return order[asks[order]], order[~asks[order]]


def write(path: Path, features: Features, rows: np.ndarray, columns: np.ndarray, **more: Any) -> Path:
    names = np.array(features.paths)
    arrays = {"scores": cosines(features, rows, columns), "query_paths": names[rows], "gallery_paths": names[columns]}
    np.savez(path, **(arrays | more))
    return path


def scored(
    files: Path | Sequence[Path], protocols: Sequence[str], dataset: str | None = None, **more: Any
) -> list[Scored]:
    options = {key: more.pop(key) for key in ("root", "information") if key in more}
    rules = Rules(load_protocols(protocols), **{"allow_incomplete": True, **more})
    given = {"information": "none", "name": "pairs", "dataset": dataset, "device": "cpu", **options}
    return score_matrices([files] if isinstance(files, Path) else files, rules, **given)


def of_features(
    features: Features | list[Features], protocols: Sequence[str], dataset: str, **more: Any
) -> list[Scored]:
    rules = Rules(load_protocols(protocols), **{"allow_incomplete": True, **more})
    given = features if isinstance(features, list) else [features]
    return score_features(given, rules, name="pairs", dataset=dataset, device="cpu")


def assert_same(ours: Sequence[Scored], theirs: Sequence[Scored]) -> None:
    """Every figure of every trial and query, and the rules."""
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.record.trials == other.record.trials
        assert (one.record.fingerprint, one.record.cmc, one.record.complete) == (
            other.record.fingerprint,
            other.record.cmc,
            other.record.complete,
        )
        for a, b in zip(one.per_query, other.per_query, strict=True):
            for field in vars(a):
                np.testing.assert_array_equal(getattr(a, field), getattr(b, field))


def official(features: Features, path: Path) -> Path:
    images = identify(features, get_dataset("sysu-mm01-twin"))
    generator = np.random.default_rng(1)
    folders = {(int(camera), int(pid)) for camera, pid in zip(images.cameras, images.pids, strict=True)}
    counts = {
        (camera, pid): int(((images.cameras == camera) & (images.pids == pid)).sum()) for camera, pid in sorted(folders)
    }
    write_permutations(
        path, {key: np.array([generator.permutation(count) + 1 for _ in range(10)]) for key, count in counts.items()}
    )
    return path


@pytest.mark.parametrize("form", ["scores", "distances"])
def test_sysu_as_by_features(form: str, tmp_path: Path) -> None:
    """All protocols, both draws, with ties: of one matrix in any order of its rows and columns."""
    features = whole(sysu())
    rows, columns = sides(features, "sysu-mm01-twin")
    values = cosines(features, rows, columns)
    assert len(np.unique(values[0])) < len(columns)
    file = write(tmp_path / "s.npz", features, rows, columns)
    if form == "distances":
        with np.load(file) as given:
            arrays = {name: given[name] for name in given.files if name != "scores"}
        np.savez(file, distances=-values, **arrays)
    rules = {"draws": ("seeded", "official"), "permutations": official(features, tmp_path / "rand_perm_cam.mat")}
    ours = scored(file, SYSU, "sysu-mm01-twin", **rules)
    assert_same(ours, of_features(features, SYSU, "sysu-mm01-twin", **rules))
    assert len({one.record.mean["map"] for one in ours}) == len(ours) == 8


def test_llcm_as_by_features(tmp_path: Path) -> None:
    features = llcm()
    for protocol, infrared_asks in (("llcm-v2i", False), ("llcm-i2v", True), ("llcm-v2i-as-scripted", True)):
        rows, columns = sides(features, "llcm", infrared_asks)
        file = write(tmp_path / "s.npz", features, rows, columns)
        assert_same(scored(file, [protocol]), of_features(features, [protocol], "llcm"))


def test_regdb_as_by_features(tmp_path: Path) -> None:
    """A file per split, or a matrix per split in one file; labels do in place of names."""
    splits = [whole(regdb(seed)) for seed in range(3)]
    theirs = of_features(splits, ["regdb-v2t"], "regdb-twin")
    files, numbered = [], {}
    for split, features in enumerate(splits, start=1):
        rows, columns = sides(features, "regdb-twin", infrared_asks=False)
        files.append(write(tmp_path / f"s{split}.npz", features, rows, columns))
        with np.load(files[-1]) as given:
            numbered |= {f"{name}_{split}": given[name] for name in given.files}
    assert_same(scored(files, ["regdb-v2t"], "regdb-twin"), theirs)
    np.savez(tmp_path / "all.npz", **numbered)
    assert_same(scored(tmp_path / "all.npz", ["regdb-v2t"], "regdb-twin"), theirs)
    # The scores in the order of the names, as evaluation orders rows that have none.
    (first,) = splits[:1]
    images = identify(first, get_dataset("regdb-twin"))
    rows, columns = (images.ordered(np.flatnonzero(images.modalities == one)) for one in ("visible", "infrared"))
    np.savez(
        tmp_path / "l.npz", scores=cosines(first, rows, columns), q_pids=images.pids[rows], g_pids=images.pids[columns]
    )
    (labelled,) = scored(tmp_path / "l.npz", ["regdb-v2t"], "regdb-twin")
    (alone,) = of_features(first, ["regdb-v2t"], "regdb-twin")
    assert labelled.record.mean == alone.record.mean


def test_a_matrix_of_all_pairs_asks_in_both_directions(tmp_path: Path) -> None:
    features, everything = whole(regdb()), np.arange(24)
    file = write(tmp_path / "s.npz", features, everything, everything)
    both = ["regdb-v2t", "regdb-t2v"]
    assert_same(scored(file, both, "regdb-twin"), of_features(features, both, "regdb-twin"))


def test_against_loops(tmp_path: Path) -> None:
    """One matrix without structure: draws, skips, unique CMC and average precision as literal as can be."""
    features = sysu(pids=5, images=4)
    rows, columns = sides(features, "sysu-mm01-twin")
    names = np.array(features.paths)
    values = np.random.default_rng(0).integers(0, 40, (len(rows), len(columns))).astype(np.float32)
    file = write(tmp_path / "s.npz", features, rows, columns, scores=values)
    (found,) = scored(file, ["sysu-all"], "sysu-mm01-twin")
    for number, trial in enumerate(found.record.trials):
        drawing = random.Random(number)
        folders = sorted({name.rpartition("/")[0] for name in names[columns]}, key=lambda f: (f.split("/")[1], f[3]))
        gallery = [drawing.choice(sorted(n for n in names[columns] if n.startswith(f + "/"))) for f in folders]
        precisions, hits = [], []
        for at, query in enumerate(names[rows]):
            reachable = [name for name in gallery if not (query.startswith("cam3") and name.startswith("cam2"))]
            place = {name: column for column, name in enumerate(names[columns])}
            ranked = sorted(reachable, key=lambda name: -values[at, place[name]])
            right = [name.split("/")[1] == query.split("/")[1] for name in ranked]
            if not any(right):
                continue
            places = [rank for rank, hit in enumerate(right, start=1) if hit]
            precisions.append(np.mean([found / rank for found, rank in enumerate(places, start=1)]))
            hits.append(right[0])
        assert trial.map == pytest.approx(np.mean(precisions), abs=1e-12)
        assert trial.r1 == pytest.approx(np.mean(hits), abs=1e-12)
        assert trial.valid_queries == len(hits)


def test_scores_count_as_they_are(tmp_path: Path) -> None:
    """Half, single and whole numbers are widened, and no two different scores tie."""
    features = whole(regdb())
    rows, columns = sides(features, "regdb-twin", infrared_asks=False)
    exact = np.random.default_rng(0).permutation(144).reshape(12, 12)
    theirs = scored(
        write(tmp_path / "a.npz", features, rows, columns, scores=exact.astype(np.float64)), ["regdb-v2t"], "regdb-twin"
    )
    largest = exact + (2**53 - 143)
    for values in (*(exact.astype(dtype) for dtype in (np.float16, np.float32, np.int64, np.uint8)), largest):
        file = write(tmp_path / "b.npz", features, rows, columns, scores=values)
        assert_same(scored(file, ["regdb-v2t"], "regdb-twin"), theirs)
    near = 1.0 + exact * np.finfo(np.float64).eps
    assert_same(
        scored(write(tmp_path / "c.npz", features, rows, columns, scores=near), ["regdb-v2t"], "regdb-twin"), theirs
    )


def trials_file(
    path: Path, features: Features, protocol: str, *, first: int = 1, order: Sequence[int] | None = None
) -> Path:
    """A matrix per trial of a seeded draw, each with its own noise."""
    (rules,) = load_protocols([protocol])
    trials = draw_trials(rules, identify(features, get_dataset("sysu-mm01-twin")), "seeded")
    names, arrays = np.array(features.paths), {}
    for at, source in enumerate(order or range(10)):
        trial = trials[source]
        columns = np.random.default_rng(at).permutation(trial.gallery)
        noise = np.random.default_rng(source).integers(0, 3, (len(trial.query), len(names)))
        arrays[f"scores_{at + first}"] = cosines(features, trial.query, columns) + noise[:, columns]
        arrays[f"gallery_paths_{at + first}"] = names[columns]
    np.savez(path, query_paths=names[trials[0].query], **arrays)
    return path


@pytest.fixture
def twin_features(sysu_twin: Path) -> Features:
    return whole(features_of(images_of_tests(get_dataset("sysu-mm01-twin"), sysu_twin)[1]["path"].tolist()))


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("protocol", ["sysu-all", "sysu-indoor"])
def test_a_matrix_per_trial(
    protocol: str, first: int, twin_features: Features, sysu_twin: Path, tmp_path: Path
) -> None:
    """Each trial has its own scores, also of the same pair; one matrix with the same noise is its reference."""
    file = trials_file(tmp_path / "s.npz", twin_features, protocol, first=first)
    (found,) = scored(file, [protocol], "sysu-mm01-twin", root=sysu_twin)
    rows, columns = sides(twin_features, "sysu-mm01-twin")
    (rules,) = load_protocols([protocol])
    (trial, *_) = draw_trials(rules, identify(twin_features, get_dataset("sysu-mm01-twin")), "seeded")
    place = {row: at for at, row in enumerate(trial.query)}
    for at in range(10):
        noise = np.random.default_rng(at).integers(0, 3, (len(trial.query), len(twin_features.features)))
        values = cosines(twin_features, rows, columns) + noise[[place[row] for row in rows]][:, columns]
        one = scored(
            write(tmp_path / "one.npz", twin_features, rows, columns, scores=values),
            [protocol],
            "sysu-mm01-twin",
            root=sysu_twin,
        )[0]
        assert found.record.trials[at] == one.record.trials[at]
        np.testing.assert_array_equal(found.per_query[at].ap, one.per_query[at].ap)
    assert found.record.fingerprint == one.record.fingerprint
    assert found.record.dataset_version.startswith("tiny-s0-r")


def test_a_matrix_of_another_draw_is_refused(twin_features: Features, sysu_twin: Path, tmp_path: Path) -> None:
    order = [1, 0, *range(2, 10)]
    file = trials_file(tmp_path / "s.npz", twin_features, "sysu-all", order=order)
    said = (
        r"scores_1: \d+ of its \d+ gallery images are not the \d+ that trial 0 of the seeded draw of sysu-all draws "
        r"\(it has those of trial 1\)"
    )
    with pytest.raises(UsageError, match=said):
        scored(file, ["sysu-all"], "sysu-mm01-twin", root=sysu_twin)
    file = trials_file(tmp_path / "s.npz", twin_features, "sysu-all")
    with pytest.raises(UsageError, match=r"trial 1 of the official draw of sysu-all draws \(it lacks cam"):
        scored(file, ["sysu-all"], "sysu-mm01-twin", root=sysu_twin, draws=("official",))
    for wrong in (
        {"protocols": ["sysu-all", "sysu-indoor"]},
        {"protocols": ["sysu-all"], "draws": ("seeded", "official")},
    ):
        with pytest.raises(UsageError, match="are those of one protocol and one draw; evaluate one at a time"):
            scored(file, wrong.pop("protocols"), "sysu-mm01-twin", root=sysu_twin, **wrong)
    with pytest.raises(UsageError, match=r"none/sysu-mm01-twin is none; name it with --root"):
        scored(file, ["sysu-all"], "sysu-mm01-twin")
    with np.load(file) as given:
        np.savez(tmp_path / "few.npz", **{name: given[name] for name in given.files if name != "scores_10"})
    with pytest.raises(UsageError, match=r"numbered 1, 2, .*, 9, but sysu-all has 10 trials; number them from 1 to 10"):
        scored(tmp_path / "few.npz", ["sysu-all"], "sysu-mm01-twin", root=sysu_twin)


def test_queries_that_lack_scores_in_a_trial(twin_features: Features, sysu_twin: Path, tmp_path: Path) -> None:
    file = trials_file(tmp_path / "s.npz", twin_features, "sysu-all")
    with np.load(file) as given:
        arrays = {name: given[name] for name in given.files}
    # The last of its folder: the numbers of the others show no gap.
    names = arrays["query_paths"]
    arrays |= {"scores_4": arrays["scores_4"][:-1], "query_paths_4": names[:-1]}
    np.savez(file, **arrays)
    said = rf"1 of the {len(names)} queries of sysu-all lack scores \({names[-1]}\)"
    with pytest.raises(UsageError, match=f"{said}; give the scores of all test images, .*--allow-incomplete"):
        scored(file, ["sysu-all"], "sysu-mm01-twin", root=sysu_twin, allow_incomplete=False)
    (found,) = scored(file, ["sysu-all"], "sysu-mm01-twin", root=sysu_twin)
    assert not found.record.complete and any(re.fullmatch(said, note) for note in found.record.notes)
    assert found.record.trials[0].queries == len(names) - 1
    # Also under a protocol of one's own, of which nobody knows how many images there should be.
    text = (protocols_folder() / "sysu-all.toml").read_text(encoding="utf-8").partition("[expected]")[0]
    (tmp_path / "own.toml").write_text(text.replace('name = "sysu-all"', 'name = "own"'), encoding="utf-8")
    whole_file = trials_file(tmp_path / "whole.npz", twin_features, "sysu-all")
    complete = [
        scored(one, [str(tmp_path / "own.toml")], "sysu-mm01-twin", root=sysu_twin)[0].record.complete
        for one in (whole_file, file)
    ]
    assert complete == [True, False]


def real(indoor: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The names of the queries and of the gallery images of the real data set."""
    names = np.array(sysu_test_names())
    camera = np.array([int(name[3]) for name in names])
    return names[np.isin(camera, (3, 6))], names[np.isin(camera, (1, 2) if indoor else (1, 2, 4, 5))]


def test_the_real_data_set_needs_no_copy(tmp_path: Path) -> None:
    """Indoors without the outdoor cameras, complete all the same; an image less is refused by name."""
    query, gallery = real(indoor=True)
    values = np.random.default_rng(0).standard_normal((len(query), len(gallery))).astype(np.float32)
    np.savez(tmp_path / "s.npz", scores=values, query_paths=query, gallery_paths=gallery)
    (found,) = scored(tmp_path / "s.npz", ["sysu-indoor"], allow_incomplete=False)
    record = found.record
    assert record.complete and record.trials[0].queries == len(query) == 3803
    assert (record.source, record.distance, record.query_mode, record.method) == ("scores", "scores", "all", "pairs")
    assert record.notes == (
        "1595 of 3803 queries have no reachable match",
        "scores from a file; that they look at the two images alone is declared, not checked",
    )
    with pytest.raises(
        UsageError, match=r"3836 of the 10578 test images of sysu-mm01 are missing \(cam4/0006/0001.jpg"
    ):
        scored(tmp_path / "s.npz", ["sysu-all"], allow_incomplete=False)
    np.savez(tmp_path / "s.npz", scores=values[:, 1:], query_paths=query, gallery_paths=gallery[1:])
    with pytest.raises(
        UsageError, match=rf"1 of the \d+ test images of sysu-mm01 are missing \({gallery[0]}\); give the scores"
    ):
        scored(tmp_path / "s.npz", ["sysu-indoor"], allow_incomplete=False)
    (found,) = scored(tmp_path / "s.npz", ["sysu-indoor"])
    assert not found.record.complete


def test_the_record(tmp_path: Path) -> None:
    features = whole(regdb())
    rows, columns = sides(features, "regdb-twin", infrared_asks=False)
    file = write(tmp_path / "s.npz", features, rows, columns, epoch=3)
    (found,) = scored(file, ["regdb-v2t"], "regdb-twin", information="queries+gallery")
    record = found.record
    assert record.test_time_information == "gallery+queries"
    assert record.profile.matching_ms_per_query is None and record.profile.embedding_size is None
    assert len(record.run.features_sha256) == 64
    assert record.profile.device == record.environment.cpu != ""
    assert "s.npz: left out what is not known: epoch (one value)" in record.notes
    assert "scores from a file; that they look at gallery and queries besides is declared, not checked" in record.notes
    assert from_json(to_json(record)) == record


def rows_of(records: Sequence[Record]) -> list[tuple[str, str, Rank | None]]:
    (board,) = build_boards(records, ())
    return [(section.title, row.source, rank) for section in board.sections for rank, row in section.rows]


def test_boards_rank_scores_as_they_rank_features() -> None:
    better, worse = make_record(r1=0.6, source="features"), make_record(r1=0.5, source="scores", method="agw")
    ranked = rows_of([better, worse])
    assert [source for _, source, _ in ranked] == ["features", "scores"]
    assert [rank for _, _, rank in ranked] == [Rank(1, 1), Rank(2, 2)]
    apart = rows_of([better, make_record(r1=0.5, source="scores", test_time_information="gallery")])
    assert len({title for title, _, _ in apart}) == 2
    (board,) = build_boards([worse], ())
    ((_, row),) = board.sections[0].rows
    assert row.setup.extra_labels == "" and not row.seeds


GOOD: dict[str, Any] = {
    "scores": np.arange(4.0).reshape(2, 2),
    "query_paths": np.array(["Visible/1/a.bmp", "Visible/2/a.bmp"]),
    "gallery_paths": np.array(["Thermal/1/a.bmp", "Thermal/2/a.bmp"]),
}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scores": None}, "holds neither 'scores' nor 'distances'. It holds query_paths (2 texts), gallery_paths"),
        ({"distances": np.eye(2)}, "holds both scores and distances; keep 'scores', larger for what is more alike"),
        ({"scores_1": np.eye(2)}, "holds scores of all trials and scores_1 of single ones; keep one kind"),
        ({"query_paths": None}, "nothing names the images of the query ('query_paths'). It holds"),
        ({"query_names": np.array(["a", "b"])}, "more than one array could be the names of the query"),
        ({"scores": np.ones((2, 2, 1))}, "must be an array (queries, gallery images), not of the shape (2, 2, 1)"),
        ({"scores": np.ones((2, 3))}, "is of the shape (2, 3), but 2 queries and 2 gallery images are named"),
        (
            {"scores": np.ones((2, 3)), "query_paths": np.array([f"Visible/{pid}/a.bmp" for pid in (1, 2, 3)])},
            "is of the shape (2, 3), but 3 queries and 2 gallery images are named; transpose it",
        ),
        ({"scores": np.ones((2, 2), np.complex64)}, "neither 'scores' nor 'distances'. It holds"),
        ({"scores": np.full((2, 2), 2**53 + 1)}, "must be float32 or float64, not int64; convert it with astype"),
        ({"scores": np.full((2, 2), 2**60)}, "must be float32 or float64, not int64; convert it with astype"),
        (
            {"scores": np.array([[0, 1], [np.nan, np.inf]])},
            "holds 2 NaN or infinite values, the first of query 1 (Visible/2/a.bmp) and gallery image 0 (Thermal/1/a",
        ),
        (
            {"query_paths": np.array(["Visible/1/a.bmp", "x.bmp"])},
            "1 of the 2 query names are of no image of RegDB twin ('x.bmp'); write paths such as Visible/285/",
        ),
        (
            {"gallery_paths": np.array(["Thermal/1/a.bmp"] * 2)},
            "'Thermal/1/a.bmp' occurs 2 times among the gallery names; give it one place",
        ),
        (
            {"query_paths": GOOD["gallery_paths"], "gallery_paths": GOOD["query_paths"]},
            "has no row for 2 of the 2 queries of regdb-v2t (Visible/1/a.bmp); its rows are queries and its columns "
            "gallery images, so give the scores of the other direction in a file of their own",
        ),
        (
            {"gallery_paths": GOOD["query_paths"]},
            "has no column for the gallery images of regdb-v2t, infrared images of camera 2",
        ),
        ({"query_paths": None, "query_pids": np.array([1.5, 2])}, "the pids of the query must be a list of whole"),
        (
            {"query_paths": None, "query_pids": np.array([1, 2]), "query_cams": np.array([1])},
            "the query has 2 identities but 1 cameras",
        ),
        ({"query_paths": None, "query_pids": np.array([1, 2])}, "one side names its images and the other does not"),
        ({"query_paths": np.array([1, 2])}, "the paths of the query must be a list of texts, not int64 of the"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", **{name: array for name, array in (GOOD | changes).items() if array is not None})
    with pytest.raises(UsageError) as caught:
        scored(tmp_path / "s.npz", ["regdb-v2t"], "regdb-twin")
    assert str(caught.value).startswith(f"{tmp_path / 's.npz'}: ") and sentence in str(caught.value)


def test_a_folder_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder; name the file of scores in it"):
        read_scores_file(tmp_path)


def test_the_way_out_makes_a_file_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "s.npz", what=np.eye(2))
    with pytest.raises(UsageError) as caught:
        read_scores_file(tmp_path / "s.npz")
    monkeypatch.chdir(tmp_path)
    given = {"scores": GOOD["scores"], "q": list(GOOD["query_paths"]), "g": list(GOOD["gallery_paths"])}
    exec("\n".join(caught.value.recipe), given)
    assert len(scored(tmp_path / "scores.npz", ["regdb-v2t"], "regdb-twin")) == 1


@pytest.mark.parametrize("suffix", [".pt", ".mat"])
def test_other_containers_and_usual_names(suffix: str, tmp_path: Path) -> None:
    query, gallery = GOOD["query_paths"].tolist(), [f"D:\\RegDB\\{name}" for name in GOOD["gallery_paths"]]
    path = tmp_path / f"s{suffix}"
    if suffix == ".pt":
        torch.save({"distmat": -torch.from_numpy(GOOD["scores"]), "q_paths": query, "g_paths": gallery}, path)
    else:
        cells = {"q_paths": np.array(query, dtype=object), "g_paths": np.array(gallery, dtype=object)}
        savemat(path, {"distmat": -GOOD["scores"], **cells})
    np.savez(tmp_path / "s.npz", **GOOD)
    assert_same(scored(path, ["regdb-v2t"], "regdb-twin"), scored(tmp_path / "s.npz", ["regdb-v2t"], "regdb-twin"))


def test_images_of_other_splits_are_left_out(regdb_twin: Path, tmp_path: Path) -> None:
    dataset = get_dataset("regdb-twin")
    index = dataset.index(regdb_twin, 2)
    names = {kind: index.loc[index["modality"] == kind, "path"].tolist() for kind in ("visible", "infrared")}
    features = features_of(names["visible"] + names["infrared"])
    rows, columns = np.arange(len(names["visible"])), np.arange(len(names["visible"]), len(index))
    values = cosines(features, rows, columns)
    arrays = {
        "scores_2": values,
        "query_paths": np.array(names["visible"]),
        "gallery_paths": np.array(names["infrared"]),
    }
    np.savez(tmp_path / "s.npz", **arrays)
    (found,) = scored(tmp_path / "s.npz", ["regdb-v2t"], "regdb-twin", root=regdb_twin)
    test = index["split"].eq("test")
    assert [trial.trial for trial in found.record.trials] == [2]
    assert found.record.trials[0].queries == int((test & index["modality"].eq("visible")).sum())
    assert (
        f"{int((~test).sum())} images of the scores are not of the test split and were left out" in found.record.notes
    )


def test_files_that_are_too_many(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", **GOOD)
    both = [tmp_path / "s.npz", tmp_path / "s.npz"]
    with pytest.raises(UsageError, match="--scores: sysu-mm01 has one train/test split and so one file, not 2"):
        scored(both, ["sysu-all"])
    np.savez(tmp_path / "n.npz", **{f"{name}_1": array for name, array in GOOD.items()})
    with pytest.raises(UsageError, match="scores_1: one of several files holds one split, and no number in its names"):
        scored([tmp_path / "s.npz", tmp_path / "n.npz"], ["regdb-v2t"], "regdb-twin")
    with pytest.raises(UsageError, match="protocol sysu-all is for sysu-mm01, but the scores are of regdb-twin"):
        scored(tmp_path / "s.npz", ["sysu-all"], "regdb-twin")
    np.savez(tmp_path / "l.npz", scores=np.eye(2), q_pids=np.array([1, 2]), g_pids=np.array([1, 2]))
    with pytest.raises(UsageError, match="protocol sysu-all draws images by name; give query_paths and gallery_paths"):
        scored(tmp_path / "l.npz", ["sysu-all"])


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ({"rerank": "k-reciprocal"}, "--rerank k-reciprocal: re-ranking needs all pairs"),
        ({"distance": "euclidean"}, "--distance euclidean: scores are ranked as they are"),
        ({"feature": "pooled"}, "--feature pooled: scores come without features"),
        ({"query_mode": "single"}, "--query-mode single: whether scores look at other queries is what --test-time-inf"),
        ({"mask_same_location": True}, "--mask-same-location: scores are fixed"),
    ],
)
def test_rules_that_scores_cannot_follow(rules: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{sentence}.*; leave the option out"):
        scored(tmp_path / "not read", ["sysu-all"], **rules)


def test_what_can_be_declared() -> None:
    for given, recorded in (
        ("none", "none"),
        ("gallery", "gallery"),
        ("attributes+queries+gallery", "gallery+queries+attributes"),
        ("text", "text"),
    ):
        assert declared_information(given) == recorded
    for wrong in ("", "none+gallery", "unknown", "Gallery", "gallery, queries", "gallery+"):
        with pytest.raises(UsageError, match="must be none, or kinds joined by"):
            declared_information(wrong)
    with pytest.raises(UsageError, match="did you mean 'queries'"):
        declared_information("gallery+quries")


def test_a_matrix_is_used_some_queries_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = whole(sysu())
    rows, columns = sides(features, "sysu-mm01-twin")
    file = write(tmp_path / "s.npz", features, rows, columns)
    theirs = scored(file, ["sysu-all"], "sysu-mm01-twin")
    asked, look_up = [], matrix_places._looked_up
    monkeypatch.setattr(matrix_places, "_looked_up", lambda m, q, g: asked.append(len(q)) or look_up(m, q, g))
    monkeypatch.setattr(matrix, "evaluate_features", partial(evaluate_features, chunk_bytes=1))
    assert_same(scored(file, ["sysu-all"], "sysu-mm01-twin"), theirs)
    assert asked == [1] * len(rows)
