"""Faults that fuzzing has found: one small case each, so that none comes back."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.datasets import mini
from tests.fuzz import nasties
from tests.fuzz.readers import toy_checkpoint
from vibench.data.cache import _place, open_cache, parse_size
from vibench.data.keypoints import read_coco
from vibench.datasets import llcm, regdb, sysu_mm01
from vibench.datasets.image_file import ImageFileError, image_size, read_rgb
from vibench.datasets.labelled import read_labelled_paths
from vibench.datasets.listing import leads_out, read_id_list
from vibench.datasets.registry import get_dataset
from vibench.errors import UsageError
from vibench.evaluation.features import read_features
from vibench.files.reading import parse_json, read_text
from vibench.files.shipped import protocols_folder
from vibench.files.toml import parse_toml, read_toml, require_tree
from vibench.files.torch_file import TorchFileError, is_plain, read_torch_file
from vibench.leaderboard.csv_schema import ANY, read_rows
from vibench.methods.plugin import find_plugin
from vibench.methods.pose.refinement import load_refinement
from vibench.methods.recipe import load_recipe, recipe_dict, recipe_from_dict
from vibench.protocols import load_protocol
from vibench.scoring.auxiliary import auxiliary_sizes
from vibench.training.checkpoint import load_method, save_checkpoint
from vibench.training.folder import RunFolder
from vibench.training.log import read_log
from vibench.training.official_file import read_official_file

DIGITS = "9" * 5000


def refused(read: Callable[[], object], *parts: str) -> None:
    with pytest.raises(UsageError) as error:
        read()
    assert all(part in str(error.value) for part in parts), str(error.value)


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    with (tmp_path / "huge").open("wb") as handle:
        handle.truncate(1 << 36)
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "endless", "huge", "folder", "absent", "zero\0byte"):
        with pytest.raises(OSError) as error:
            read_text(tmp_path / name)
        assert error.value.strerror
        refused(lambda name=name: read_toml(tmp_path / name), "cannot be read")
    (tmp_path / "text").write_bytes(b"a\r\nb\rc")
    assert read_text(tmp_path / "text") == "a\nb\nc"


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '"\\ud800"', "9" * 5000, "{"])
def test_json_that_is_no_value(text: str) -> None:
    with pytest.raises(ValueError):
        parse_json(text)
    assert parse_json('"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 5000, f"a = {DIGITS}", ".".join("a" * 9000) + " = 1", "a = " + "[" * 20 + "]" * 20]
)
def test_toml_that_python_cannot_read(text: str) -> None:
    with pytest.raises(ValueError):
        parse_toml(text)


def test_a_pickle_can_hold_lists_of_itself() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for value in (endless, nasties._laughs()):
        with pytest.raises(ValueError, match="too deeply"):
            require_tree(value)
    require_tree({"a": [1, (2, 3)]})


@pytest.mark.parametrize(
    "override",
    ["lr=inf", f"lr={DIGITS}", "epochs=0x" + "f" * 5000, "loss_weights.identity=0x" + "f" * 5000, "pad=[" * 3000],
)
def test_overrides_that_no_number_is(override: str) -> None:
    refused(lambda: load_recipe("baseline", overrides=[override]), "--set")


@pytest.mark.parametrize("section", [5, [[]], "text", None, {1: 2}])
@pytest.mark.parametrize("name", ["optimizer", "loss_weights", "model"])
def test_a_stored_recipe_of_other_things_than_tables(name: str, section: Any) -> None:
    refused(lambda: recipe_from_dict({**recipe_dict(load_recipe("baseline")), name: section}, "c.pt"), "c.pt")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "regdb-v2t"', 'name = "../up"'),
        ("trials = 10", "trials = 1000000000"),
        ("cameras = [1]", "cameras = [18446744073709551615]"),
    ],
)
def test_a_protocol_that_would_never_end(tmp_path: Path, old: str, new: str) -> None:
    text = (protocols_folder() / "regdb-v2t.toml").read_text()
    assert old in text
    (tmp_path / "own.toml").write_text(text.replace(old, new))
    refused(lambda: load_protocol(tmp_path / "own.toml"), "own.toml")


def test_numbers_too_long_for_an_identity(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text(f"1,{DIGITS}")
    refused(lambda: read_id_list(tmp_path / "ids.txt"), "ids.txt")
    (tmp_path / "idx.txt").write_text(f"Visible/1/a.bmp {DIGITS}")
    refused(lambda: read_labelled_paths(tmp_path / "idx.txt"), "idx.txt", "line 1")
    assert regdb.parse_name(f"Visible/{'9' * 20}/a.bmp") is None
    sample = llcm.parse_training_name(f"vis/0001/c{DIGITS}_a.jpg")
    assert sample is not None and sample.camera == 0
    for text in (f"{DIGITS}x1", "²x3", "1x"):
        refused(lambda text=text: parse_size(text))
    refused(lambda: auxiliary_sizes(f"1,{DIGITS}"), "--auxiliary")


def test_paths_that_lead_out() -> None:
    for name in ("../a", "/a", "a/../../b", "C:\\a", "C:a", "\\\\host\\a", "a\\..\\b", "a\0.bmp"):
        assert leads_out(name), name
    assert not leads_out("Visible/1/a..b.bmp")
    assert regdb.parse_name("Visible/1/a\0.bmp") is None and llcm.parse_name("vis/0001/a\n.jpg") is None


def test_ids_of_a_matlab_file_that_are_no_numbers(tmp_path: Path) -> None:
    from scipy.io import savemat

    mini.write_sysu(tmp_path)
    (tmp_path / "exp" / "train_id.txt").unlink()
    for odd in (np.nan, np.inf, 1e30, -1.0, 0.5):
        savemat(tmp_path / "exp" / "train_id.mat", {"id": np.array([[1.0, odd]])})
        refused(lambda: sysu_mm01.read_ids(tmp_path, "train"), "train_id.mat")


def test_a_skeleton_of_numbers_too_large(tmp_path: Path) -> None:
    for row in ("1,1,99999999999999999999999999,train", "1,1,2,sideways", "1,1,2"):
        (tmp_path / "skeleton.csv").write_text(f"camera,pid,images,split\n{row}\n")
        refused(lambda: sysu_mm01.read_skeleton(tmp_path / "skeleton.csv"), "skeleton.csv")


@pytest.mark.parametrize("seed", ["../../x", "1\\n", "[1]", "[" * 5000])
def test_a_twin_with_an_odd_version(tmp_path: Path, seed: str) -> None:
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "twin.json").write_text(f'{{"scale": "tiny", "renderer": 1, "seed": "{seed}"}}')
    refused(lambda: get_dataset("sysu-mm01-twin").version(tmp_path), "twin.json")


def test_a_sixteen_bit_image_is_not_white(tmp_path: Path) -> None:
    levels = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    assert np.array_equal(np.asarray(read_rgb(tmp_path / "a.png"))[..., 1], np.arange(256).reshape(16, 16))


def test_an_image_is_as_large_as_it_says_before_it_is_decoded(tmp_path: Path) -> None:
    for content in (nasties._png(60_000, 60_000), nasties._jpeg(65_500, 65_500), nasties._bmp(10**9, 10**9)):
        (tmp_path / "a.jpg").write_bytes(content)
        for read in (read_rgb, image_size):
            with pytest.raises(ImageFileError, match=r"a\.jpg is unreadable \(it declares more than [0-9]+ pixels"):
                read(tmp_path / "a.jpg")


def test_formats_that_start_programs_are_not_opened(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("RGB", (9, 9)).save(content, "EPS")
    (tmp_path / "a.jpg").write_bytes(content.getvalue())
    with pytest.raises(ImageFileError, match="none of JPEG, PNG, BMP"):
        read_rgb(tmp_path / "a.jpg")


def test_a_pipe_among_the_images(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(ImageFileError, match="unreadable"):
        read_rgb(tmp_path / "a.jpg")


def test_features_of_bytes_that_are_no_text(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", features=np.eye(1, dtype=np.float32), paths=np.array([b"\xff"]))
    refused(lambda: read_features(tmp_path / "f.npz"), "f.npz", "UTF-8")


def test_a_pipe_in_place_of_weights(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.pt")
    with pytest.raises(TorchFileError, match="no regular file"):
        read_torch_file(tmp_path / "a.pt")


def test_torch_archives_that_are_packed(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(nasties._torch_zip(b"\x80\x02}.", packed=True))
    with pytest.raises(TorchFileError, match="packed"):
        read_torch_file(tmp_path / "a.pt")


def test_code_in_a_torch_file_is_named_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for new in (True, False):
        torch.save(nasties.Code(), "a.pt", _use_new_zipfile_serialization=new)
        with pytest.raises(TorchFileError, match="mkdir, which could do anything"):
            read_torch_file(Path("a.pt"))
    assert not Path(nasties.TRAP).exists()


def test_tensors_without_memory_are_not_plain() -> None:
    assert is_plain(torch.zeros(3)) and is_plain(torch.zeros(4, 4)[:, 1])
    for odd in (torch.zeros(1).expand(10**9, 10**6), torch.zeros(2, device="meta"), torch.eye(2).to_sparse(), 1.0):
        assert not is_plain(odd)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_classes": 10**12, "train_pids": ()},
        {"num_classes": 0, "train_pids": ()},
        {"num_classes": True, "train_pids": ()},
        {"epoch": -1},
        {"seed": 10**400},
        {"seed": 10**5000},
        {"recipe": {"method": "toy", "variant": "", "dataset": "regdb", "model": [[]]}},
        {"recipe": {**recipe_dict(load_recipe("baseline")), "dataset": "regdb"}},
    ],
)
def test_a_checkpoint_that_asks_for_the_impossible(tmp_path: Path, changes: dict[str, Any]) -> None:
    save_checkpoint(tmp_path / "c.pt", toy_checkpoint())
    assert load_method(tmp_path / "c.pt").training is False
    save_checkpoint(tmp_path / "c.pt", dataclasses.replace(toy_checkpoint(), **changes))
    refused(lambda: load_method(tmp_path / "c.pt"), "c.pt")


def test_a_weight_that_is_larger_than_its_file(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.pt", toy_checkpoint())
    content = torch.load(tmp_path / "c.pt", weights_only=True)
    content["model"]["classifier.weight"] = torch.zeros(1).expand(10**9, 10**6)
    torch.save(content, tmp_path / "c.pt")
    refused(lambda: load_method(tmp_path / "c.pt"), "c.pt", "something else than named tensors")


def test_a_format_that_is_a_tensor(tmp_path: Path) -> None:
    torch.save({"format": torch.zeros(1).expand(10**9, 10**6)}, tmp_path / "c.pt")
    refused(lambda: load_method(tmp_path / "c.pt"), "not a vibench checkpoint")
    refused(lambda: read_official_file(tmp_path / "c.pt"), "c.pt")


def test_an_official_epoch_beyond_floats(tmp_path: Path) -> None:
    torch.save({"net": {"a": torch.zeros(1)}, "epoch": 10**400}, tmp_path / "o.t")
    assert read_official_file(tmp_path / "o.t").epoch is None


@pytest.mark.parametrize("content", [{"state_dict": 5}, {"state_dict": {1: 2}}, [1], {"a": "text"}])
def test_pose_weights_that_are_no_state(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "w.pth")
    refused(lambda: load_refinement(nn.Linear(1, 1), tmp_path / "w.pth"), "w.pth")


@pytest.mark.parametrize("row", [f"{'9' * 400},1.5", "-1,1.5", "0,", "1.0,2", "0,1,2"])
def test_a_log_that_vibench_did_not_write(tmp_path: Path, row: str) -> None:
    (tmp_path / "log.csv").write_text(f"epoch,total\n{row}\n")
    refused(lambda: read_log(tmp_path / "log.csv"), "log.csv")


@pytest.mark.parametrize(
    "text", ['{"epochs": ' + "[" * 9000, '{"epochs": 1e999}', '{"train_seconds": ' + "9" * 400 + "}"]
)
def test_a_timing_beyond_floats(tmp_path: Path, text: str) -> None:
    (tmp_path / "timing.json").write_text(text)
    refused(lambda: RunFolder(tmp_path).timing(), "timing.json")


@pytest.mark.parametrize("number", [10**400, 1e308, float("nan"), float("inf")])
def test_joints_beyond_float32(tmp_path: Path, number: float) -> None:
    mini.write_image(tmp_path / "a.jpg", 0)
    person = {"file_name": "a.jpg", "keypoints": [1, 2, 2]}
    for change in ({"keypoints": [1, number, 2]}, {"score": number}, {"area": number}):
        (tmp_path / "c.json").write_text(json.dumps([person, {**person, **change}]))
        if "keypoints" in change:
            (tmp_path / "c.json").write_text(json.dumps([{**person, **change}]))
            refused(lambda: read_coco(tmp_path / "c.json", tmp_path, ["a.jpg"]), "c.json", "finite")
        else:
            assert read_coco(tmp_path / "c.json", tmp_path, ["a.jpg"]).places.shape == (1, 1, 2)


@pytest.mark.parametrize("path", ["a" * 5000, "~nobody-has-this-name/x", "\ud800"])
def test_a_plugin_in_a_place_that_cannot_be(path: str) -> None:
    refused(lambda: find_plugin(path), "--plugin")


def test_a_table_with_letters_that_move_a_cursor(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("note\nfine\n\x1b[31m\n")
    refused(lambda: list(read_rows(tmp_path / "t.csv", {"note": ANY})), "t.csv", "line 3")


def test_a_cache_with_odd_files_is_built_anew(tmp_path: Path) -> None:
    root, dataset = mini.write_sysu(tmp_path / "data"), get_dataset("sysu-mm01")

    def opened() -> Any:
        return open_cache(dataset, root, 8, 4, folder=tmp_path, workers=1)

    right = np.array(opened().images)
    place = tmp_path / _place(dataset, root, 8, 4, "lanczos")
    marker, images = (place / "cache.json").read_text(), (place / "images.npy").read_bytes()
    crc = marker[marker.index('"crc32"') :]
    for name, content in (
        ("cache.json", marker.replace(crc, '"crc32": 5}').encode()),
        ("cache.json", b"[" * 5000),
        ("images.npy", nasties._npz(a=np.zeros(3))),
        ("images.npy", nasties._header("'|u1'", "(" * 3000)),
    ):
        (place / name).write_bytes(content)
        assert opened().origin.startswith("built: ") and np.array_equal(opened().images, right)
    # What an interrupted build left goes on only where its array lies as it should.
    fingerprint = opened().fingerprint
    for partial in (images.replace(b"False", b"True "), images[:-1], images + b"\0", b"PK"):
        (place / "cache.json").unlink()
        (place / "images.partial.npy").write_bytes(partial)
        (place / "chunks.partial").write_text(f"{fingerprint}\n{DIGITS} 1\n0 {int(crc.split('[')[1].split(']')[0])}\n")
        assert np.array_equal(opened().images, right)
