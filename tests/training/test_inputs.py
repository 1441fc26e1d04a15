"""Methods that train on attributes and heatmaps: where these come from, and that a run keeps to them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.training.test_run import interrupting_progress
from vibench.data.attributes import AttributeTable, read_attributes, write_attributes
from vibench.data.heatmaps import write_heatmaps
from vibench.data.training_inputs import Heatmaps
from vibench.datasets.index import training_rows
from vibench.datasets.registry import get_dataset
from vibench.errors import UsageError
from vibench.files.digests import sha256_file
from vibench.methods.recipe import load_recipe
from vibench.training.checkpoint import read_checkpoint
from vibench.training.folder import RunFolder
from vibench.training.interrupt import TrainingInterrupted
from vibench.training.log import read_log
from vibench.training.prepare import prepare
from vibench.training.run import resume, train
from vibench.training.spec import TrainingSpec

MakeSpec = Callable[..., TrainingSpec]
SHORT = ("batches_per_epoch=3",)


@pytest.fixture
def spec_of(tmp_path: Path, sysu_twin: Path) -> MakeSpec:
    """A specification of a run of ``toy-inputs``, on the twin of SYSU-MM01 unless another root is given."""

    def make(
        name: str = "run", *overrides: str, variant: str = "", dataset: str = "", **fields: object
    ) -> TrainingSpec:
        recipe = load_recipe("toy-inputs", variant, dataset or "sysu-mm01-twin", [*SHORT, *overrides])
        defaults = {"root": sysu_twin, "pretrained": "none", "folder": tmp_path / name}
        return TrainingSpec(recipe, **{**defaults, **fields})

    return make


@pytest.fixture
def copied_twin(tmp_path: Path, sysu_twin: Path) -> Path:
    return Path(shutil.copytree(sysu_twin, tmp_path / "copy"))


def table(pids: list[int], bits: str = "10101010") -> AttributeTable:
    codes = np.array([[int(bit) for bit in bits]] * len(pids), dtype=np.uint8)
    return AttributeTable(np.array(pids), np.zeros(len(pids), dtype=int), codes)


def test_a_twin_is_trained_on_as_it_is(spec_of: MakeSpec, sysu_twin: Path):
    run = train(spec_of(), device="cpu")
    assert run.finished()
    truth = sysu_twin / "truth"
    inputs = run.description().inputs
    assert {need: (file.path, file.sha256) for need, file in inputs.items()} == {
        "attributes": (str(truth / "attributes.csv"), sha256_file(truth / "attributes.csv")),
        "heatmaps": (str(truth / "keypoints.npz"), sha256_file(truth / "keypoints.npz")),
    }
    assert all(row["attributes"] > 0 and row["heatmaps"] > 0 for row in read_log(run.log_path))


def test_a_twin_of_regdb_and_seventeen_channels(spec_of: MakeSpec, regdb_twin: Path):
    spec = spec_of("run", "model.channels=17", dataset="regdb-twin", root=regdb_twin, trial=2)
    weights = read_checkpoint(train(spec, device="cpu").checkpoint_path).model
    assert weights["heatmaps.weight"].shape[0] == 17


@pytest.mark.parametrize("mode", ["none", "independent"])
def test_interruptions_leave_no_trace(spec_of: MakeSpec, mode: str):
    erase = f"augmentation.erase_heatmap={mode}"
    whole = train(spec_of("whole", erase), device="cpu")
    spec = spec_of("parts", erase)
    with pytest.raises(TrainingInterrupted, match="epoch 0, step 2"):
        train(spec, device="cpu", progress=interrupting_progress(1))
    run = RunFolder(spec.folder)
    for place in ("epoch 1, step 0", "epoch 1, step 2"):
        with pytest.raises(TrainingInterrupted, match=place):
            resume(run, device="cpu", progress=interrupting_progress(1))
    resume(run, device="cpu")
    assert run.checkpoint_path.read_bytes() == whole.checkpoint_path.read_bytes()


def test_labels_and_heatmaps_matter(spec_of: MakeSpec, sysu_twin: Path, tmp_path: Path):
    """Other files give other weights and other run ids; equal content in another place gives the same bytes."""
    index = training_rows(get_dataset("sysu-mm01-twin").index(sysu_twin))
    same, other = tmp_path / "same.csv", tmp_path / "other.csv"
    shutil.copy(sysu_twin / "truth" / "attributes.csv", same)
    write_attributes(other, table(index["pid"].unique().tolist()))
    heatmaps = tmp_path / "heatmaps.npz"
    maps = np.zeros((len(index), 1, 12, 8), dtype=np.uint8)
    write_heatmaps(heatmaps, Heatmaps(maps, np.ones(len(index), dtype=bool)), index["path"].tolist())
    plain, copied, relabelled, empty = (
        train(spec_of(str(number), **files), device="cpu")
        for number, files in enumerate([{}, {"attributes": same}, {"attributes": other}, {"heatmaps": heatmaps}])
    )
    assert plain.checkpoint_path.read_bytes() == copied.checkpoint_path.read_bytes()
    assert plain.description().id == copied.description().id
    assert len({run.checkpoint_path.read_bytes() for run in (plain, relabelled, empty)}) == 3
    assert len({run.description().id for run in (plain, relabelled, empty)}) == 3
    assert copied.description().inputs["attributes"].path == str(same)


def test_files_in_the_data_sets_folder_come_before_the_truth(spec_of: MakeSpec, copied_twin: Path):
    pids = read_attributes(copied_twin / "truth" / "attributes.csv").pids
    write_attributes(copied_twin / "attributes.csv", table(sorted(set(pids.tolist()))))
    run = train(spec_of(root=copied_twin), device="cpu")
    assert run.description().inputs["attributes"].path == str(copied_twin / "attributes.csv")


def test_a_variant_may_need_less_than_its_method(spec_of: MakeSpec, sysu_root: Path, tmp_path: Path):
    spec = spec_of(variant="images-only", dataset="sysu-mm01", root=sysu_root)
    run = train(spec, device="cpu")
    assert run.description().inputs == {}
    assert set(read_log(run.log_path)[0]) >= {"identity", "total"}
    file = tmp_path / "a.csv"
    write_attributes(file, table([1]))
    given = spec_of("other", variant="images-only", dataset="sysu-mm01", root=sysu_root, attributes=file)
    with pytest.raises(UsageError, match=r"--attributes .*a\.csv: the method, in this variant, does not train on"):
        prepare(given, device="cpu")


def test_what_is_missing_is_named_with_its_place_and_the_command_that_makes_it(
    spec_of: MakeSpec, sysu_root: Path, tmp_path: Path
):
    spec = spec_of(dataset="sysu-mm01", root=sysu_root)
    with pytest.raises(UsageError, match=r"attributes\.csv; make that file with 'vibench data attributes --dataset"):
        prepare(spec, device="cpu")
    file = tmp_path / "a.csv"
    write_attributes(file, table([1, 2]))
    spec = spec_of(dataset="sysu-mm01", root=sysu_root, attributes=file)
    with pytest.raises(UsageError, match=r"heatmaps\.npz; make that file with 'vibench data heatmaps --dataset"):
        prepare(spec, device="cpu")
    assert not spec.folder.exists()


@pytest.mark.parametrize(
    ("pids", "message"),
    [
        ([1, 777], "describes identity 777, which sysu-mm01 has no image of"),
        ([6, 10], "labels for none of the 36 training"),
    ],
)
def test_labels_of_other_people_are_refused(
    spec_of: MakeSpec, sysu_root: Path, tmp_path: Path, pids: list[int], message: str
):
    file = tmp_path / "a.csv"
    write_attributes(file, table(pids))
    needs = 'model.needs=["attributes"]'
    with pytest.raises(UsageError, match=message):
        train(spec_of("run", needs, dataset="sysu-mm01", root=sysu_root, attributes=file), device="cpu")


def test_heatmaps_of_another_size_or_without_a_joint_are_refused(spec_of: MakeSpec, sysu_twin: Path, tmp_path: Path):
    index = training_rows(get_dataset("sysu-mm01-twin").index(sysu_twin))
    file = tmp_path / "h.npz"
    for height, known, message in (
        (13, True, r"holds heatmaps of 13x8 cells, but images of 48x32 pixels need 12x8; make them with 'vibench data"),
        (12, False, "has a keypoint in none of the 332 training images"),
    ):
        maps = np.zeros((len(index), 1, height, 8), dtype=np.uint8)
        write_heatmaps(file, Heatmaps(maps, np.full(len(index), known)), index["path"].tolist())
        with pytest.raises(UsageError, match=message):
            train(spec_of(heatmaps=file), device="cpu")


def test_a_run_keeps_to_the_files_it_was_begun_with(spec_of: MakeSpec, copied_twin: Path, tmp_path: Path):
    spec = spec_of(root=copied_twin)
    with pytest.raises(TrainingInterrupted):
        train(spec, device="cpu", progress=interrupting_progress(1))
    run = RunFolder(spec.folder)
    labels = copied_twin / "truth" / "attributes.csv"
    text = labels.read_text()
    labels.write_text(text.replace(",1\n", ",0\n", 1))
    with pytest.raises(UsageError, match=r"attributes\.csv: has changed since the run was begun; put back the"):
        resume(run, device="cpu")
    labels.unlink()
    with pytest.raises(UsageError, match="the attributes that the run was begun with are gone"):
        resume(run, device="cpu")
    labels.write_text(text)
    # Files below the data set's folder move with it.
    moved = copied_twin.rename(tmp_path / "moved")
    assert resume(run, device="cpu", root=moved).finished()


def test_a_run_whose_needs_have_changed_is_not_gone_on_with(spec_of: MakeSpec):
    spec = spec_of()
    with pytest.raises(TrainingInterrupted):
        train(spec, device="cpu", progress=interrupting_progress(1))
    run = RunFolder(spec.folder)
    described = run.description_path.read_text()
    cut = described.index('"inputs"')
    run.description_path.write_text(described[:cut] + '"inputs": {}\n}\n')
    with pytest.raises(UsageError, match="with images alone, but toy-inputs trains on attributes and heatmaps now"):
        resume(run, device="cpu")
