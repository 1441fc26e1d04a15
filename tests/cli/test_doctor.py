"""``vibench doctor`` as a user meets it: what is healthy passes in silence, and every fault is named."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.datasets.mini import write_llcm, write_regdb, write_sysu
from tests.fuzz.readers import toy_checkpoint
from tests.records.scored import scored_record
from tests.training import toy
from vibench.cli.main import main
from vibench.datasets.permutations import write_permutations
from vibench.datasets.registry import get_dataset
from vibench.doctor.diagnosis import Claims
from vibench.doctor.images import Draws
from vibench.evaluation.rerank import k_reciprocal_distances
from vibench.methods.recipe import load_recipe, recipe_sha256, recipe_toml
from vibench.records.galleries import names_of_test_images as names_of
from vibench.records.store import write_record
from vibench.runtime.environment import Environment
from vibench.training.checkpoint import save_checkpoint
from vibench.training.folder import RunDescription, RunFolder, Timing
from vibench.training.log import EpochReport, TrainingLog

Doctor = Callable[..., dict[str, Any]]


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Doctor:
    """The diagnosis that ``vibench doctor ARGS... --json -`` prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIBENCH_DATA", raising=False)

    def run(*arguments: object) -> dict[str, Any]:
        with pytest.raises(SystemExit) as ended:
            main(["doctor", *map(str, arguments), "--json", "-"])
        said = capsys.readouterr()
        assert ended.value.code in (0, None), said.err
        found: dict[str, Any] = json.loads(said.out)
        return found

    return run


def what(found: dict[str, Any], *severities: str) -> list[str]:
    """What was found, notes left out unless they are asked for."""
    wanted = severities or ("wrong", "doubtful")
    return [finding["what"] for finding in found["findings"] if finding["severity"] in wanted]


def evidence(found: dict[str, Any], of: str) -> str:
    (finding,) = [finding for finding in found["findings"] if finding["what"] == of]
    assert finding["evidence"] and finding["remedy"]
    return str(finding["evidence"])


# Features of SYSU-MM01: its test images, known by name.

NAMES = np.array(names_of("sysu-mm01", ""))
SYSU = get_dataset("sysu-mm01")
_INDEX = SYSU.index_from_names(NAMES)
PIDS, INFRARED = _INDEX["pid"].to_numpy(), _INDEX["modality"].to_numpy() == "infrared"


def sysu_features(skill: float = 0.5, dimensions: int = 24) -> np.ndarray:
    """Normalised features that tell people apart by ``skill``."""
    generator = np.random.default_rng(0)
    people = generator.standard_normal((600, dimensions))
    values = skill * people[PIDS] + generator.standard_normal((len(PIDS), dimensions))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


HEALTHY = sysu_features()


def written(path: Path, values: np.ndarray = HEALTHY, **changes: Any) -> Path:
    np.savez(path, **{"features": values, "paths": NAMES, **changes})
    return path


def test_healthy_features_pass_in_silence(doctor: Doctor, tmp_path: Path) -> None:
    found = doctor(written(tmp_path / "f.npz"))
    assert found["kind"] == "features" and not found["findings"]
    assert found["facts"]["data set"] == "SYSU-MM01"
    assert found["facts"]["images"] == "6775 visible, 3803 infrared"
    assert found["facts"]["under sysu-all"].startswith("rank-1 ")
    assert found["actions"] == [f"vibench eval --features {tmp_path / 'f.npz'} --protocol sysu-all"]


@pytest.mark.parametrize(
    ("skill", "fault", "cited"),
    [
        (9.0, "a perfect score", "rank-1 100.00%, mAP 100.00% under sysu-all, with 96 identities"),
        (1.7, "a score above every printed one", "where the best printed is"),
    ],
)
def test_scores_too_good_to_be_true(skill: float, fault: str, cited: str, doctor: Doctor, tmp_path: Path) -> None:
    found = doctor(written(tmp_path / "f.npz", sysu_features(skill)))
    assert what(found) == [fault] and cited in evidence(found, fault)


# What is wrong with numbers shows on a few images of RegDB, of which the data set has more.

FEW = np.array([f"{kind}/{pid}/{n}.bmp" for kind in ("Visible", "Thermal") for pid in range(1, 61) for n in range(5)])
FEW_PIDS = np.tile(np.repeat(np.arange(60), 5), 2)
TOO_FEW = "not the number of test images"


def _few(skill: float = 0.6) -> np.ndarray:
    generator = np.random.default_rng(0)
    values = skill * generator.standard_normal((60, 24))[FEW_PIDS] + generator.standard_normal((len(FEW), 24))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def _spoilt(rows: Any, value: Any) -> np.ndarray:
    """``value`` in some rows; a whole number is the row that is copied there."""
    values = _few()
    values[rows] = values[value] if isinstance(value, int) else value
    return values


SOME_LENGTHS = np.random.default_rng(1).uniform(0.1, 4, (len(FEW), 1)).astype(np.float32)
VALUES = {
    "NaN": (_spoilt(slice(5, 7), np.nan), "numbers that are none", "2 of 600 rows"),
    "infinite": (_spoilt(0, np.inf), "numbers that are none", "Visible/1/0.bmp"),
    "zeros": (_spoilt(slice(20, 33), 0.0), "rows of zeros", "13 of 600 rows"),
    "one row": (_spoilt(slice(0, 500), 0), "one row for most images", "500 of 600"),
    "both modalities": (
        _spoilt([5, 50], 333),
        "visible and infrared images with the same features",
        "Visible/2/0.bmp, Thermal/7/3.bmp",
    ),
    "rows twice": (_spoilt([3, 40, 70], 3), "identical rows", "3 of 600 rows"),
    "labels": (np.eye(60, dtype=np.float32)[FEW_PIDS], "features that are the identity", "in 60 groups"),
    "dead": (np.pad(_few(), ((0, 0), (0, 40))), "dimensions that never change", "40 of 64 dimensions"),
    "alike": (1000 + _few(), "all images look alike", "the cosine of two rows is 1.000000"),
    "lengths": (_few() * SOME_LENGTHS, "features are not normalised, and it matters", "by cosine"),
    "another order": (
        _few()[np.random.default_rng(0).permutation(len(FEW))],
        "no better than chance",
        "rows exchanged at random",
    ),
    "perfect": (_few(9.0), "a perfect score", "rank-1 100.00%"),
}


def written_few(path: Path, values: np.ndarray) -> Path:
    np.savez(path, features=values, paths=FEW)
    return path


@pytest.mark.parametrize("name", VALUES)
def test_what_is_wrong_with_the_numbers(name: str, doctor: Doctor, tmp_path: Path) -> None:
    values, fault, cited = VALUES[name]
    found = doctor(written_few(tmp_path / "f.npz", values))
    assert fault in what(found)
    assert cited in evidence(found, fault)


@pytest.mark.parametrize("skill", [0.4, 0.6, 1.0])
def test_healthy_numbers_pass_in_silence(skill: float, doctor: Doctor, tmp_path: Path) -> None:
    found = doctor(written_few(tmp_path / "f.npz", _few(skill)))
    assert what(found) == [TOO_FEW]


def test_lengths_that_do_not_matter_are_a_note(doctor: Doctor, tmp_path: Path) -> None:
    found = doctor(written_few(tmp_path / "f.npz", 7 * _few()))
    assert what(found) == [TOO_FEW] and "features are not normalised" in what(found, "note")


def _sides(path: Path, query: np.ndarray, gallery: np.ndarray) -> Path:
    np.savez(
        path, qf=HEALTHY[query], gf=HEALTHY[gallery], query_paths=NAMES[query], gallery_paths=NAMES[gallery]
    )  # fmt: skip
    return path


def test_directions_exchanged(doctor: Doctor, tmp_path: Path) -> None:
    right = doctor(_sides(tmp_path / "f.npz", INFRARED, ~INFRARED))
    assert not what(right) and right["facts"]["sides"] == "query 3803, gallery 6775"
    found = doctor(_sides(tmp_path / "f.npz", ~INFRARED, INFRARED))
    assert what(found) == ["directions exchanged"]
    assert "the query rows are visible images" in evidence(found, "directions exchanged")
    mixed = np.arange(len(NAMES)) % 2 == 0
    assert "the query side mixes modalities" in what(doctor(_sides(tmp_path / "f.npz", mixed, ~mixed)))


def _modalities(turned: bool) -> np.ndarray:
    return np.where(INFRARED ^ turned, "infrared", "visible")


def test_modalities_that_contradict_names(doctor: Doctor, tmp_path: Path) -> None:
    assert not what(doctor(written(tmp_path / "f.npz", modalities=_modalities(False))))
    found = doctor(written(tmp_path / "f.npz", modalities=_modalities(True)))
    assert what(found) == ["labels contradict one another"]


def test_missing_strange_and_doubled_images(doctor: Doctor, tmp_path: Path) -> None:
    names = NAMES.copy()
    names[0], names[1], names[2] = "cam9/0001/0001.jpg", NAMES[5], "x"
    found = doctor(written(tmp_path / "f.npz", paths=names))
    assert set(what(found)) == {
        "names of no image of SYSU-MM01",
        "images with more than one row",
        "test images are missing",
    }
    assert "3 of the 10578 test images" in evidence(found, "test images are missing")
    training = np.append(NAMES, "cam1/0001/0001.jpg")
    found = doctor(written(tmp_path / "f.npz", np.concatenate([HEALTHY, HEALTHY[:1] + 1]), paths=training))
    assert not what(found) and "more than the test images" in what(found, "note")


def test_labels_alone_say_no_data_set(doctor: Doctor, tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", feat=HEALTHY, pids=PIDS, camids=_INDEX["camera"].to_numpy())
    found = doctor(tmp_path / "f.npz")
    assert not what(found) and "--dataset" in json.dumps(found)
    # All its protocols draw images by name, so that these cannot be evaluated.
    found = doctor(tmp_path / "f.npz", "--dataset", "sysu-mm01")
    assert what(found) == ["cannot be evaluated as it is"]
    assert "names none of its images" in evidence(found, "cannot be evaluated as it is")


def test_texts_of_numbers_are_features(doctor: Doctor, tmp_path: Path) -> None:
    rows = ["\t".join([name, *map(str, row)]) for name, row in zip(NAMES, HEALTHY, strict=True)]
    head = "\t".join(["path", *(f"f{at}" for at in range(HEALTHY.shape[1]))])
    for lines, encoding in ((rows, "utf-8"), ([head, *rows], "utf-8"), ([head, *rows], "utf-16")):
        (tmp_path / "f.txt").write_text("\n".join(lines), encoding=encoding)
        found = doctor(tmp_path / "f.txt")
        assert not what(found) and "SYSU-MM01" in found["facts"]["data set"]


# Galleries, drawn.


@pytest.fixture(scope="module")
def drawn() -> tuple[Any, ...]:
    found = [one for one in Draws(SYSU, Claims()).all() if one.trial == 3]
    return tuple(next(one for one in found if one.protocol == name) for name in ("sysu-all", "sysu-indoor"))


def rows_of(names: tuple[str, ...]) -> np.ndarray:
    row = {name: at for at, name in enumerate(NAMES)}
    return np.array([row[name] for name in names])


def _drawn_features(path: Path, gallery: np.ndarray) -> Path:
    query = np.flatnonzero(INFRARED)
    np.savez(path, qf=HEALTHY[query], gf=HEALTHY[gallery], query_paths=NAMES[query], gallery_paths=NAMES[gallery])
    return path


def test_a_drawn_gallery_is_named(doctor: Doctor, tmp_path: Path, drawn: tuple[Any, ...]) -> None:
    file = _drawn_features(tmp_path / "f.npz", rows_of(drawn[0].names))
    found = doctor(file)
    assert found["facts"]["the gallery"] == "sysu-all, seeded draw, trial 3"
    assert what(found) == ["a drawn gallery alone"]
    for claim in (("--draw", "official"), ("--protocol", "sysu-all-multi")):
        found = doctor(file, *claim)
        assert "another gallery draw than claimed" in what(found)
        assert "is sysu-all, seeded draw, trial 3, not that of" in evidence(found, "another gallery draw than claimed")


def test_a_gallery_of_another_seed_and_of_none(doctor: Doctor, tmp_path: Path, drawn: tuple[Any, ...]) -> None:
    seeds = [one for one in Draws(SYSU, Claims()).all(more_seeds=True) if one.protocol == "sysu-all"]
    found = doctor(_drawn_features(tmp_path / "f.npz", rows_of(seeds[17].names)))
    assert "seed 17" in evidence(found, "another gallery draw than claimed")
    first, *others = drawn[0].names
    swapped = [*others, next(name for name in NAMES if name[:10] == first[:10] and name != first)]
    found = doctor(_drawn_features(tmp_path / "f.npz", rows_of(tuple(swapped))))
    assert "301 images" in evidence(found, "a gallery of no known draw")


def _permutations(path: Path) -> Path:
    generator = np.random.default_rng(4)
    folders: dict[tuple[int, int], int] = {}
    for camera, pid in zip(_INDEX["camera"], _INDEX["pid"], strict=True):
        folders[int(camera), int(pid)] = folders.get((int(camera), int(pid)), 0) + 1
    write_permutations(
        path, {key: np.stack([generator.permutation(n) + 1 for _ in range(10)]) for key, n in folders.items()}
    )
    return path


def test_an_official_gallery_is_told_by_the_file_of_draws(doctor: Doctor, tmp_path: Path) -> None:
    perm = _permutations(tmp_path / "rand_perm_cam.mat")
    official = [one for one in Draws(SYSU, Claims(perm=perm)).all() if one.draw == "official"]
    file = _drawn_features(tmp_path / "f.npz", rows_of(official[2].names))
    assert "name their file with --perm" in evidence(doctor(file), "a gallery of no known draw")
    found = doctor(file, "--perm", perm, "--draw", "official")
    assert found["facts"]["the gallery"].endswith("official draw, trial 3")
    assert "not that of seeded" in evidence(
        doctor(file, "--perm", perm, "--draw", "seeded"), "another gallery draw than claimed"
    )
    assert doctor(perm)["kind"] == "official gallery draws of SYSU-MM01"


# Scores.

ASKED = np.flatnonzero(INFRARED)[::8]


def _scores(path: Path, values: np.ndarray, gallery: np.ndarray, name: str = "scores", **changes: Any) -> Path:
    np.savez(path, **{name: values, "query_paths": NAMES[ASKED], "gallery_paths": NAMES[gallery], **changes})
    return path


def test_scores(doctor: Doctor, tmp_path: Path, drawn: tuple[Any, ...]) -> None:
    gallery = rows_of(drawn[0].names)
    file, values = tmp_path / "s.npz", HEALTHY[ASKED] @ HEALTHY[gallery].T
    for one, name in ((values, "scores"), (1 - values, "distances"), (-2 * values, "distances")):
        found = doctor(_scores(file, one, gallery, name))
        assert found["kind"] == "scores" and not found["findings"]
        assert found["facts"][f"gallery of {name}"] == "sysu-all, seeded draw, trial 3"
    assert what(doctor(_scores(file, 1 - values, gallery))) == ["scores that are distances"]
    assert what(doctor(_scores(file, values, gallery, "distances"))) == ["distances that are scores"]
    turned = {"query_paths": NAMES[gallery], "gallery_paths": NAMES[ASKED]}
    assert "directions exchanged" in what(doctor(_scores(file, values.T, gallery, **turned)))
    assert what(doctor(_scores(file, values, gallery), "--draw", "official")) == ["another gallery draw than claimed"]
    spoilt = values.copy()
    spoilt[3, 4] = np.nan
    assert what(doctor(_scores(file, spoilt, gallery))) == ["cannot be evaluated as it is"]
    spoilt = values.copy()
    spoilt[7] = 0.5
    assert what(doctor(_scores(file, spoilt, gallery))) == ["rows that rank nothing"]
    found = doctor(_scores(file, values[:, 1:], gallery))
    assert "but 476 queries and 301 gallery images are named" in evidence(found, "cannot be evaluated as it is")
    same = (PIDS[ASKED][:, None] == PIDS[gallery][None]).astype(np.float32)
    assert "a perfect score" in what(doctor(_scores(file, values + 9 * same, gallery)))
    part = np.flatnonzero(~INFRARED)[::3]
    assert "gallery images are missing" in what(doctor(_scores(file, HEALTHY[ASKED] @ HEALTHY[part].T, part)))


@pytest.mark.parametrize("gap", [0.0, 0.6], ids=["aligned", "apart"])
@pytest.mark.parametrize("skill", [0.8, 2.0])
@pytest.mark.parametrize("size", [(400, 96, 3, 64), (300, 206, 10, 128)], ids=["sysu", "regdb"])
def test_the_signature_of_re_ranking(
    size: tuple[int, int, int, int], skill: float, gap: float, doctor: Doctor, tmp_path: Path
) -> None:
    """It shows on re-ranked distances of features that know something, and on no other distances of the same."""
    queries, people, shots, dimensions = size
    generator = np.random.default_rng(0)
    centres, shift = generator.standard_normal((people, dimensions)), gap * generator.standard_normal((2, dimensions))
    asked, shown = np.arange(queries) % people, np.repeat(np.arange(people), shots)

    def side(who: np.ndarray, offset: np.ndarray) -> np.ndarray:
        values = skill * centres[who] + generator.standard_normal((len(who), dimensions)) + offset
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    query, gallery = side(asked, shift[0]), side(shown, shift[1])
    reranked = k_reciprocal_distances(torch.from_numpy(query), torch.from_numpy(gallery)).numpy()
    cosine = query @ gallery.T
    euclidean = np.sqrt(2 - 2 * cosine)
    sparse = np.maximum(query - 0.08, 0)
    sparse = sparse @ np.maximum(gallery - 0.08, 0).T
    forms = {
        "re-ranked": (reranked, "distances", True),
        "re-ranked, negative": (-reranked, "scores", True),
        "re-ranked, from one": (1 - reranked, "scores", True),
        "cosine": (cosine, "scores", False),
        "cosine distance": (1 - cosine, "distances", False),
        "Euclidean": (euclidean, "distances", False),
        "Euclidean of at most one": (euclidean / euclidean.max(), "distances", False),
        "of sparse features": (1 - sparse / sparse.max(), "distances", False),
        "cosine of 0 to 1": ((1 + cosine) / 2, "scores", False),
    }
    for form, (values, name, is_reranked) in forms.items():
        np.savez(tmp_path / "s.npz", **{name: values.astype(np.float32)})
        assert ("scores look re-ranked" in what(doctor(tmp_path / "s.npz"))) == is_reranked, form


# RegDB: splits.

PEOPLE = tuple(range(1, 61))


@pytest.fixture(scope="module")
def regdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_regdb(tmp_path_factory.mktemp("regdb") / "regdb", PEOPLE, 2)


def _regdb_features(path: Path, root: Path, split: int, known: int = 0) -> Path:
    """Features of the test images of a split; the training identities of split ``known`` are recognised for sure."""
    index = get_dataset("regdb").index(root, split)
    test = index[index["split"] == "test"]
    generator = np.random.default_rng(split)
    centres = generator.standard_normal((max(PEOPLE) + 1, 32))
    pids = test["pid"].to_numpy()
    skill = np.full(len(pids), 0.6)
    if known:
        of_known = get_dataset("regdb").index(root, known)
        skill[np.isin(pids, of_known.loc[of_known["split"] == "train", "pid"])] = 6.0
    values = skill[:, None] * centres[pids] + generator.standard_normal((len(pids), 32))
    values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    np.savez(path, features=values, paths=test["path"].to_numpy(dtype=str))
    return path


def test_regdb_features_of_another_split(doctor: Doctor, tmp_path: Path, regdb: Path) -> None:
    """The miniature copy lacks images of the real data set, and nothing else may be wrong with it."""
    few = "not the number of test images"
    for split in (1, 4, 9):
        file = _regdb_features(tmp_path / f"regdb_trial_{split}.npz", regdb, split)
        found = doctor(file, "--root", regdb)
        assert what(found) == [few]
        assert found["facts"]["test identities of split"] == str(split)
    found = doctor(file, "--root", regdb, "--trial", 2)
    assert set(what(found)) == {few, "images of another split"}
    assert "they are the test identities of split 9" in evidence(found, "images of another split")
    found = doctor(file)
    assert what(found) == [few] and any("--root" in one["remedy"] for one in found["findings"])


def test_regdb_model_of_another_split(doctor: Doctor, tmp_path: Path, regdb: Path) -> None:
    file = _regdb_features(tmp_path / "f_trial_3.npz", regdb, 3, known=5)
    found = doctor(file, "--root", regdb)
    assert "a RegDB model of another split" in what(found)
    assert "training identities of split 5" in evidence(found, "a RegDB model of another split")


def test_regdb_directions_by_option_and_by_name(doctor: Doctor, tmp_path: Path, regdb: Path) -> None:
    with np.load(_regdb_features(tmp_path / "all.npz", regdb, 1)) as found:
        values, names = found["features"], found["paths"]
    visible = np.char.startswith(names, "Visible")
    sides = {"qf": values[visible], "gf": values[~visible]}
    sides |= {"query_paths": names[visible], "gallery_paths": names[~visible]}
    for name, options, wrong in (
        ("regdb_v2t.npz", (), False),
        ("regdb_t2v.npz", (), True),
        ("f.npz", (), False),
        ("f.npz", ("--protocol", "regdb-v2t"), False),
        ("f.npz", ("--protocol", "regdb-t2v"), True),
    ):
        np.savez(tmp_path / name, **sides)
        assert ("directions exchanged" in what(doctor(tmp_path / name, *options))) == wrong, (name, options)


# Checkpoints.


def _checkpoint(path: Path, root: Path, split: int, pids_of: int) -> Path:
    index = get_dataset("regdb").index(root, pids_of)
    pids = tuple(sorted({int(pid) for pid in index.loc[index["split"] == "train", "pid"]}))
    made = toy_checkpoint()
    recipe = load_recipe("toy", dataset="regdb")
    model = toy.Toy(recipe, len(pids)).state_dict()
    save_checkpoint(path, replace(made, trial=split, train_pids=pids, num_classes=len(pids), model=model))
    return path


def test_checkpoints_of_regdb(doctor: Doctor, tmp_path: Path, regdb: Path) -> None:
    right = _checkpoint(tmp_path / "trial_3.pt", regdb, 3, 3)
    found = doctor(right, "--root", regdb)
    assert found["kind"] == "checkpoint of vibench" and found["facts"]["split"] == "3" and not what(found)
    assert any(action.startswith("vibench eval --checkpoint") for action in found["actions"])
    assert what(doctor(right, "--trial", 4)) == ["a RegDB checkpoint of another split"]
    found = doctor(_checkpoint(tmp_path / "a.pt", regdb, 3, 7), "--root", regdb)
    assert "those of split 7" in evidence(found, "a RegDB checkpoint of another split")


def test_a_checkpoint_that_was_trained_on_test_identities(doctor: Doctor, tmp_path: Path) -> None:
    made = toy_checkpoint()
    for pids, wrong in (((1, 2, 5), []), ((1, 6, 10), ["test identities in training"])):
        save_checkpoint(tmp_path / "c.pt", replace(made, dataset="sysu-mm01", trial=None, train_pids=pids))
        assert what(doctor(tmp_path / "c.pt")) == wrong
    made.model["stem.0.weight"][0] = torch.nan
    save_checkpoint(tmp_path / "c.pt", replace(made, dataset="sysu-mm01", trial=None))
    assert what(doctor(tmp_path / "c.pt")) == ["weights that are no numbers"]


@pytest.mark.parametrize(
    ("name", "classes", "fault"),
    [
        ("sysu_best.pth", 395, ""),
        ("sysu_best.pth", 296, ""),
        ("sysu_best.pth", 491, "test identities in training"),
        ("sysu_best.pth", 513, "test identities in training"),
        ("sysu_best.pth", 533, "more classes than training identities"),
        ("regdb_trial_2_best.pth", 206, ""),
        ("regdb_trial_2_best.pth", 412, "test identities in training"),
        ("regdb_best.pth", 206, "a RegDB checkpoint that does not say its split"),
        ("llcm_best.pth", 713, ""),
        ("llcm_best.pth", 1064, "test identities in training"),
        ("llcm_best.pth", 395, "weights of another data set"),
        ("best.pth", 1064, "test identities in training"),
        ("best.pth", 77, ""),
    ],
)
def test_what_the_size_of_a_classifier_says(
    name: str, classes: int, fault: str, doctor: Doctor, tmp_path: Path
) -> None:
    state = {"net.conv.weight": torch.zeros(4, 3), "net.bn.running_mean": torch.zeros(4)}
    torch.save({"state_dict": {**state, "classifier.weight": torch.zeros(classes, 4)}, "epoch": 3}, tmp_path / name)
    found = doctor(tmp_path / name)
    assert found["kind"] == "weights of another code" and found["facts"]["classes"].startswith(str(classes))
    assert what(found) == ([fault] if fault else [])


def test_official_weights_are_recognised(doctor: Doctor, tmp_path: Path) -> None:
    recipe = load_recipe("toy", dataset="regdb")
    names = {"stem.0.": "body.0.", "stem.1.": "body.1.", "neck.": "bottleneck.", "classifier.": "classifier."}
    state = {
        theirs + name.removeprefix(ours): tensor
        for name, tensor in toy.Toy(recipe, 206).state_dict().items()
        for ours, theirs in names.items()
        if name.startswith(ours)
    }
    torch.save({"net": state, "mAP": 0.8, "epoch": 3}, tmp_path / "regdb_trial_2.t")
    found = doctor(tmp_path / "regdb_trial_2.t")
    assert found["facts"]["method"] == "toy" and not what(found)
    assert "the epoch was chosen by the test" in what(found, "note")
    assert found["actions"][0].endswith("--dataset regdb --trial 2")
    found = doctor(tmp_path / "regdb_trial_2.t", "--trial", 3)
    assert what(found) == ["a RegDB checkpoint of another split"]


# Runs and logs.


def _run(folder: Path, losses: tuple[float, ...], rate: float = 0.1, wanted: int | None = None) -> Path:
    run = RunFolder(folder)
    recipe = load_recipe("toy", dataset="sysu-mm01", overrides=[f"schedule.epochs={wanted or len(losses)}"])
    run.path.mkdir(parents=True, exist_ok=True)
    description = RunDescription(
        id="toy-s0", method="toy", variant="", dataset="sysu-mm01", dataset_version="", root="/nowhere/sysu", seed=0,
        pretrained="none", precision="fp32", recipe_sha256=recipe_sha256(recipe), environment=Environment(),
        created="2025-01-31T12:00:00Z",
    )  # fmt: skip
    run.write_description(description)
    run.recipe_path.write_text(recipe_toml(recipe))
    run.write_timing(Timing(epochs=len(losses), train_seconds=1.5, images=64))
    log = TrainingLog(run.log_path)
    for epoch, loss in enumerate(losses):
        log.append(EpochReport(epoch, rate, {"identity": loss, "total": loss}, 64, 2.0, 0.1, True))
    save_checkpoint(run.checkpoint_path, replace(toy_checkpoint(), dataset="sysu-mm01", trial=None))
    return folder


FALLING = tuple(5 / (1 + epoch) for epoch in range(10))


def test_a_healthy_run(doctor: Doctor, tmp_path: Path) -> None:
    found = doctor(_run(tmp_path / "run", FALLING))
    assert found["kind"] == "run" and found["facts"]["epochs"] == "10 of 10" and not what(found)
    assert found["actions"][0] == f"vibench eval {tmp_path / 'run'} --protocol sysu-all --root PATH"
    assert doctor(tmp_path / "run" / "run.json")["kind"] == "run"
    assert doctor(tmp_path)["kind"] == "folder of 1 runs"
    assert doctor(tmp_path / "run" / "log.csv")["kind"] == "training log of vibench"


@pytest.mark.parametrize(
    ("losses", "rate", "fault"),
    [
        ((*FALLING, np.nan), 0.1, "a loss that is no number"),
        (tuple(5 + 0.01 * (epoch % 2) for epoch in range(10)), 0.1, "the loss does not fall"),
        (tuple(5.0 * (1 + epoch) for epoch in range(10)), 0.1, "the loss grows"),
        (FALLING, 0.0, "a learning rate of zero"),
    ],
)
def test_what_is_wrong_with_a_training(
    losses: tuple[float, ...], rate: float, fault: str, doctor: Doctor, tmp_path: Path
) -> None:
    assert what(doctor(_run(tmp_path / "run", losses, rate))) == [fault]


def test_an_unfinished_run_can_be_resumed(doctor: Doctor, tmp_path: Path) -> None:
    found = doctor(_run(tmp_path / "run", FALLING, wanted=20))
    assert what(found) == ["training is not finished"]
    # Where it was trained its images are gone.
    assert f"vibench train --resume {tmp_path / 'run'} --root PATH" in found["actions"]
    assert found["facts"]["training images lie in"] == "/nowhere/sysu (no longer there)"
    for action in doctor(tmp_path / "run", "--root", tmp_path)["actions"]:
        assert f"--root {tmp_path}" in action
    with RunFolder(tmp_path / "run").locked():
        found = doctor(tmp_path / "run")
    assert not what(found) and "it is being trained" in what(found, "note")
    (tmp_path / "run" / "checkpoints" / "last.pt").unlink()
    assert "no checkpoint yet" in evidence(doctor(tmp_path / "run"), "training is not finished")


LOG = """==> Loading data..
Namespace(dataset='sysu', lr=0.1, method='agw')
Epoch: [{epoch}][50/374] Time: 0.4 lr:0.100 Loss: {loss:.4f} (5.1) iLoss: 3.2
Test Epoch: {epoch}
POOL:   Rank-1: {rank:.2f}% | Rank-5: 74.00% | Rank-10: 84.39%| Rank-20: 92.14%| mAP: 45.15%| mINP: 33.00%
"""


def _log(*lines: str, rank: float = 47.5) -> str:
    return "".join(LOG.format(epoch=e, loss=5 / (1 + e), rank=rank - 5 + e / 2) for e in range(10)) + "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (_log(), ""),
        (_log("re_rank=False", "rerank: none"), ""),
        (_log("Best Epoch [7]"), "the best epoch was chosen"),
        (_log("results with re-ranking:"), "the log speaks of re-ranking"),
        (_log("k-reciprocal: done"), "the log speaks of re-ranking"),
        (_log("Epoch: [9][51/374] Loss: nan"), "a loss that is no number"),
        (_log("Traceback (most recent call last):", "KeyError: 3"), "the training ended with an error"),
        (_log(rank=100.5), "a perfect score"),
    ],
    ids=["healthy", "no re-ranking", "best", "re-ranking", "k-reciprocal", "nan", "error", "perfect"],
)
def test_the_log_of_another_code(text: str, fault: str, doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(text)
    found = doctor(tmp_path / "train.txt")
    assert found["kind"] == "training log of another code" and found["facts"]["data set"] == "sysu"
    assert found["facts"]["scores"] == "10 lines with a rank-1"
    assert what(found) == ([fault] if fault else [])


# Records.


def _record(folder: Path, **changes: Any) -> Path:
    return write_record(folder, *scored_record("agw", 0, **changes))


def test_records(doctor: Doctor, tmp_path: Path) -> None:
    from vibench.protocols import load_protocol

    def rules(name: str) -> dict[str, Any]:
        protocol = load_protocol(name)
        mark = {"fingerprint": protocol.fingerprint("regdb", "none"), "protocol_version": protocol.version}
        return {"dataset": "regdb", "protocol": name, "draw": "none", "complete": True, **mark}

    healthy = _record(tmp_path / "a", **rules("regdb-v2t"))
    found = doctor(healthy)
    assert found["kind"] == "evaluation record" and not what(found)
    assert int(found["facts"]["figures that follow from the outcomes"]) > 20
    assert doctor(healthy.with_suffix(".npz"))["kind"] == "evaluation record"
    assert doctor(tmp_path / "a")["kind"] == "leaderboards folder"
    assert what(doctor(healthy, "--protocol", "regdb-t2v")) == ["a record of something else than claimed"]
    _record(tmp_path / "a", **rules("regdb-t2v"))
    assert what(doctor(healthy)) == ["both directions have the same scores"]

    for changes, fault in (
        ({"leaking": True}, "test identities in training"),
        ({"complete": False}, "not of the complete data set"),
        ({"fingerprint": "ab" * 32}, "other rules than claimed"),
    ):
        assert fault in what(doctor(_record(tmp_path / "b", **{**rules("regdb-v2t"), **changes})))
    reranked = _record(tmp_path / "c", **rules("regdb-v2t"), rerank="k-reciprocal")
    assert "scores are re-ranked" in what(doctor(reranked), "note")

    content = json.loads(healthy.read_text())
    content["trials"][0]["minp"], content["mean"]["minp"] = 0.5, (0.5 + content["trials"][1]["minp"]) / 2
    healthy.write_text(json.dumps(content))
    assert {"figures that do not follow from the outcomes", "a record that was edited or renamed"} <= set(
        what(doctor(healthy))
    )
    (tmp_path / "list.json").write_text(json.dumps([content]))
    assert doctor(tmp_path / "list.json")["kind"] == "list of 1 evaluation records"


def test_the_galleries_of_a_record(doctor: Doctor, tmp_path: Path, drawn: tuple[Any, ...]) -> None:
    from vibench.files.digests import sha256_text
    from vibench.protocols import load_protocol

    mark = load_protocol("sysu-all").fingerprint("sysu-mm01", "seeded")
    path = _record(
        tmp_path,
        dataset="sysu-mm01",
        protocol="sysu-all",
        protocol_version=load_protocol("sysu-all").version,
        fingerprint=mark,
        draw="seeded",
        gallery_sha256=sha256_text("\n".join(drawn[1].names)),
    )
    found = doctor(path)
    assert "another gallery draw than claimed" in what(found)
    assert "its galleries are sysu-indoor, seeded draw, trial 3" in evidence(found, "another gallery draw than claimed")


# Data sets.


def test_copies_of_data_sets(doctor: Doctor, tmp_path: Path, sysu_twin: Path) -> None:
    found = doctor(sysu_twin)
    assert found["kind"] == "copy of SYSU-MM01 twin" and not what(found)
    assert found["actions"][0].startswith("vibench data check --dataset sysu-mm01-twin --root")
    sysu = write_sysu(tmp_path / "wrapped" / "deeper" / "SYSU")
    found = doctor(tmp_path / "wrapped")
    assert found["kind"] == "copy of SYSU-MM01" and "the data set lies deeper" in what(found)
    assert {"images are missing", "not the numbers that are published"} <= set(what(found))
    assert "a part of the data set" in what(doctor(sysu / "cam1"))
    (sysu / "exp" / "test_id.txt").write_text("<html>")
    assert "lists that are wrong" in what(doctor(sysu))
    assert doctor(write_llcm(tmp_path / "llcm"))["kind"] == "copy of LLCM"


# What it is not.


def _pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"feat": [1.0]}))


NOTHING: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "absent": ("x.npz", lambda path: None, "there is no such file"),
    "empty": ("x.npz", lambda path: path.write_bytes(b""), "an empty file"),
    "a web page": ("x.pth", lambda path: path.write_text("<!DOCTYPE html><html>"), "a web page"),
    "a pointer": (
        "x.pth",
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1"),
        "git lfs pull",
    ),
    "a pickle": ("x.pkl", _pickled, "is a Python pickle"),
    "half a download": ("x.pth", lambda path: path.write_bytes(b"PK\x03\x04" + bytes(50)), "cut short"),
    "a prose": ("x.txt", lambda path: path.write_text("Dear reader, this is no log."), "a text that begins with 'Dear"),
    "JSON": ("x.json", lambda path: path.write_text('{"a": 1}'), 'it holds "a"'),
    "an image": ("x.jpg", lambda path: path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(99)), "a JPEG image"),
    "a folder": ("x", lambda path: path.mkdir(), "it is empty"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_nothing_known_is_said_in_one_sentence(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    file, make, said = NOTHING[name]
    make(tmp_path / file)
    with pytest.raises(SystemExit) as ended:
        main(["doctor", str(tmp_path / file)])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert not out and file in err and said in err and "Traceback" not in err


def test_it_is_shown_and_written(tmp_path: Path, vibench: Callable[..., Any]) -> None:
    written_few(tmp_path / "f.npz", VALUES["zeros"][0])
    done = vibench("doctor", "f.npz", "--json", "out.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("f.npz: features\n") and "wrong: rows of zeros" in done.stdout
    assert "next: vibench eval --features f.npz --protocol regdb-v2t" in done.stdout
    assert "rows of zeros" in what(json.loads((tmp_path / "out.json").read_text()))


def test_a_place_that_cannot_be_written_is_refused_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        main(["doctor", str(tmp_path / "absent"), "--json", str(tmp_path / "file" / "out.json")])
    assert ended.value.code == 2 and "--json" in capsys.readouterr().err


def test_numbers_without_names_are_looked_at(doctor: Doctor, tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", VALUES["zeros"][0])
    found = doctor(tmp_path / "f.npy")
    assert what(found) == ["nothing says whose features these are", "rows of zeros"]
    (tmp_path / "n.txt").write_text("\n".join(FEW))
    assert what(doctor(tmp_path / "f.npy", "--names", tmp_path / "n.txt")) == ["rows of zeros", TOO_FEW]


def test_a_damaged_run_is_still_a_run(doctor: Doctor, tmp_path: Path) -> None:
    run = _run(tmp_path / "run", FALLING)
    (run / "recipe.toml").write_text("method = 3")
    found = doctor(run)
    assert (
        found["kind"] == "run"
        and what(found) == ["a damaged run"]
        and "recipe.toml" in evidence(found, "a damaged run")
    )


def test_a_run_of_a_method_that_is_not_registered_is_not_damaged(doctor: Doctor, tmp_path: Path) -> None:
    run = _run(tmp_path / "runs" / "run", FALLING)
    for file in ("recipe.toml", "run.json"):
        (run / file).write_text((run / file).read_text().replace('"toy"', '"my-method"'))
    for path in (run, run.parent):
        (one,) = doctor(path)["findings"]
        assert (one["severity"], one["what"]) == ("note", "a method that is not registered here")
        assert one["remedy"] == f"name its folder: vibench doctor {run} --plugin PATH"


def test_vibench_knows_the_distance_of_its_own_features(doctor: Doctor, tmp_path: Path) -> None:
    meta = np.array(json.dumps({"dataset": "regdb", "method": "agw", "checkpoint_sha256": "ab" * 32}))
    np.savez(tmp_path / "f.npz", features=VALUES["lengths"][0], paths=FEW, meta=meta)
    found = doctor(tmp_path / "f.npz")
    assert what(found) == [TOO_FEW] and found["facts"]["method"] == "agw"


def test_a_matrix_that_is_none(doctor: Doctor, tmp_path: Path) -> None:
    for values in (np.zeros(5, np.float32), np.zeros((2, 3), np.int64)):
        np.savez(tmp_path / "s.npz", scores=values)
        assert "cannot be evaluated as it is" in what(doctor(tmp_path / "s.npz"))


@pytest.mark.parametrize("scale", [1e-320, 1e-30, 1e38, 1e154, 1e307])
def test_numbers_of_any_scale(scale: float, doctor: Doctor, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = doctor(written_few(tmp_path / "f.npz", _few().astype(np.float64) * scale))
    assert ("could not be evaluated" in what(found)) == (scale > 1e200)
