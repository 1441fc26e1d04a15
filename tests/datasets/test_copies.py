"""Copies as people really have them: other spellings are read, what is not used is named, and messages lead on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.datasets import mini
from vibench.data.cache import open_cache
from vibench.data.heatmap_sources import Detector, HeatmapForm, source_heatmaps
from vibench.datasets import llcm, regdb, sysu_mm01
from vibench.datasets.check import check_dataset
from vibench.datasets.listing import own_name, read_id_list, read_lines
from vibench.datasets.passed_over import empty_note, passed_over_note
from vibench.datasets.registry import get_dataset
from vibench.errors import UsageError

ROOTS = {"sysu-mm01": mini.write_sysu, "regdb": mini.write_regdb, "llcm": mini.write_llcm}


def renamed(root: Path, rename: Callable[[str], str]) -> None:
    """Move every image below ``root`` to the relative path that ``rename`` gives."""
    for path in [path for path in root.rglob("*") if path.suffix in (".jpg", ".bmp")]:
        target = root / rename(path.relative_to(root).as_posix())
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)


def unpadded(path: str) -> str:
    *folders, name = path.split("/")
    stem, _, suffix = name.partition(".")
    folders = [folder.lstrip("0") for folder in folders]
    # Of SYSU-MM01 alone an image's name is a number.
    return "/".join([*folders, f"{stem.lstrip('0') if path.startswith('cam') else stem}.{suffix}"])


@pytest.mark.filterwarnings("ignore:.*show colour")  # the random pixels of a mini LLCM
@pytest.mark.parametrize("name", list(ROOTS))
@pytest.mark.parametrize(
    "rename",
    [
        lambda path: f"{path.rpartition('/')[0].upper()}/{path.rpartition('/')[2]}",
        lambda path: path.rpartition(".")[0] + ".PNG",
        lambda path: path.rpartition(".")[0] + ".jpeg",
        lambda path: path.rpartition(".")[0] + ".Bmp",
        unpadded,
        lambda path: unpadded(path).title().rpartition(".")[0].lower() + ".JPG",
    ],
)
def test_another_spelling_is_the_same_data_set(name: str, rename: Callable[[str], str], tmp_path: Path) -> None:
    """The index, the pixels and so everything that follows are those of the copy with the data set's own names."""
    dataset, trial = get_dataset(name), 1 if name == "regdb" else None
    root = ROOTS[name](tmp_path / name)
    before = dataset.index(root, trial)
    pixels = np.array(open_cache(dataset, root, 8, 4, folder=tmp_path / "a", workers=1).images)
    files = {path: (root / path).read_bytes() for path in before["path"]}
    renamed(root, rename)
    assert dataset.index(root, trial).equals(before)
    assert (open_cache(dataset, root, 8, 4, folder=tmp_path / "b", workers=1).images == pixels).all()
    places = dataset.files(root)
    assert {path: (root / places.get(path, path)).read_bytes() for path in files} == files
    kinds = {problem.kind for problem in check_dataset(dataset, root, workers=1).problems}
    assert kinds.isdisjoint({"ignored", "unreadable", "truncated", "ambiguous"})
    missing = [p.path for p in check_dataset(dataset, root, workers=1).problems if p.kind == "missing"]
    assert not set(missing) & set(before["path"])


@pytest.mark.parametrize("name", list(ROOTS))
def test_two_files_of_one_image_are_both_named(name: str, tmp_path: Path) -> None:
    dataset, root = get_dataset(name), ROOTS[name](tmp_path / name)
    image = Path(dataset.index(root)["path"].iloc[0])
    other = image.with_suffix(".png")
    shutil.copy(root / image, root / other)
    with pytest.raises(UsageError, match=f"{image} and {other} are both the image {image}; keep the right one"):
        dataset.index(root)
    with pytest.raises(UsageError, match="are both the image"):
        open_cache(dataset, root, 8, 4, folder=tmp_path / "cache", workers=1)
    report = check_dataset(dataset, root, workers=1)
    (problem,) = [problem for problem in report.problems if problem.kind == "ambiguous"]
    assert problem.path == str(image) and f"{image} and {other}" in problem.detail and not report.complete


@pytest.mark.parametrize("name", list(ROOTS))
@pytest.mark.parametrize("inside", ["{name}", "archive/{name}", "{name}/{name}"])
def test_a_root_around_the_data_set_names_the_right_one(name: str, inside: str, tmp_path: Path) -> None:
    dataset = get_dataset(name)
    right = tmp_path / "got" / inside.format(name="UNPACKED")
    right.parent.mkdir(parents=True)
    ROOTS[name](right)
    (tmp_path / "got" / "__MACOSX" / dataset.image_folders[0]).mkdir(parents=True)
    for refused in (
        lambda: dataset.index(tmp_path / "got"),
        lambda: check_dataset(dataset, tmp_path / "got"),
        lambda: dataset.index(right / dataset.image_folders[0]),
    ):
        with pytest.raises(UsageError, match=f"does not hold .* itself, but {right} does; pass --root {right}"):
            refused()
    dataset.index(right)


def test_what_is_not_used_is_counted_and_named(sysu_root: Path) -> None:
    before = sysu_mm01.index(sysu_root)
    dataset = get_dataset("sysu-mm01")
    assert passed_over_note(dataset, sysu_root, dataset.list_root(sysu_root)) == ""
    junk = ("cam7/0001/0001.jpg", "cam1/0001/._0001.jpg", "cam1/.DS_Store", "cam2/0001/Thumbs.db", "cam1/0001/0009.gif")
    more = ("cam1/0001/small/0001.jpg", "__MACOSX/cam1/0001/._0001.jpg", "train_rgb_resized_img.npy", "exp/plot.png")
    for path in (*junk, *more):
        (sysu_root / path).parent.mkdir(parents=True, exist_ok=True)
        (sysu_root / path).write_bytes(b"x")
    (sysu_root / "cam3/0001/0003.jpg").symlink_to(sysu_root / "gone.jpg")
    assert sysu_mm01.index(sysu_root).equals(before)
    note = passed_over_note(dataset, sysu_root, dataset.list_root(sysu_root))
    assert note.startswith(f"{sysu_root}: 6 image files are not used, ")
    assert "2 (cam1/0001/._0001.jpg, __MACOSX/cam1/0001/._0001.jpg): hidden files" in note
    assert "1 (cam7/0001/0001.jpg): outside the folders of images, cam1, cam2" in note
    assert "1 (cam3/0001/0003.jpg): the link leads to no file" in note
    assert "1 (cam1/0001/0009.gif): images are read from jpg, png and bmp files" in note
    assert "1 (cam1/0001/small/0001.jpg): its name is not that of an image of this data set, such as cam3/0006/" in note
    problems = check_dataset(dataset, sysu_root, workers=1).problems
    ignored = {problem.path for problem in problems if problem.kind == "ignored" and problem.warning}
    assert ignored == {*junk, *more[:2], "cam3/0001/0003.jpg"}


@pytest.mark.filterwarnings("ignore:.*show colour")  # the random pixels of a mini LLCM
@pytest.mark.parametrize("name", list(ROOTS))
def test_a_file_of_0_bytes_is_no_image(name: str, tmp_path: Path) -> None:
    """By the names alone, as training and evaluation look at a copy, and by the check that decodes."""
    dataset, trial = get_dataset(name), 1 if name == "regdb" else None
    root = ROOTS[name](tmp_path / name)
    before = dataset.index(root, trial)
    missing = [
        problem.path for problem in check_dataset(dataset, root, workers=1).problems if problem.kind == "missing"
    ]
    gone, *_, spelled, beside = before.loc[before["split"] == before["split"].iloc[0], "path"]
    (root / gone).write_bytes(b"")
    (root / spelled).unlink()
    (root / spelled).with_suffix(".PNG").touch()
    (root / beside).with_suffix(".jpeg").touch()
    files = sorted([gone, Path(spelled).with_suffix(".PNG").as_posix()])
    listing = dataset.list_root(root)
    assert listing.empty == dict(zip(sorted([gone, spelled]), files, strict=True)) and not listing.doubles
    index = dataset.index(root, trial, missing_ok=True)
    assert set(before["path"]) - set(index["path"]) == {gone, spelled}
    assert f"3 image files are not used, 2 ({files[0]}, {files[1]}): files of 0 bytes" in passed_over_note(
        dataset, root, listing
    ).replace("3 (", "2 (").replace(", ...)", ")")
    assert empty_note(listing) == f"2 of its image files have 0 bytes ({files[0]}, {files[1]})"
    report = check_dataset(dataset, root, workers=1)
    assert [(one.path, one.detail) for one in report.problems if one.kind == "truncated"] == [
        (file, "0 bytes") for file in files
    ]
    assert [one.path for one in report.problems if one.kind == "missing"] == missing and not report.complete


def test_links_to_folders_and_images_are_followed(sysu_root: Path, tmp_path: Path) -> None:
    before = sysu_mm01.index(sysu_root)
    (sysu_root / "cam4").rename(tmp_path / "elsewhere")
    (sysu_root / "cam4").symlink_to(tmp_path / "elsewhere")
    (sysu_root / "cam5/0001/0001.jpg").rename(tmp_path / "image.jpg")
    (sysu_root / "cam5/0001/0001.jpg").symlink_to(tmp_path / "image.jpg")
    assert sysu_mm01.index(sysu_root).equals(before)


@pytest.mark.parametrize("text", ["1, 2\n", "1 2", "1\n2\n", "1,\n2,\n", "1\t2\r\n", "\ufeff1;2", "1,2,"])
def test_id_lists_of_every_form(tmp_path: Path, text: str) -> None:
    (tmp_path / "ids.txt").write_text(text, encoding="utf-8", newline="")
    assert read_id_list(tmp_path / "ids.txt") == (1, 2)
    (tmp_path / "ids.txt").write_text(text.removeprefix("\ufeff"), encoding="utf-16", newline="")
    assert read_id_list(tmp_path / "ids.txt") == (1, 2)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_bytes(b"1,2\xff\xfe")
    with pytest.raises(UsageError, match="is no text file"):
        read_lines(tmp_path / "ids.txt", "a list")


def test_lists_in_another_case_are_found(sysu_root: Path, regdb_root: Path) -> None:
    before = sysu_mm01.index(sysu_root), regdb.index(regdb_root, 1)
    (sysu_root / "exp").rename(sysu_root / "EXP")
    (sysu_root / "EXP" / "val_id.txt").rename(sysu_root / "EXP" / "Val_ID.TXT")
    (regdb_root / "idx").rename(regdb_root / "Idx")
    assert sysu_mm01.index(sysu_root).equals(before[0]) and regdb.index(regdb_root, 1).equals(before[1])
    if os.path.lexists(sysu_root / "exp"):
        pytest.skip("this file system does not tell cases apart")
    (sysu_root / "Exp").mkdir()
    with pytest.raises(UsageError, match="are both exp; keep the right one"):
        sysu_mm01.index(sysu_root)


FORMS: dict[str, Callable[[str, str], str]] = {
    "crlf": lambda path, label: f"{path} {label}\r\n",
    "tab": lambda path, label: f"{path}\t{label}\n",
    "blanks": lambda path, label: f"  {path}   {label} \n",
    "backslashes": lambda path, label: path.replace("/", "\\") + f" {label}\n",
    "dot": lambda path, label: f"./{path} {label}\n",
    "absolute": lambda path, label: f"/data/a b/RegDB/{path} {label}\n",
    "windows": lambda path, label: "D:\\data\\" + path.replace("/", "\\") + f" {label}\r\n",
    "prefix": lambda path, label: f"../../data/{path} {label}\n".replace("../../", ""),
    "upper": lambda path, label: f"{path.upper()} {label}\n",
    "folders": lambda path, label: f"{path[0].lower()}{path[1:]} {label}\n",
    "extension": lambda path, label: f"{path.rpartition('.')[0]}.png {label}\n",
}


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("last_newline", [True, False])
def test_lists_of_every_form(regdb_root: Path, llcm_root: Path, form: str, last_newline: bool) -> None:
    before = regdb.index(regdb_root, 2), llcm.index(llcm_root)
    for file in [*regdb_root.glob("idx/*_2.txt"), *llcm_root.glob("idx/train_*.txt")]:
        lines = [FORMS[form](*line.rsplit(" ", 1)) for line in file.read_text().splitlines()]
        text = "".join(lines)
        file.write_text(text if last_newline else text.rstrip("\r\n"), newline="")
    assert regdb.index(regdb_root, 2).equals(before[0]) and llcm.index(llcm_root).equals(before[1])
    found = {problem.path for problem in check_dataset(get_dataset("regdb"), regdb_root, workers=1).problems}
    assert not found & {f"idx/{kind}_{folder}_2.txt" for kind in ("train", "test") for folder in ("visible", "thermal")}


def test_names_in_other_files() -> None:
    assert own_name("C:\\x\\CAM3\\6\\1.PNG", sysu_mm01.read_name) == "cam3/0006/0001.jpg"
    assert own_name("test_vis/cam03/12/a.JPG", llcm.read_name) == "test_vis/cam3/0012/a.jpg"
    for odd in (
        "cam7/0001/0001.jpg",
        "../cam1/0001/0001.jpg",
        "cam1/00001x/1.jpg",
        "cam1/0001/1.gif",
        "cam1/1/\u0661.jpg",
    ):
        assert own_name(odd, sysu_mm01.read_name) is None, odd


def test_heatmaps_and_keypoints_know_both_names(sysu_root: Path, tmp_path: Path) -> None:
    """A file that names the images as they lie on disk serves as one with the data set's own names."""
    dataset = get_dataset("sysu-mm01")
    own = sysu_mm01.index(sysu_root)["path"].tolist()
    keypoints = np.random.default_rng(0).uniform(1, 20, (len(own), 17, 3)).astype(np.float32)
    np.savez(tmp_path / "own.npz", keypoints=keypoints, paths=np.array(own))
    renamed(sysu_root, lambda path: path.upper().replace(".JPG", ".PNG"))
    files = dataset.files(sysu_root)
    np.savez(tmp_path / "disk.npz", keypoints=keypoints, paths=np.array([files[path] for path in own]))
    form, detector = HeatmapForm(48, 32), Detector(torch.device("cpu"))
    found = [
        source_heatmaps(str(tmp_path / f"{which}.npz"), dataset, sysu_root, form, detector).heatmaps.maps
        for which in ("own", "disk")
    ]
    assert found[0].any() and (found[0] == found[1]).all()
