"""The check on miniature copies on disk: a twin's truth says what should be there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.datasets import mini
from vibench.datasets import sysu_mm01
from vibench.datasets.check import check_dataset, image_problems
from vibench.datasets.permutations import write_permutations
from vibench.datasets.registry import get_dataset
from vibench.datasets.report import CheckReport, Count, Problem
from vibench.errors import UsageError

SYSU_TWIN = get_dataset("sysu-mm01-twin")
REGDB_TWIN = get_dataset("regdb-twin")


@pytest.fixture
def sysu_twin(sysu_root: Path) -> Path:
    mini.write_sysu_truth(sysu_root)
    rows = np.tile(np.arange(1, mini.SYSU_IMAGES + 1), (10, 1))
    pids = (*(pid for ids in mini.SYSU_IDS.values() for pid in ids), 9)
    write_permutations(
        sysu_root / "exp" / "rand_perm_cam.mat", {(camera, pid): rows for camera in range(1, 7) for pid in pids}
    )
    return sysu_root


@pytest.fixture
def regdb_twin(regdb_root: Path) -> Path:
    (regdb_root / "truth").mkdir()
    rows = [f"{camera},{pid},10,unused" for camera in (1, 2) for pid in mini.REGDB_PIDS]
    (regdb_root / "truth" / "skeleton.csv").write_text("\n".join(["camera,pid,images,split", *rows]) + "\n")
    return regdb_root


def outcome(report: CheckReport) -> set[tuple[str, str, bool]]:
    return {(problem.kind, problem.path, problem.warning) for problem in report.problems}


def differing(report: CheckReport) -> set[str]:
    return {count.quantity for count in report.counts if not count.agrees}


def test_a_whole_copy_is_complete(sysu_twin: Path, regdb_twin: Path) -> None:
    for dataset, root in ((SYSU_TWIN, sysu_twin), (REGDB_TWIN, regdb_twin)):
        report = check_dataset(dataset, root, workers=1)
        assert report.problems == ()
        assert differing(report) == set()
        assert report.complete


def test_every_defect_of_a_sysu_copy_is_named(sysu_twin: Path) -> None:
    (sysu_twin / "cam1/0001/0002.jpg").unlink()
    (sysu_twin / "cam3/0006/0001.jpg").write_bytes((sysu_twin / "cam3/0006/0001.jpg").read_bytes()[:300])
    (sysu_twin / "cam4/0010/0001.jpg").write_bytes(b"<html>")
    mini.write_image(sysu_twin / "cam5/0011/0001.jpg", 0)
    (sysu_twin / "cam2/0001/Thumbs.db").write_bytes(b"")
    report = check_dataset(SYSU_TWIN, sysu_twin, workers=1)
    assert outcome(report) == {
        ("missing", "cam1/0001/0002.jpg", False),
        ("truncated", "cam3/0006/0001.jpg", False),
        ("unreadable", "cam4/0010/0001.jpg", False),
        ("surplus", "cam5/0011/0001.jpg", False),
        ("ignored", "cam2/0001/Thumbs.db", True),
    }
    assert not report.complete
    assert "images of camera 1" in differing(report)
    assert "train+val visible images" in differing(report)
    assert "queries" not in differing(report)


def test_lists_of_a_sysu_copy_are_checked(sysu_twin: Path) -> None:
    (sysu_twin / "exp" / "train_id.txt").write_text("1,9")
    (sysu_twin / "exp" / "val_id.txt").write_text("four")
    write_permutations(sysu_twin / "exp" / "rand_perm_cam.mat", {(1, 1): np.tile([1, 2, 3], (10, 1))})
    report = check_dataset(SYSU_TWIN, sysu_twin, workers=1)
    details = {(problem.path, problem.detail) for problem in report.problems}
    assert ("exp/train_id.txt", "lacks identity 2") in details
    assert ("exp/train_id.txt", "names identity 9, which is not of this split") in details
    assert any(path == "exp/val_id.txt" and "contains 'four'" in detail for path, detail in details)
    draws = {detail for path, detail in details if path == "exp/rand_perm_cam.mat"}
    assert "permutes 3 images of camera 1, identity 1, which has 2" in draws
    assert "permutes 0 images of camera 6, identity 10, which has 2" in draws
    assert len(draws) == 36
    assert not report.complete


def test_absent_draws_are_a_warning(sysu_twin: Path) -> None:
    (sysu_twin / "exp" / "rand_perm_cam.mat").unlink()
    report = check_dataset(SYSU_TWIN, sysu_twin, workers=1)
    assert outcome(report) == {("missing", "exp/rand_perm_cam.mat", True)}
    assert report.complete


def test_every_defect_of_a_regdb_copy_is_named_once(regdb_twin: Path) -> None:
    missing = mini.regdb_path("Thermal", 3, 4)
    (regdb_twin / missing).unlink()
    mini.write_image(regdb_twin / "Visible/3/extra.bmp", 0)
    mini.write_image(regdb_twin / "Visible/99/extra.bmp", 1)
    cut = regdb_twin / mini.regdb_path("Visible", 5, 0)
    cut.write_bytes(cut.read_bytes()[:100])
    report = check_dataset(REGDB_TWIN, regdb_twin, workers=1)
    assert outcome(report) == {
        ("missing", missing, False),
        ("surplus", "Visible/3/extra.bmp", False),
        ("surplus", "Visible/99/extra.bmp", False),
        ("truncated", mini.regdb_path("Visible", 5, 0), False),
    }
    assert differing(report) == {
        "identities",
        "visible images",
        "infrared images",
        "identities with 10 images of each modality",
    }


def test_splits_of_a_regdb_copy_are_checked(regdb_twin: Path) -> None:
    idx = regdb_twin / "idx"
    (idx / "train_visible_1.txt").unlink()
    shortened = (idx / "test_thermal_2.txt").read_text().splitlines()[:-1]
    (idx / "test_thermal_2.txt").write_text("\n".join(shortened) + "\n")
    for modality in ("visible", "thermal"):
        (idx / f"test_{modality}_3.txt").write_text((idx / f"train_{modality}_3.txt").read_text())
    report = check_dataset(REGDB_TWIN, regdb_twin, workers=1)
    by_path: dict[str, list[str]] = {}
    for problem in report.problems:
        by_path.setdefault(problem.path, []).append(problem.detail)
    assert "is missing" in by_path["idx/train_visible_1.txt"][0]
    assert len(by_path["idx/test_visible_3.txt"]) == 6
    assert len(by_path["idx/*_3.txt"]) == 6
    found = {count.quantity: count.found for count in report.counts}
    assert found["idx files with 60 and 60 lines (train, test)"] == 40 - 2
    assert found["splits into 6 training and 6 test identities"] == 10 - 1
    assert found["splits without contradiction"] == 10 - 3
    assert len(by_path["idx/*_2.txt"]) == 1
    assert not report.complete


def test_a_whole_folder_without_names_is_missing(regdb_twin: Path) -> None:
    for file in (regdb_twin / "idx").iterdir():
        file.unlink()
    for file in (regdb_twin / "Visible" / "7").iterdir():
        file.unlink()
    report = check_dataset(REGDB_TWIN, regdb_twin, workers=1)
    assert ("missing", "Visible/7", False) in outcome(report)
    assert not report.complete


def test_llcm_names_what_its_lists_tell(llcm_root: Path) -> None:
    (llcm_root / "nir/0005/0005_c04_s185535_f7010_nir.jpg").unlink()
    (llcm_root / "idx" / "test_vis.txt").write_text("test_vis/cam1/0003/0009.jpg 0\nother/0003.jpg 0\n")
    report = check_dataset(get_dataset("llcm"), llcm_root, workers=1)
    kinds = outcome(report)
    assert ("missing", "nir/0005/0005_c04_s185535_f7010_nir.jpg", False) in kinds
    assert ("missing", "test_vis/cam1/0003/0009.jpg", False) in kinds
    assert ("list", "idx/test_vis.txt", True) in kinds
    assert sum(kind == "surplus" and warning for kind, _, warning in kinds) == 8
    assert not report.complete


def test_unverified_numbers_only_warn() -> None:
    agrees, differs = Count("images", 2, 2), Count("images of a table", 3, 2, verified=False)
    warning = Problem("ignored", "a.png", "", warning=True)
    assert CheckReport("llcm", "", (agrees, differs), (warning,)).complete
    assert not CheckReport("llcm", "", (Count("images", 3, 2),), ()).complete
    assert not CheckReport("llcm", "", (agrees,), (Problem("missing", "a.jpg", ""),)).complete


def test_decoding_does_not_depend_on_workers(sysu_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vibench.datasets.check._CHUNK_IMAGES", 7)
    paths = [path.relative_to(sysu_root).as_posix() for path in sysu_root.rglob("*.jpg")]
    for path in paths[::9]:
        (sysu_root / path).write_bytes(b"x")
    advanced: list[int] = []

    @contextmanager
    def recorded(description: str, total: int) -> Iterator[Callable[[int], None]]:
        yield advanced.append

    samples = sysu_mm01.list_root(sysu_root).samples
    alone = image_problems(sysu_root, samples, workers=1, progress=recorded)
    assert sum(advanced) == len(paths)
    assert [problem.path for problem in alone] == sorted(paths[::9])
    assert image_problems(sysu_root, samples, workers=2) == alone


def test_reports_are_json(sysu_twin: Path) -> None:
    (sysu_twin / "cam1/0001/0002.jpg").unlink()
    report = json.loads(json.dumps(check_dataset(SYSU_TWIN, sysu_twin, workers=1).to_dict()))
    assert report["complete"] is False
    assert report["problems"][0] == {
        "kind": "missing",
        "path": "cam1/0001/0002.jpg",
        "detail": "no such file",
        "warning": False,
    }
    assert {"quantity": "queries", "expected": 8, "found": 8, "verified": True} in report["counts"]


def test_what_cannot_be_checked_is_refused(sysu_root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        check_dataset(SYSU_TWIN, tmp_path / "absent")
    with pytest.raises(UsageError, match=r"skeleton\.csv is missing"):
        check_dataset(SYSU_TWIN, sysu_root)
    with pytest.raises(UsageError, match="holds no image of regdb; check --root and --dataset"):
        check_dataset(get_dataset("regdb"), sysu_root)


def test_one_image_of_two_people_is_named(sysu_twin: Path) -> None:
    """6 is a test identity, 2 a training identity; the same image twice of one person is no fault."""
    (sysu_twin / "cam4/0006/0001.jpg").write_bytes((sysu_twin / "cam2/0002/0002.jpg").read_bytes())
    (sysu_twin / "cam1/0001/0002.jpg").write_bytes((sysu_twin / "cam1/0001/0001.jpg").read_bytes())
    report = check_dataset(SYSU_TWIN, sysu_twin, workers=1)
    (problem,) = report.problems
    assert (problem.kind, problem.path, problem.warning) == ("duplicate", "cam4/0006/0001.jpg", True)
    assert "cam2/0002/0002.jpg" in problem.detail and report.complete


def test_exchanged_modalities_are_named(sysu_twin: Path) -> None:
    (sysu_twin / "cam2").rename(sysu_twin / "cam")
    (sysu_twin / "cam3").rename(sysu_twin / "cam2")
    (sysu_twin / "cam").rename(sysu_twin / "cam3")
    report = check_dataset(SYSU_TWIN, sysu_twin, workers=1)
    (problem,) = report.problems
    assert problem.kind == "modality" and not report.complete
    assert "images of infrared camera 3 show colour" in problem.detail
    assert "0 of the 12 images of visible camera 2" in problem.detail
