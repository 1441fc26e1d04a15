"""Evaluating a run on a copy that lacks test images: refused before the work, in words of the copy, or said."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.datasets import mini
from tests.training.toy_runs import train_toy
from vibench.data.attributes import EVERY_CAMERA, AttributeTable, write_attributes
from vibench.datasets import check_llcm, testing
from vibench.datasets.attribute_names import ATTRIBUTES
from vibench.datasets.check_sysu_mm01 import image_names
from vibench.datasets.index import COLUMNS
from vibench.datasets.registry import get_dataset
from vibench.datasets.sysu_mm01 import sysu_skeleton
from vibench.datasets.testing import test_differences as differences
from vibench.errors import UsageError
from vibench.files.shipped import protocols_folder
from vibench.records.schema import Record
from vibench.scoring import provenance
from vibench.scoring.attributes import GivenAttributes
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import score_attributes, score_models
from vibench.scoring.trained import TrainedModel, models_of_run

ONE_EPOCH = ("schedule.epochs=1", "schedule.milestones=[]", "batches_per_epoch=1", "identities=4", "sampler.images=2")
PROTOCOLS = {"sysu-mm01-twin": "sysu-all", "regdb-twin": "regdb-v2t"}


@pytest.fixture(scope="module", params=list(PROTOCOLS))
def run(request: pytest.FixtureRequest, sysu_twin: Path, regdb_twin: Path, tmp_path_factory: pytest.TempPathFactory):
    """Data set, a whole copy of it, and a run that was trained on that."""
    name = str(request.param)
    root, trial = (sysu_twin, None) if name == "sysu-mm01-twin" else (regdb_twin, 2)
    return name, root, train_toy(name, root, tmp_path_factory.mktemp("run") / name, ONE_EPOCH, trial)


@pytest.fixture
def copy(run: tuple[str, Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(run[1], tmp_path / "copy"))


def paths_of_test(name: str, root: Path) -> list[str]:
    index = get_dataset(name).index(root, 2 if name == "regdb-twin" else None)
    return [str(path) for path in index.loc[index["split"] == "test", "path"]]


def evaluated(folder: Path, copy: Path, protocol: str, **rules: object) -> Record:
    models = models_of_run(folder, root=copy)
    (scored,) = score_models(models, Rules(load_protocols([protocol]), **rules), device="cpu", amp="off")  # type: ignore[arg-type]
    return scored.record


@pytest.mark.parametrize("empty", [False, True])
def test_a_copy_that_lacks_test_images(
    run: tuple[str, Path, Path], copy: Path, empty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, folder = run
    first, second = sorted(paths_of_test(name, copy))[:2]
    (copy / first).unlink()
    (copy / second).unlink()
    if empty:
        (copy / first).touch()
    images = len(paths_of_test(name, run[1]))
    trial = ", trial 2" if name == "regdb-twin" else ""
    bytes_ = f"; 1 of its image files has 0 bytes ({first})" if empty else ""
    said = f"{copy}: the test split of {name}{trial} lacks 2 of {images} images ({first}, {second}){bytes_}; "
    remedy = "complete the copy (vibench data check names every file), or evaluate what is there, unranked, with "
    with monkeypatch.context() as patch:
        patch.setattr(TrainedModel, "extract", lambda *_, **__: pytest.fail("the work has begun"))
        with pytest.raises(UsageError) as caught:
            evaluated(folder, copy, PROTOCOLS[name])
    assert str(caught.value) == f"{said}{remedy}--allow-incomplete."
    record = evaluated(folder, copy, PROTOCOLS[name], allow_incomplete=True)
    assert not record.complete
    of = " of trial 2" if trial else ""
    assert (
        f"tested on an incomplete copy: the test split{of} lacks 2 of {images} images ({first}, {second})"
        in record.notes
    )


def uncounted(protocol: str, folder: Path) -> str:
    """A protocol of one's own, of which nobody knows how many images there should be."""
    text = (protocols_folder() / f"{protocol}.toml").read_text(encoding="utf-8").partition("[expected]")[0]
    path = folder / "own.toml"
    path.write_text(text.replace(f'name = "{protocol}"', 'name = "own"'), encoding="utf-8")
    return str(path)


def test_a_record_is_incomplete_whatever_its_protocol_counts(
    run: tuple[str, Path, Path], copy: Path, tmp_path: Path
) -> None:
    name, root, folder = run
    own = uncounted(PROTOCOLS[name], tmp_path)
    assert evaluated(folder, root, own).complete
    (copy / paths_of_test(name, copy)[0]).unlink()
    assert not evaluated(folder, copy, own, allow_incomplete=True).complete


def test_a_whole_copy_says_nothing(run: tuple[str, Path, Path]) -> None:
    name, root, folder = run
    record = evaluated(folder, root, PROTOCOLS[name])
    assert not any("incomplete" in note for note in record.notes)
    assert evaluated(folder, root, PROTOCOLS[name], allow_incomplete=True).id == record.id


def test_real_data_sets() -> None:
    skeleton = sysu_skeleton()
    rows = [
        (name, int(name[5:9]), int(name[3]), "", split)
        for split in ("train", "test")
        for name in sorted(image_names(skeleton[skeleton["split"] == split]))
    ]
    index, dataset = pd.DataFrame(rows, columns=list(COLUMNS)), get_dataset("sysu-mm01")
    assert differences(dataset, Path("nowhere"), index) == ""
    test = index.loc[index["split"] == "test", "path"].tolist()
    said = f"lacks 2 of 10578 images ({test[0]}, {test[1]})"
    assert differences(dataset, Path("nowhere"), index[~index["path"].isin(test[:2])]) == said


def test_llcm_counts_where_no_list_names_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, dataset = mini.write_llcm(tmp_path / "llcm"), get_dataset("llcm")
    monkeypatch.setattr(check_llcm, "TRAINING_IDENTITIES", 2)
    monkeypatch.setattr(check_llcm, "TRAINING_IMAGES", {"visible": 4, "infrared": 4})
    used = int((dataset.index(root)["split"] != "unused").sum())
    monkeypatch.setattr(check_llcm, "IMAGES", used)
    monkeypatch.setattr(testing, "LLCM_IMAGES", used)
    found = lambda: differences(dataset, root, dataset.index(root, missing_ok=True))  # noqa: E731
    assert found() == ""
    test = dataset.index(root).query("split == 'test'")["path"].tolist()
    (root / test[0]).unlink()
    assert found() == f"has {len(test) - 1} of {len(test)} images"


def test_labels_alone_speak_of_the_copy_too(tmp_path: Path) -> None:
    """Of the real data set by its names: an index that lacks one, and no image on disk."""
    dataset = get_dataset("sysu-mm01")
    index = testing.images_of_tests(dataset, tmp_path / "none")[1].iloc[1:]
    given = GivenAttributes("gt", attributes_of(index, tmp_path))
    rules = Rules(load_protocols(["sysu-all"]), given=given, allow_incomplete_by="the key")
    with pytest.raises(UsageError, match=r"1 of the 10578 test images .* complete the copy .*unranked, with the key\."):
        score_attributes(dataset, tmp_path / "none", {1: index}, rules, device="cpu")


def attributes_of(index: pd.DataFrame, folder: Path) -> Path:
    pids = np.unique(index["pid"].to_numpy(np.int64))
    bits = np.zeros((len(pids), len(ATTRIBUTES)), dtype=np.uint8)
    write_attributes(folder / "attributes.csv", AttributeTable(pids, np.full(len(pids), EVERY_CAMERA), bits))
    return folder / "attributes.csv"


def test_splits_are_numbered_where_there_are_several() -> None:
    models: list[Any] = [
        SimpleNamespace(checkpoint=SimpleNamespace(trial=trial, incomplete=lacks))
        for trial, lacks in ((1, "lacks a"), (2, ""), (3, "lacks c"))
    ]
    assert provenance._incomplete(models) == "trial 1 lacks a; trial 3 lacks c"
    assert provenance._incomplete(models[:1]) == "lacks a" and provenance._incomplete(models[1:2]) == ""
