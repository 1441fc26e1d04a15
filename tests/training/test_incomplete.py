"""Training on a copy that is not the whole data set: refused, or said by all that comes of it."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.datasets import mini
from tests.training import toy  # noqa: F401  (registers the method)
from tests.training.toy_runs import train_toy
from vibench.datasets import check_llcm
from vibench.datasets.check_sysu_mm01 import image_names
from vibench.datasets.index import COLUMNS
from vibench.datasets.registry import get_dataset
from vibench.datasets.sysu_mm01 import sysu_skeleton
from vibench.datasets.training_split import training_differences
from vibench.errors import UsageError, VibenchWarning
from vibench.leaderboard.board import build_boards
from vibench.methods.recipe import load_recipe
from vibench.records.record_json import from_json, to_json
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import score_models
from vibench.scoring.trained import models_of_checkpoint, models_of_run
from vibench.training.checkpoint import read_checkpoint, save_checkpoint
from vibench.training.folder import RunFolder
from vibench.training.prepare import prepare
from vibench.training.run import resume
from vibench.training.spec import TrainingSpec

ONE_EPOCH = ("schedule.epochs=1", "schedule.milestones=[]", "batches_per_epoch=2")
SYSU_TWIN, REGDB_TWIN, LLCM = map(get_dataset, ("sysu-mm01-twin", "regdb-twin", "llcm"))


@pytest.fixture
def twin(sysu_twin: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sysu_twin, tmp_path / "twin"))


@pytest.fixture
def regdb(regdb_twin: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(regdb_twin, tmp_path / "regdb"))


def training_path(root: Path, dataset: str = "sysu-mm01-twin", trial: int | None = None) -> str:
    index = get_dataset(dataset).index(root, trial)
    return str(index.loc[index["split"] == "train", "path"].iloc[0])


def spec(root: Path, folder: Path, dataset: str = "sysu-mm01-twin", **fields: object) -> TrainingSpec:
    given = {"pretrained": "none", "amp": "off", "allow_incomplete": False, **fields}
    return TrainingSpec(load_recipe("toy", "", dataset, ONE_EPOCH), root, folder=folder, **given)  # type: ignore[arg-type]


def differences(root: Path, trial: int | None = None) -> str:
    dataset = SYSU_TWIN if trial is None else REGDB_TWIN
    return training_differences(dataset, root, dataset.index(root, trial, missing_ok=True), trial)


def test_the_published_names_of_sysu_are_whole(tmp_path: Path) -> None:
    """Of the real data set's names, of which nothing else is known: no copy of it is here."""
    skeleton = sysu_skeleton()
    rows = [
        (name, int(name[5:9]), int(name[3]), "", split)
        for split in ("train", "val", "test")
        for name in sorted(image_names(skeleton[skeleton["split"] == split]))
    ]
    index = pd.DataFrame(rows, columns=list(COLUMNS))
    dataset = get_dataset("sysu-mm01")
    assert training_differences(dataset, tmp_path, index) == ""
    first = index.loc[index["split"] == "val", "path"].iloc[0]
    found = training_differences(dataset, tmp_path, index[index["path"] != first])
    assert found == f"lacks 1 of 34167 images ({first})"
    assert training_differences(dataset, tmp_path, index[index["split"] != "test"]) == ""


def test_what_a_sysu_copy_lacks_or_has_too_much(twin: Path) -> None:
    assert differences(twin) == ""
    path = training_path(twin)
    (twin / path).unlink()
    (twin / "cam6/0001").mkdir(exist_ok=True)
    index = SYSU_TWIN.index(twin)
    (test,) = index.loc[index["split"] == "test", "path"].head(1)
    (twin / test).unlink()
    whole = int(index["split"].isin(("train", "val")).sum()) + 1
    assert differences(twin) == f"lacks 1 of {whole} images ({path})"
    extra = str(Path(path).with_name("0099.jpg"))
    shutil.copy(twin / test.replace("0001.jpg", "0002.jpg"), twin / extra)
    assert differences(twin).endswith(f" and has 1 images that are not of it ({extra})")
    shutil.rmtree(twin / "cam6")
    assert differences(twin).startswith("lacks ") and "cam6/" not in path


def test_an_id_list_that_leaves_people_out_is_found(twin: Path) -> None:
    ids = (twin / "exp" / "train_id.txt").read_text().split(",")
    (twin / "exp" / "train_id.txt").write_text(",".join(ids[:-1]))
    assert re.fullmatch(r"lacks \d+ of \d+ images \(.*\)", differences(twin))


def test_what_a_regdb_copy_lacks(regdb: Path) -> None:
    assert differences(regdb, 3) == ""
    path = training_path(regdb, "regdb-twin", 3)
    (regdb / path).unlink()
    assert differences(regdb, 3) == f"lacks 1 of 160 images ({path})"
    file = regdb / "idx" / "train_thermal_3.txt"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[1:]))
    folder = lines[0].rpartition("/")[0]
    assert differences(regdb, 3) == f"lacks 2 of 160 images ({path}, 1 of {folder})"
    for name in ("visible", "thermal"):
        file = regdb / "idx" / f"train_{name}_4.txt"
        last = max(int(line.split()[1]) for line in file.read_text().splitlines())
        kept = [line for line in file.read_text().splitlines() if int(line.split()[1]) < last]
        file.write_text("\n".join(kept))
    assert differences(regdb, 4).endswith("has 7 identities in place of 8")


def test_what_an_llcm_copy_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = mini.write_llcm(tmp_path / "llcm")
    found = lambda: training_differences(LLCM, root, LLCM.index(root, missing_ok=True))  # noqa: E731
    assert found() == "has 2 identities in place of 713"
    monkeypatch.setattr(check_llcm, "TRAINING_IDENTITIES", 2)
    monkeypatch.setattr(check_llcm, "TRAINING_IMAGES", {"visible": 4, "infrared": 5})
    monkeypatch.setattr(check_llcm, "IMAGES", 24)
    assert found() == ""  # by themselves, the counts of a third party prove nothing
    monkeypatch.setattr(check_llcm, "IMAGES", 25)
    assert found() == "has 4 of 5 infrared images"
    path = "nir/0005/0005_c04_s185535_f7010_nir.jpg"
    (root / path).unlink()
    assert found() == f"lacks 1 of 8 images ({path})"
    with pytest.raises(UsageError, match="which does not exist"):
        LLCM.index(root)


@pytest.mark.parametrize("dataset", ["sysu-mm01-twin", "regdb-twin"])
def test_an_incomplete_copy_is_refused(dataset: str, twin: Path, regdb: Path, tmp_path: Path) -> None:
    root, trial = (twin, None) if dataset == "sysu-mm01-twin" else (regdb, 2)
    prepare(spec(root, tmp_path / "whole", dataset, trial=trial))
    path = training_path(root, dataset, trial)
    (root / path).unlink()
    said = (
        f"{root}: the training split of {dataset}{', trial 2' if trial else ''} lacks 1 of \\d+ images \\({path}\\); "
    )
    with pytest.raises(UsageError, match=f"{said}complete the copy .* or train on it as it is with --allow-incomplete"):
        prepare(spec(root, tmp_path / "run", dataset, trial=trial))
    assert not (tmp_path / "run").exists()
    run = prepare(spec(root, tmp_path / "run", dataset, trial=trial, allow_incomplete=True))
    assert run.description().incomplete.startswith("lacks 1 of ")
    assert run.description().id != RunFolder(tmp_path / "whole").description().id


def test_a_training_image_of_0_bytes_is_missing_and_named(twin: Path, tmp_path: Path) -> None:
    path = training_path(twin)
    run = prepare(spec(twin, tmp_path / "whole"))
    (twin / path).write_bytes(b"")
    empty = rf"1 of its image files has 0 bytes \({path}\)"
    with pytest.raises(UsageError, match=rf"lacks 1 of \d+ images \({path}\); {empty}; complete the copy"):
        prepare(spec(twin, tmp_path / "run"))
    with pytest.raises(
        UsageError, match=rf"now the training split lacks 1 .*then it was whole; {empty}; put that copy"
    ):
        resume(run, device="cpu")
    with pytest.warns(VibenchWarning, match=rf"1 image files are not used, 1 \({path}\): files of 0 bytes"):
        prepare(spec(twin, tmp_path / "run", allow_incomplete=True))


def test_the_real_counts_hold_for_real_data_sets(tmp_path: Path) -> None:
    for name, write, said in (
        ("sysu-mm01", mini.write_sysu, "lacks 34131 of 34167 images"),
        ("regdb", mini.write_regdb, "trial 1 has 6 identities in place of 206"),
        ("llcm", mini.write_llcm, "has 2 identities in place of 713"),
    ):
        with pytest.raises(UsageError, match=said):
            prepare(spec(write(tmp_path / name), tmp_path / "run", name, trial=1 if name == "regdb" else None))


@pytest.mark.parametrize("dataset", ["sysu-mm01-twin", "regdb-twin"])
def test_records_and_boards_of_an_incomplete_copy_say_so(dataset: str, twin: Path, regdb: Path, tmp_path: Path) -> None:
    root, trial, protocol = (twin, None, "sysu-all") if dataset == "sysu-mm01-twin" else (regdb, 1, "regdb-v2t")
    whole = train_toy(dataset, root, tmp_path / "whole", ONE_EPOCH, trial)
    (root / training_path(root, dataset, trial)).unlink()
    lacking = train_toy(dataset, root, tmp_path / "lacking", ONE_EPOCH, trial)
    rules = Rules(load_protocols([protocol]))
    checkpoint = RunFolder(lacking).checkpoint_path
    assert "incomplete" not in whole_entries(RunFolder(whole).checkpoint_path)
    (record,) = (scored.record for scored in score_models(models_of_run(lacking), rules, device="cpu"))
    (alone,) = (scored.record for scored in score_models(models_of_checkpoint(checkpoint, root), rules, device="cpu"))
    for one in (record, alone):
        assert not one.complete and one.run.incomplete.startswith("lacks 1 of ")
        assert any("trained on an incomplete copy: the training split" in note for note in one.notes)
    assert from_json(to_json(record)) == record
    if dataset == "sysu-mm01-twin":  # a whole copy is asked for the lists of RegDB
        (good,) = (scored.record for scored in score_models(models_of_run(whole), rules, device="cpu"))
        assert good.run.incomplete == ""
        (board,) = build_boards([record, good], ())
        rows = {row.run.id: row for section in board.sections for _, row in section.rows}
        assert rows[record.run.id].obstacles == ("incomplete",) and rows[good.run.id].obstacles == ()


def whole_entries(path: Path) -> set[str]:
    """The entries of a checkpoint file."""
    from vibench.files.torch_file import read_torch_file

    return set(read_torch_file(path))


def test_a_copy_that_has_changed_is_not_resumed_on(twin: Path, tmp_path: Path) -> None:
    run = prepare(spec(twin, tmp_path / "run"))
    path = training_path(twin)
    (twin / path).rename(tmp_path / "image.jpg")
    said = f"{twin}: its training images are not those that {run.path} was begun with: now the training split lacks 1 "
    with pytest.raises(UsageError, match=f"{said}.*, then it was whole; put that copy back"):
        resume(run, device="cpu")
    (tmp_path / "image.jpg").rename((twin / path).with_suffix(".JPG"))
    assert resume(run, device="cpu").finished()


def test_a_run_folder_of_an_earlier_vibench_goes_on(twin: Path, tmp_path: Path) -> None:
    """It does not say what it was begun on: what the copy lacks now is said, and carried by what comes of it."""
    run = prepare(spec(twin, tmp_path / "run"))
    content = json.loads(run.description_path.read_text())
    del content["incomplete"], content["training_names_sha256"]
    run.description_path.write_text(json.dumps(content))
    assert run.description().incomplete == ""
    (twin / training_path(twin)).unlink()
    with pytest.warns(VibenchWarning, match="lacks 1 of .*begun by an earlier vibench; its records will say it"):
        resume(run, device="cpu")
    assert read_checkpoint(run.checkpoint_path).incomplete.startswith("lacks 1 of ")


def test_checkpoints_of_whole_copies_keep_their_form(twin: Path, tmp_path: Path) -> None:
    run = RunFolder(train_toy("sysu-mm01-twin", twin, tmp_path / "run", ONE_EPOCH))
    checkpoint = read_checkpoint(run.checkpoint_path)
    assert checkpoint.incomplete == ""
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    assert (tmp_path / "a.pt").read_bytes() == run.checkpoint_path.read_bytes()
    save_checkpoint(tmp_path / "b.pt", dataclasses.replace(checkpoint, incomplete="lacks 1"))
    assert read_checkpoint(tmp_path / "b.pt").incomplete == "lacks 1"


def test_what_is_passed_over_is_said_once(twin: Path, tmp_path: Path) -> None:
    (twin / "cam7").mkdir()
    shutil.copy(twin / training_path(twin), twin / "cam7" / "0001.jpg")
    with pytest.warns(VibenchWarning, match=r"1 image files are not used, 1 \(cam7/0001\.jpg\): outside") as warned:
        prepare(spec(twin, tmp_path / "run"))
    assert len(warned) == 1
