"""Foreign features through the command line and ``vibench.evaluate``: the same scores, the right notes and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat
from typer.testing import CliRunner, Result

import vibench
from tests.scoring.foreign.dumps import Dump, sysu
from vibench.cli.main import app, main
from vibench.datasets.registry import get_dataset
from vibench.datasets.sysu_mm01 import sysu_skeleton
from vibench.datasets.testing import images_of_tests
from vibench.errors import UsageError
from vibench.evaluation.features import Features, read_features
from vibench.records.store import read_records
from vibench.scoring.foreign.fit import fit_to_test_split
from vibench.scoring.foreign.sysu_features import camera_files

INDOOR = ("--protocol", "sysu-indoor", "--device", "cpu")


@pytest.fixture(scope="module")
def dump() -> Dump:
    return sysu()


@pytest.fixture(scope="module")
def native(dump: Dump) -> Any:
    return vibench.evaluate(dump.features, "sysu-indoor")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object) -> Result:
        result = CliRunner().invoke(app, list(map(str, arguments)))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def record() -> dict[str, Any]:
    found = json.loads(Path("r.json").read_text())
    assert len(found) == 1
    return found[0]


def test_two_files_of_pytorch(run: Callable[..., Result], dump: Dump, native: Any) -> None:
    for name, side in (("q", dump.side(False)), ("g", dump.side(True))):
        paths = [f"/data/SYSU-MM01/{one}" for one in side.names.tolist()]
        torch.save({"feat": torch.from_numpy(side.values).half().float(), "img_paths": paths, "epoch": 3}, f"{name}.pt")
    output = run("eval", "--features", "q.pt", "--gallery", "g.pt", *INDOOR, "--json", "r.json").output
    found = record()
    assert found["mean"]["map"] == pytest.approx(native.mean["map"], abs=1e-3)
    assert found["complete"] and found["fingerprint"] == native.fingerprint
    assert "note: q.pt: left out what is not per image or not known: epoch (one value)" in output
    assert any(note.startswith("q.pt: left out") for note in found["notes"])


def test_more_images_than_the_test_split(run: Callable[..., Result], dump: Dump, native: Any) -> None:
    train = sysu_skeleton().query("split == 'train'").head(5)
    more = [f"cam{row.camera}/{row.pid:04d}/0001.jpg" for row in train.itertuples()]
    values = np.concatenate([np.zeros((5, 4), np.float32), dump.values])
    np.savez("all.npz", feats=values, names=np.array([*more, *dump.names]), labels=np.arange(99))
    output = run("eval", "--features", "all.npz", *INDOOR, "--json", "r.json").output
    found = record()
    assert found["mean"] == native.mean and found["complete"]
    assert "5 images of the features are not of the test split and were left out" in found["notes"]
    assert "note: 5 images of the features" in output and "zeros" not in output
    with pytest.raises(UsageError, match="none of the 5 images is of the test split"):
        vibench.evaluate(Features(values[:5] + 1, tuple(more)), "sysu-indoor")


def test_fewer_images_are_refused_by_name_or_unranked(run: Callable[..., Result], dump: Dump) -> None:
    missing = sorted(dump.names.tolist())[0]
    kept = dump.names != missing
    np.savez("less.npz", feats=dump.values[kept], names=dump.names[kept])
    with pytest.raises(UsageError, match=rf"1 of the 10578 test images .* missing \({missing}\).*--allow-incomplete"):
        run("eval", "--features", "less.npz", *INDOOR)
    run("eval", "--features", "less.npz", *INDOOR, "--allow-incomplete", "--json", "r.json")
    found = record()
    assert not found["complete"] and any(missing in note for note in found["notes"])
    run("leaderboard")
    (stored,), _ = read_records(Path("leaderboards"))
    assert not stored.complete
    board = Path("leaderboards/sysu-mm01/sysu-indoor-seeded.csv").read_text()
    (line,) = [line for line in board.splitlines() if ",less," in line]
    assert "incomplete" in line and line.startswith("not ranked,")
    assert not vibench.evaluate("less.npz", "sysu-indoor", allow_incomplete=True).complete


def test_rows_of_zeros_are_counted(dump: Dump) -> None:
    values = dump.values.copy()
    values[[3, 70]] = 0
    found = vibench.evaluate(Features(values, tuple(dump.names.tolist())), "sysu-indoor")
    assert "2 of 10578 rows of the features are zeros" in found.notes


def test_the_official_files_one_per_camera(run: Callable[..., Result], dump: Dump, native: Any, tmp_path: Path) -> None:
    order = np.argsort(dump.names)
    names, values = dump.names[order], dump.values[order]
    cameras, pids = dump.cameras[order], dump.pids[order]
    (tmp_path / "feat").mkdir()
    for camera in range(1, 7):
        cells = np.empty((1, 533), dtype=object)
        for pid in range(1, 534):
            rows = values[(cameras == camera) & (pids == pid)].astype(float)
            cells[0, pid - 1] = rows.T if camera == 2 else rows
        savemat(tmp_path / "feat" / f"deep_cam{camera}.mat", {"feature": cells}, do_compression=camera % 2 == 0)
    assert len(names) == 10578
    for source in ("feat", "feat/deep_cam3.mat"):
        run("eval", "--features", source, *INDOOR, "--json", "r.json")
        assert record()["mean"] == native.mean
    savemat(tmp_path / "feat" / "other_cam1.mat", {"feature": cells})
    with pytest.raises(UsageError, match=r"several sets of files.*\(deep_cam\*\.mat, other_cam\*\.mat\)"):
        camera_files(tmp_path / "feat")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no files of features such as NAME_cam1"):
        run("eval", "--features", "empty", *INDOOR)
    (tmp_path / "feat" / "deep_cam6.mat").unlink()
    with pytest.raises(UsageError, match="1920 of the 10578 test images of sysu-mm01 are missing"):
        run("eval", "--features", "feat/deep_cam3.mat", *INDOOR)


def test_names_of_any_machine_in_memory(dump: Dump, native: Any) -> None:
    dataset, names = get_dataset("sysu-mm01"), dump.names.tolist()
    for form in ("D:\\sysu\\{}", "./{}", "/a/b/{}", " {}"):
        odd = tuple(form.format(name.replace("/", "\\") if "\\" in form else name) for name in names)
        assert fit_to_test_split(Features(dump.values, odd), dataset)[0].paths == tuple(names)
    bare = tuple(name.removesuffix(".jpg") for name in names)
    assert vibench.evaluate(Features(dump.values, bare), "sysu-indoor").mean == native.mean


def test_training_images_of_llcm_are_left_out_and_foreign_names_are_not() -> None:
    dataset = get_dataset("llcm")
    names = ("/x/test_vis/cam1/0003/a.jpg", "nir/0001/0001_c01_s185535_f7010_nir.jpg", "test_nir/cam2/0003/b.jpg")
    features, notes = fit_to_test_split(Features(np.eye(3, dtype=np.float32), names), dataset)
    assert features.paths == ("test_vis/cam1/0003/a.jpg", "test_nir/cam2/0003/b.jpg")
    assert features.features.tolist() == [[1, 0, 0], [0, 0, 1]] and len(notes) == 1
    odd = Features(np.eye(2, dtype=np.float32), ("query/1.jpg", names[0]))
    features, notes = fit_to_test_split(odd, dataset)
    assert features.paths == ("query/1.jpg", names[0].removeprefix("/x/")) and not notes


def test_a_copy_tells_the_test_split(regdb_twin: Path) -> None:
    dataset = get_dataset("regdb-twin")
    index = dataset.index(regdb_twin, 2)
    features = Features(np.eye(len(index), dtype=np.float32), tuple(index["path"]))
    found, notes = fit_to_test_split(features, dataset, 2, regdb_twin)
    assert found.paths == tuple(index.query("split == 'test'")["path"])
    assert notes == [
        f"{len(index) - len(found.paths)} images of the features are not of the test split and were left out"
    ]
    assert len(found.features) == len(found.paths)


def test_a_copy_tells_which_test_images_are_missing(run: Callable[..., Result], regdb_twin: Path) -> None:
    index = get_dataset("regdb-twin").index(regdb_twin, 1)
    names = index.loc[index["split"] == "test", "path"].to_numpy(dtype=str)
    values = np.random.default_rng(0).standard_normal((len(names), 4)).astype(np.float32)
    np.savez("less.npz", feat=values[3:], paths=names[3:])
    options = ("--features", "less.npz", "--dataset", "regdb-twin", "--root", regdb_twin, "--protocol", "regdb-v2t")
    with pytest.raises(
        UsageError, match=rf"3 of the {len(names)} test images of .* are missing \(.*--allow-incomplete"
    ):
        run("eval", *options)
    run("eval", *options, "--allow-incomplete", "--json", "r.json")
    assert not record()["complete"] and any("3 of the" in note for note in record()["notes"])
    output = run("doctor", *options[1:6]).output
    assert "wrong: test images are missing" in output and "nothing looks wrong" not in output


def test_the_lines_of_a_recipe_stand_below_the_sentence(
    dump: Dump, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "x.npz", x=dump.values[:5], epoch=3)
    with pytest.raises(SystemExit) as ended:
        main(["eval", "--features", str(tmp_path / "x.npz"), "--protocol", "sysu-all"])
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and len(lines) == 4
    assert "It holds x (5 x 4 float32), epoch (one value)" in lines[0]
    assert lines[1].strip() == "import numpy as np" and lines[3].strip().startswith("np.savez('features.npz'")


def test_without_names_no_label_helps_where_images_are_drawn_by_name(
    run: Callable[..., Result], dump: Dump, tmp_path: Path
) -> None:
    query, gallery = dump.side(False), dump.side(True)
    sides = {"qf": query.values, "gf": gallery.values, "q_pids": query.pids, "g_pids": gallery.pids}
    labels = {"features": dump.values, "pids": dump.pids, "cameras": dump.cameras}
    own = labels | {"modalities": np.where(dump.visible, "visible", "infrared")}
    cases: tuple[dict[str, Any], ...] = (sides, labels, labels | {"cameras": dump.cameras - 1}, own)
    for arrays in cases:
        np.savez("f.npz", **arrays)
        how = "in it as query_paths and gallery_paths" if arrays is sides else "with --names FILE"
        said = rf"f\.npz: names none of its images, and protocol sysu-indoor draws them by name; give the names {how}"
        with pytest.raises(UsageError, match=said):
            run("eval", "--features", "f.npz", *INDOOR)
    Path("names.txt").write_text("\n".join(dump.names))
    np.savez("f.npz", **labels)
    assert run("eval", "--features", "f.npz", "--names", "names.txt", *INDOOR).exit_code == 0
    np.savez("f.npz", **sides)
    with pytest.raises(UsageError, match=r"holds two sides, .*; put the names into it, as query_paths and g"):
        run("eval", "--features", "f.npz", "--names", "names.txt", *INDOOR)
    np.savez("f.npz", **sides, query_paths=query.names, gallery_paths=gallery.names)
    assert run("eval", "--features", "f.npz", *INDOOR).exit_code == 0


def test_two_files_of_arrays_and_two_of_names(run: Callable[..., Result], dump: Dump, native: Any) -> None:
    for name, side in (("q", dump.side(False)), ("g", dump.side(True))):
        np.save(f"{name}.npy", side.values)
        Path(f"{name}.txt").write_text("\n".join(side.names))
    files = ("--features", "q.npy", "--gallery", "g.npy", "--names", "q.txt", "--names", "g.txt")
    run("eval", *files, *INDOOR, "--json", "r.json")
    assert record()["mean"]["map"] == pytest.approx(native.mean["map"], abs=1e-3)
    with pytest.raises(UsageError, match="--names: give one per --features and then one per --gallery, 2, not 1"):
        run("eval", *files[:-2], *INDOOR)


def test_two_files_of_one_split(run: Callable[..., Result], dump: Dump) -> None:
    for name, side in (("q.npz", dump.side(False)), ("g.npz", dump.side(True))):
        np.savez(name, features=side.values, paths=side.names)
    with pytest.raises(UsageError, match=r"2 files were given, but SYSU-MM01 has one train/test split; .* --gallery"):
        run("eval", "--features", "q.npz", "--features", "g.npz", *INDOOR)


def test_options_that_do_not_fit(run: Callable[..., Result], dump: Dump) -> None:
    np.savez("a.npz", feats=dump.values, names=dump.names)
    for arguments, sentence in (
        (("run", "--gallery", "g.pt"), "--gallery and --names: belong to --features"),
        (("--features", "a.npz", "--gallery", "g.pt", "--gallery", "h.pt"), "--gallery: give one per --features, 1"),
        (("--features", "a.npz", "--names", "g.txt", "--names", "h.txt"), "--names: give one per --features"),
        (("--features", "a.npz", "--gallery", "absent.pt"), r"absent\.pt: there is no such file"),
    ):
        with pytest.raises(UsageError, match=sentence):
            run("eval", *arguments, *INDOOR)


def test_vibenchs_own_files_are_read_as_before(dump: Dump, tmp_path: Path, native: Any) -> None:
    np.savez(tmp_path / "f.npz", features=dump.values, paths=dump.names)
    found = vibench.evaluate(tmp_path / "f.npz", "sysu-indoor")
    assert found.mean == native.mean and found.notes == native.notes
    assert read_features(tmp_path / "f.npz").paths == tuple(dump.names.tolist())


def test_from_python_names_lie_in_a_file_of_their_own(dump: Dump, tmp_path: Path, native: Any) -> None:
    np.savez(tmp_path / "f.npz", features=dump.values)
    (tmp_path / "names.txt").write_text("\n".join(dump.names.tolist()) + "\n")
    found = vibench.evaluate(tmp_path / "f.npz", "sysu-indoor", names=tmp_path / "names.txt")
    assert found.mean == native.mean


def test_from_python_the_copy_of_the_data_is_named(sysu_twin: Path, tmp_path: Path) -> None:
    names = np.array(images_of_tests(get_dataset("sysu-mm01-twin"), sysu_twin)[1]["path"])
    np.savez(tmp_path / "f.npz", features=np.eye(len(names), dtype=np.float32), paths=names)
    found = vibench.evaluate(tmp_path / "f.npz", "sysu-indoor", dataset="sysu-mm01-twin", root=sysu_twin)
    assert found.dataset_version.startswith("tiny-")
    with pytest.raises(UsageError, match=r"--root .*elsewhere: there is no such folder"):
        vibench.evaluate(tmp_path / "f.npz", "sysu-indoor", dataset="sysu-mm01-twin", root=tmp_path / "elsewhere")
