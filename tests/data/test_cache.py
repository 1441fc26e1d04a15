from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import REPOSITORY
from tests.datasets import mini
from vibench.data import cache_build
from vibench.data.cache import ImageCache, cache_folder, open_cache, shared_images
from vibench.datasets.registry import get_dataset
from vibench.errors import UsageError, VibenchError, VibenchWarning

SYSU = get_dataset("sysu-mm01")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return mini.write_sysu(tmp_path / "sysu-mm01")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Caches of this test, in chunks of ten images."""
    monkeypatch.setattr(cache_build, "CHUNK_IMAGES", 10)
    monkeypatch.setattr("vibench.data.cache.CHUNK_IMAGES", 10)
    monkeypatch.setenv("VIBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def opened(root: Path, **options: object) -> ImageCache:
    return open_cache(SYSU, root, 16, 8, workers=1, **options)  # type: ignore[arg-type]


def expected(root: Path, path: str, resampling: Image.Resampling = Image.Resampling.LANCZOS) -> np.ndarray:
    with Image.open(root / path) as image:
        return np.asarray(image.convert("RGB").resize((8, 16), resampling))


def test_holds_every_image_resized(root: Path, folder: Path) -> None:
    cache = opened(root)
    assert cache.images.shape == (72, 16, 8, 3)
    assert cache.images.dtype == np.uint8
    assert cache.index.equals(SYSU.index(root))
    for row, path in enumerate(cache.index["path"]):
        assert (cache.images[row] == expected(root, path)).all()
    infrared = cache.images[cache.rows(["cam3/0006/0001.jpg"])[0]]
    assert (infrared == infrared[..., :1]).all()
    assert not cache.images.flags.writeable
    assert sorted(path.name for path in cache.folder.iterdir()) == ["cache.json", "images.npy", "index.csv", "lock"]
    assert cache.folder.parent == folder == cache_folder()


def test_rows_follow_the_paths_asked_for(root: Path, folder: Path) -> None:
    cache = opened(root)
    paths = cache.index["path"].tolist()
    assert cache.rows([paths[5], paths[0], paths[5]]).tolist() == [5, 0, 5]
    with pytest.raises(UsageError, match=r"1 images are not in the cache .*'cam1/0099/0001\.jpg'"):
        cache.rows([paths[0], "cam1/0099/0001.jpg"])


def test_is_built_once(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(root)
    assert first.origin == "built: no cache yet"
    monkeypatch.setattr("vibench.data.cache.build_cache", None)
    again = opened(root, verify=True)
    assert again.origin == "reused"
    assert again.fingerprint == first.fingerprint


def test_workers_make_no_difference(root: Path, folder: Path) -> None:
    alone = opened(root, folder=folder / "alone")
    shared = open_cache(SYSU, root, 16, 8, folder=folder / "shared", workers=2)
    assert (alone.images == shared.images).all()
    checksums = [json.loads((cache.folder / "cache.json").read_text())["crc32"] for cache in (alone, shared)]
    assert checksums[0] == checksums[1]
    assert len(checksums[0]) == 8


def test_sizes_filters_and_roots_have_caches_of_their_own(root: Path, folder: Path, tmp_path: Path) -> None:
    lanczos = opened(root)
    bilinear = opened(root, interpolation="bilinear")
    path = lanczos.index["path"][0]
    assert (bilinear.images[0] == expected(root, path, Image.Resampling.BILINEAR)).all()
    other = tmp_path / "other"
    shutil.copytree(root, other)
    caches = [lanczos, bilinear, open_cache(SYSU, root, 8, 16, workers=1), opened(other)]
    assert len({cache.folder for cache in caches}) == 4
    assert len({cache.fingerprint for cache in caches[:3]}) == 3
    assert opened(root).origin == "reused"


def test_regdb_is_cached_without_split(tmp_path: Path, folder: Path) -> None:
    root = mini.write_regdb(tmp_path / "regdb", pids=(1, 2))
    cache = open_cache(get_dataset("regdb"), root, 8, 8, workers=1)
    assert len(cache.images) == 40
    assert set(cache.index["split"]) == {"unused"}


def test_a_changed_image_is_noticed(root: Path, folder: Path) -> None:
    before = opened(root)
    path = before.index["path"][30]
    mini.write_image(root / path, 12345)
    after = opened(root)
    assert after.origin == "built: the images or their splits have changed"
    assert after.fingerprint != before.fingerprint
    assert (after.images[30] == expected(root, path)).all()
    os.utime(root / path, ns=(1, 1))
    assert opened(root).origin == "built: the images or their splits have changed"


def test_added_and_removed_images_and_moved_identities_are_noticed(root: Path, folder: Path) -> None:
    opened(root)
    mini.write_image(root / "cam1/0001/0003.jpg", 5)
    assert len(opened(root).images) == 73
    (root / "cam1/0001/0003.jpg").unlink()
    assert len(opened(root).images) == 72
    (root / "exp" / "val_id.txt").write_text("9")
    cache = opened(root)
    assert set(cache.index.loc[cache.index["split"] == "val", "pid"]) == {9}
    assert "0009/0001.jpg,9,1,visible,val" in (cache.folder / "index.csv").read_text()


def flip_byte(file: Path, position: int) -> None:
    """Damage a file as a failing disk does: size and times stay."""
    times = file.stat()
    with file.open("r+b") as handle:
        handle.seek(position)
        value = handle.read(1)[0]
        handle.seek(position)
        handle.write(bytes([value ^ 1]))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize(
    "damage", ["cut", "flip", "touch", "header", "index", "json", "equal", "colours", "view", "no images", "no index"]
)
def test_damage_is_noticed_and_repaired(root: Path, folder: Path, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a lucky draw among the sampled checksums.
    monkeypatch.setattr("vibench.data.cache._SAMPLED_CHUNKS", 0)
    cache = opened(root)
    content = np.array(cache.images)
    images, index, marker = (cache.folder / name for name in ("images.npy", "index.csv", "cache.json"))
    if damage == "cut":
        os.truncate(images, images.stat().st_size - 1)
    elif damage == "flip":
        flip_byte(images, images.stat().st_size // 2)
    elif damage == "touch":
        images.write_bytes(images.read_bytes()[:-1] + bytes([1 ^ images.read_bytes()[-1]]))
    elif damage == "header":
        flip_byte(images, 0)
    elif damage == "index":
        flip_byte(index, 60)
    elif damage == "json":
        marker.write_text(marker.read_text()[:-20])
    elif damage in ("equal", "colours"):
        marker.write_text(json.dumps({**json.loads(marker.read_text()), damage: [5]}))
    elif damage == "view":
        marker.write_text(json.dumps({**json.loads(marker.read_text()), "colours": [["visible", 1, 3]]}))
    elif damage == "no images":
        images.unlink()
    else:
        index.unlink()
    repaired = opened(root, verify=damage == "flip")
    assert repaired.origin.startswith("built: ")
    assert "damaged" in repaired.origin
    assert (repaired.images == content).all()
    assert opened(root, verify=True).origin == "reused"


def test_silent_damage_is_noticed_by_samples(root: Path, folder: Path) -> None:
    cache = opened(root)
    images = cache.folder / "images.npy"
    for position in range(128, images.stat().st_size, 100):
        flip_byte(images, position)
    assert opened(root).origin == "built: images.npy is damaged"


def test_an_interrupted_build_goes_on(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.array(opened(root, folder=folder / "whole").images)
    decoded: list[str] = []
    load_resized = cache_build.load_resized

    def interrupted(path: Path, *how: object) -> np.ndarray:
        if len(decoded) == 35:
            raise KeyboardInterrupt
        decoded.append(str(path))
        return load_resized(path, *how)  # type: ignore[arg-type]

    monkeypatch.setattr(cache_build, "load_resized", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opened(root)
    (place,) = folder.glob("sysu-*")
    assert not (place / "cache.json").exists()
    journal = place / "chunks.partial"
    assert len(journal.read_text().splitlines()) == 1 + 3
    # A kill may leave a line half-written, and a power failure a chunk that never reached the disk.
    journal.write_text(journal.read_text() + "3 12")
    flip_byte(place / "images.partial.npy", 128 + 10 * 16 * 8 * 3 + 7)
    decoded.clear()

    def counting(path: Path, *how: object) -> np.ndarray:
        decoded.append(str(path))
        return load_resized(path, *how)  # type: ignore[arg-type]

    monkeypatch.setattr(cache_build, "load_resized", counting)
    cache = opened(root)
    assert cache.origin == "built: an earlier build was interrupted"
    assert len(decoded) == 72 - 20
    assert (cache.images == whole).all()


def test_an_interrupted_build_of_other_images_is_not_continued(root: Path, folder: Path) -> None:
    cache = opened(root)
    content = np.array(cache.images)
    (cache.folder / "images.npy").rename(cache.folder / "images.partial.npy")
    marker = json.loads((cache.folder / "cache.json").read_text())
    (cache.folder / "cache.json").unlink()
    lines = [f"{number} {crc}" for number, crc in enumerate(marker["crc32"])]
    (cache.folder / "chunks.partial").write_text("\n".join([marker["fingerprint"], *lines]) + "\n")
    mini.write_image(root / cache.index["path"][0], 777)
    after = opened(root)
    assert (after.images[0] != content[0]).any()
    assert (after.images[1:] == content[1:]).all()


SCRIPT = """
import sys, time
from pathlib import Path
from vibench.data import cache, cache_build
from vibench.datasets.registry import get_dataset
cache_build.CHUNK_IMAGES = cache.CHUNK_IMAGES = 10
load = cache_build.load_resized
def slowly(path, *how):
    time.sleep(float(sys.argv[2]))
    return load(path, *how)
cache_build.load_resized = slowly
print(cache.open_cache(get_dataset("sysu-mm01"), Path(sys.argv[1]), 16, 8, workers=1).origin)
"""


def start(root: Path, folder: Path, seconds: float) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "VIBENCH_CACHE": str(folder)}
    command = [sys.executable, "-c", SCRIPT, str(root), str(seconds)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def wait_for_chunks(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while not any(len(file.read_text().splitlines()) > count for file in folder.glob("*/chunks.partial")):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_build_leaves_no_cache_and_is_continued(root: Path, folder: Path) -> None:
    process = start(root, folder, 0.02)
    wait_for_chunks(folder, 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (place,) = folder.glob("sysu-*")
    assert not (place / "cache.json").exists()
    cache = opened(root)
    assert cache.origin == "built: an earlier build was interrupted"
    assert all((cache.images[row] == expected(root, path)).all() for row, path in enumerate(cache.index["path"]))


def test_two_processes_build_one_cache(root: Path, folder: Path) -> None:
    processes = [start(root, folder, 0.01) for _ in range(2)]
    origins = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    assert [origin.split(":")[0] for origin in origins] == ["built", "reused"]
    assert opened(root, verify=True).origin == "reused"


def test_a_broken_image_is_named(root: Path, folder: Path) -> None:
    broken = root / "cam4/0006/0001.jpg"
    broken.write_bytes(broken.read_bytes()[:-300])
    with pytest.raises(VibenchError, match=r"cam4/0006/0001\.jpg is truncated .*vibench data check"):
        opened(root)
    with pytest.raises(VibenchError, match=r"cam4/0006/0001\.jpg is truncated"):
        open_cache(SYSU, root, 16, 8, workers=2)


def test_want_of_room_is_one_sentence(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(root)
    monkeypatch.setattr(cache_build.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(VibenchError, match=r"needs 0\.\d MB more, but only 0\.0 MB are free; make room"):
        opened(root)


def test_a_pipe_is_not_waited_for_and_what_is_in_the_way_is_named(root: Path, folder: Path) -> None:
    place = opened(root).folder
    (place / "images.npy").unlink()
    os.mkfifo(place / "images.npy")
    assert opened(root).origin.startswith("built: ") and (place / "images.npy").is_file()
    for name, put in (("images.npy", Path.mkdir), ("index.csv", Path.mkdir), ("index.csv", os.mkfifo)):
        (place / name).unlink()
        put(place / name)
        with pytest.raises(VibenchError, match=rf"{name} in it is no regular file; remove it$"):
            opened(root)
        shutil.rmtree(place)
        opened(root)


def test_an_unwritable_folder_is_one_sentence(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VibenchError, match=r"cannot write the image cache .*Not a directory; .*VIBENCH_CACHE"):
        opened(root, folder=tmp_path / "file")


@pytest.mark.parametrize(
    ("size", "interpolation", "complaint"),
    [
        ((0, 8), "lanczos", "the image size 0x8 is not positive"),
        (
            (8, 8),
            "lanczos3",
            r"unknown interpolation 'lanczos3' \(did you mean 'lanczos'\?\); there are lanczos, bilinear",
        ),
    ],
)
def test_settings_are_checked(root: Path, size: tuple[int, int], interpolation: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        open_cache(SYSU, root, *size, interpolation)


def test_images_that_change_during_the_build_are_noticed(
    root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_resized = cache_build.load_resized

    def meddling(path: Path, *how: object) -> np.ndarray:
        os.utime(path, ns=(1, 1))
        return load_resized(path, *how)  # type: ignore[arg-type]

    monkeypatch.setattr(cache_build, "load_resized", meddling)
    with pytest.raises(VibenchError, match="changed while their cache was being built"):
        opened(root)


def test_a_build_killed_before_it_was_declared_finished_decodes_nothing_again(
    root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = np.array(opened(root, folder=folder / "whole").images)

    def killed(path: Path, value: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cache_build, "write_json", killed)
        opened(root)
    monkeypatch.setattr(cache_build, "load_resized", None)
    cache = opened(root)
    assert (cache.images == whole).all()
    assert sorted(path.name for path in cache.folder.iterdir()) == ["cache.json", "images.npy", "index.csv", "lock"]


def test_images_changed_under_the_same_sizes_and_times_are_noticed(
    root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vibench.data.cache._SAMPLED_IMAGES", 72)
    path = root / opened(root).index["path"][30]
    times, size = path.stat(), path.stat().st_size
    mini.write_image(path, 12345)
    # Noise of another seed takes about as many bytes; what follows a JPEG's end does not matter.
    content = path.read_bytes()[:size]
    path.write_bytes(content[:-2].ljust(size - 2, b"\0") + b"\xff\xd9")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert opened(root).origin == "built: the images have changed, though not their sizes and times"
    assert opened(root).origin == "reused"


def test_a_cache_of_another_filter_in_this_ones_place_is_not_used(root: Path, folder: Path) -> None:
    lanczos, bilinear = opened(root), opened(root, interpolation="bilinear")
    shutil.rmtree(lanczos.folder)
    bilinear.folder.rename(lanczos.folder)
    again = opened(root)
    assert again.origin == "built: the images or their splits have changed"
    assert (again.images[0] == expected(root, again.index["path"][0])).all()


def exchange(root: Path, one: str, other: str) -> None:
    (root / one).rename(root / "between")
    (root / other).rename(root / one)
    (root / "between").rename(root / other)


def test_exchanged_modalities_are_refused(root: Path, folder: Path) -> None:
    exchange(root, "cam2", "cam3")
    complaint = r"have changed places: 12 of the 12 images of infrared camera 3 show colour and 0 of the 12 .* visible"
    for _ in range(2):  # once when the cache is built, and then of the cache
        with pytest.raises(UsageError, match=complaint):
            opened(root)
    exchange(root, "cam2", "cam3")
    opened(root)


def test_an_infrared_camera_with_colour_is_warned_of(root: Path, folder: Path) -> None:
    for number, path in enumerate(sorted((root / "cam6").rglob("*.jpg"))):
        mini.write_image(path, number)
    with pytest.warns(VibenchWarning, match="12 of the 12 images of infrared camera 6 show colour, which is odd"):
        opened(root)


def test_test_images_that_are_training_images_are_found(root: Path, folder: Path) -> None:
    (root / "cam4/0006/0001.jpg").write_bytes((root / "cam1/0001/0002.jpg").read_bytes())
    (root / "cam1/0001/0001.jpg").write_bytes((root / "cam1/0001/0002.jpg").read_bytes())
    cache = opened(root)
    paths = {split: cache.index["path"][cache.index["split"] == split] for split in ("train", "val", "test")}
    assert shared_images(cache, paths["train"], paths["test"]) == [("cam1/0001/0001.jpg", "cam4/0006/0001.jpg")]
    assert shared_images(cache, paths["val"], paths["test"]) == []
