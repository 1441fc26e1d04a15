"""Twins on disk: the real layouts, the same bytes on any number of processes, whole or absent."""

import csv
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from vibench.datasets.check import check_dataset
from vibench.datasets.permutations import read_permutations
from vibench.datasets.registry import get_dataset
from vibench.datasets.twin import make
from vibench.datasets.twin.make import make_twin, twin_exists
from vibench.datasets.twin.plan import plan_twin
from vibench.datasets.twin.render import Renderer
from vibench.errors import UsageError

_SIZE = (32, 16)


def _hashes(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def sysu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_twin("sysu-mm01", "tiny", 4, tmp_path_factory.mktemp("sysu") / "twin", workers=1, size=_SIZE)


@pytest.fixture(scope="module")
def regdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_twin("regdb", "tiny", 4, tmp_path_factory.mktemp("regdb") / "twin", workers=1, size=_SIZE)


def test_two_processes_write_the_same_bytes(regdb: Path, tmp_path: Path) -> None:
    again = make_twin("regdb", "tiny", 4, tmp_path / "again", workers=2, size=_SIZE)
    assert _hashes(again) == _hashes(regdb)


def test_another_run_writes_the_same_bytes(sysu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "_IMAGES_PER_JOB", 37)
    again = make_twin("sysu-mm01", "tiny", 4, tmp_path / "again", workers=1, size=_SIZE)
    assert _hashes(again) == _hashes(sysu)


def test_sysu_layout_is_read_as_the_real_one(sysu: Path) -> None:
    dataset = get_dataset("sysu-mm01-twin")
    index = dataset.index(sysu)
    assert dataset.version(sysu) == "tiny-s4-r1"
    pids = index.groupby("split")["pid"].nunique().to_dict()
    assert pids == {"train": 12, "val": 4, "test": 8}
    assert set(index["camera"]) == {1, 2, 3, 4, 5, 6}
    test = index[(index["split"] == "test") & (index["modality"] == "visible")]
    assert (test.groupby(["pid", "camera"]).size() >= 10).all(), "a multi-shot gallery takes ten images"
    for name in ("train", "val", "test", "available"):
        listed = (sysu / "exp" / f"{name}_id.txt").read_text()
        assert "\n" not in listed
        numbers = [int(word) for word in listed.split(",")]
        matrix = loadmat(sysu / "exp" / f"{name}_id.mat")["id"]
        assert matrix.shape == (1, len(numbers)) and matrix[0].tolist() == numbers
    permutations = read_permutations(sysu / "exp" / "rand_perm_cam.mat")
    counts = index.groupby(["camera", "pid"]).size().to_dict()
    assert {key: rows.shape for key, rows in permutations.items()} == {key: (10, n) for key, n in counts.items()}


def test_regdb_layout_is_read_as_the_real_one(regdb: Path) -> None:
    for trial in (1, 2, 10):
        index = get_dataset("regdb-twin").index(regdb, trial)
        split = index.groupby("split")["pid"].unique()
        assert set(split["train"]).isdisjoint(split["test"])
        assert len(split["train"]) == len(split["test"]) == 8
        labels: dict[str, dict[str, str]] = {}
        for modality in ("visible", "thermal"):
            lines = (regdb / "idx" / f"test_{modality}_{trial}.txt").read_text().splitlines()
            assert len(lines) == 80
            for line in lines:
                path, label = line.split(" ")
                assert (regdb / path).is_file()
                folder, pid, name = path.split("/")
                assert name.endswith(f"_{pid}.bmp")
                sex, view, letter, frame, _ = name.split("_")
                assert sex in ("male", "female") and view in ("front", "back") and len(frame) == 5
                assert letter == {"visible": "v", "thermal": "t"}[modality] == folder[0].lower()
                labels.setdefault(pid, {})[modality] = label
        assert {row["visible"] == row["thermal"] for row in labels.values()} == {True}
        assert {int(row["visible"]) for row in labels.values()} == set(range(8))
    first, second = ((regdb / "idx" / f"train_visible_{trial}.txt").read_text() for trial in (1, 2))
    assert first != second


def test_hitsz_layout_is_read_as_the_real_one(hitsz_twin: Path) -> None:
    dataset = get_dataset("hitsz-vcm-twin")
    assert dataset.version(hitsz_twin) == "tiny-s0-r1"
    index = dataset.index(hitsz_twin)
    assert index[index["split"] != "unused"].groupby("split")["pid"].nunique().to_dict() == {"train": 6, "test": 5}
    test = index[index["split"] == "test"]
    assert set(test["path"]) == set(dataset.tracklets(hitsz_twin))
    # Everybody is seen by day and by night by the same three of six cameras, so that every query has two matches.
    assert set(test.groupby(["pid", "modality"])["camera"].nunique()) == {3} and len(test) == 5 * 2 * 3
    assert set(index["camera"]) == {1, 2, 3, 4, 5, 6}
    rows = (hitsz_twin / "info/track_test_info.txt").read_text().splitlines()
    lengths = [int(end) - int(start) + 1 for _, start, end, _, _ in map(str.split, rows)]
    assert 8 in lengths, "some tracklets are too short to count"
    report = check_dataset(dataset, hitsz_twin, workers=1)
    assert report.complete and not report.problems


def test_bupt_layout_is_read_as_the_real_one(bupt_twin: Path) -> None:
    dataset = get_dataset("buptcampus-twin")
    index = dataset.index(bupt_twin)
    assert dataset.version(bupt_twin) == "tiny-s0-r1" and set(index["split"]) == {"train", "test", "unused"}
    tracklets = dataset.tracklets(bupt_twin)
    asking = [name for name in tracklets if name.startswith("query/")]
    # Of every test identity one tracklet asks, of either modality by turns, and the other five answer.
    assert sorted(int(name.split("/")[1]) for name in asking) == [7, 8, 9, 10, 11] and len(tracklets) == 5 * 2 * 3
    assert {name.split("/")[2] for name in asking} == {"RGB", "IR"}
    report = check_dataset(dataset, bupt_twin, workers=1)
    assert report.complete and not report.problems
    with np.load(bupt_twin / "truth" / "keypoints.npz", allow_pickle=False) as keypoints:
        assert set(index["path"]) <= set(keypoints["paths"].tolist())


def test_both_sensors_of_a_camera_see_the_same_walk() -> None:
    renderer = Renderer("buptcampus", 0, (64, 32))
    colour, infrared = renderer.render(3, 2, 4, 1), renderer.render(3, 8, 4, 1)
    assert np.array_equal(colour.keypoints[:, :2], infrared.keypoints[:, :2])
    assert colour.image.shape[:2] == infrared.image.shape[:2]
    assert (colour.image.shape[2], infrared.image.shape[2]) == (3, 1)


def test_a_person_walks_through_a_tracklet(hitsz_twin: Path) -> None:
    shots = [shot for shot in plan_twin("hitsz-vcm", "tiny", 0) if (shot.pid, shot.tracklet) == (1, 1)]
    first = [shot for shot in shots if shot.camera == shots[0].camera]
    renderer = Renderer("hitsz-vcm", 0, (64, 32))
    frames = [renderer.render(shot.pid, shot.camera, shot.number, shot.tracklet) for shot in first]
    assert len({frame.image.shape for frame in frames}) == 1 and len({frame.quality for frame in frames}) == 1
    feet = np.array([frame.keypoints[15:17, 0] for frame in frames])
    assert np.ptp(feet[:, 0] - feet[:, 1]) > 1.0, "feet pass one another"
    pixels = np.stack([frame.image.astype(float) for frame in frames])
    others = [renderer.render(1, first[0].camera, shot.number).image.astype(float) for shot in first]
    # One walk looks much the same all along, other than images of the same person that are taken apart.
    apart = np.mean([abs(other.mean() - others[0].mean()) for other in others])
    assert np.ptp(pixels.mean(axis=(1, 2, 3))) < apart
    assert not (pixels[0] == pixels[1]).all(), "noise is another in every frame"


@pytest.mark.parametrize("layout", ["sysu", "regdb"])
def test_infrared_files_have_three_equal_channels(layout: str, request: pytest.FixtureRequest) -> None:
    root: Path = request.getfixturevalue(layout)
    index = get_dataset({"sysu": "sysu-mm01-twin", "regdb": "regdb-twin"}[layout]).index(root)
    for modality, coloured in (("infrared", False), ("visible", True)):
        for path in index[index["modality"] == modality]["path"].iloc[::29]:
            with Image.open(root / path) as image:
                assert image.mode == "RGB"
                pixels = np.asarray(image).astype(int)
            assert bool(np.ptp(pixels, axis=2).any()) == coloured


@pytest.mark.parametrize("layout", ["sysu", "regdb"])
def test_truth_has_a_row_for_every_file(layout: str, request: pytest.FixtureRequest) -> None:
    root: Path = request.getfixturevalue(layout)
    truth = root / "truth"
    described = json.loads((truth / "twin.json").read_text())
    images = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix in (".jpg", ".bmp")}
    with np.load(truth / "keypoints.npz", allow_pickle=False) as keypoints:
        assert set(keypoints["paths"]) == images and len(images) == described["images"]
        assert keypoints["keypoints"].shape == (len(images), 18, 3)
        assert list(keypoints["names"])[-1] == "neck"
        paths = keypoints["paths"]
        points = keypoints["keypoints"]
    with np.load(truth / "parts.npz", allow_pickle=False) as parts:
        assert np.array_equal(parts["paths"], paths)
        assert parts["parts"].shape == (len(images), 48, 24) and parts["parts"].dtype == np.uint8
        assert parts["parts"].max() < len(parts["names"])
    for row in range(0, len(paths), 97):
        with Image.open(root / paths[row]) as image:
            visible = points[row][points[row, :, 2] == 2]
            assert (visible[:, 0] < image.width).all() and (visible[:, 1] < image.height).all()
    with (truth / "attributes.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    pairs = {(int(row["pid"]), int(row["camera"])) for row in rows}
    with (truth / "skeleton.csv").open() as handle:
        skeleton = list(csv.DictReader(handle))
    assert pairs == {(int(row["pid"]), int(row["camera"])) for row in skeleton}
    assert sum(int(row["images"]) for row in skeleton) == len(images)


def test_full_scale_has_the_real_counts() -> None:
    shots = plan_twin("sysu-mm01", "full", 0)
    count = {split: sum(shot.split == split for shot in shots) for split in ("train", "val", "test")}
    assert count["train"] + count["val"] == 22_258 + 11_909
    assert count["test"] == 6_775 + 3_803
    assert len(shots) == 45_863
    assert len(plan_twin("regdb", "full", 0)) == 8_240


def test_small_scale_has_every_test_identity_in_its_cameras() -> None:
    shots = plan_twin("sysu-mm01", "small", 0)
    assert 7_000 < len(shots) < 9_000
    test = {(shot.pid, shot.camera) for shot in shots if shot.split == "test"}
    real = {(shot.pid, shot.camera) for shot in plan_twin("sysu-mm01", "full", 0) if shot.split == "test"}
    assert test == real


def test_demo_scale_has_the_whole_single_shot_galleries_in_few_images() -> None:
    shots = plan_twin("sysu-mm01", "demo", 0)
    assert 5_000 < len(shots) < 6_000
    small = plan_twin("sysu-mm01", "small", 0)
    assert {(shot.pid, shot.camera) for shot in shots} == {(shot.pid, shot.camera) for shot in small}
    assert [shot for shot in shots if shot.split != "test"] == [shot for shot in small if shot.split != "test"]


def test_a_twin_that_is_there_is_kept(regdb: Path) -> None:
    before = (regdb / "truth" / "twin.json").stat().st_mtime_ns
    assert twin_exists("regdb", "tiny", 4, regdb, _SIZE)
    make_twin("regdb", "tiny", 4, regdb, size=_SIZE)
    assert (regdb / "truth" / "twin.json").stat().st_mtime_ns == before


def test_another_twin_is_not_overwritten(regdb: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="seed is 4, wanted 5"):
        make_twin("regdb", "tiny", 5, regdb, size=_SIZE)
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds no twin"):
        make_twin("regdb", "tiny", 4, tmp_path)
    assert (tmp_path / "note.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "sysu"}, "did you mean 'sysu-mm01'"),
        ({"scale": "smal"}, "did you mean 'small'"),
        ({"seed": -1}, "seed -1"),
        ({"size": (10, 10)}, "size 10x10"),
        ({"workers": 0}, "0 workers"),
    ],
)
def test_bad_arguments_are_named(change: dict, message: str, tmp_path: Path) -> None:
    arguments = {"layout": "regdb", "scale": "tiny", "seed": 0, "out": tmp_path / "twin"} | change
    with pytest.raises(UsageError, match=message):
        make_twin(**arguments)
    assert not (tmp_path / "twin").exists()


def test_an_interrupted_twin_goes_on(regdb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "_IMAGES_PER_JOB", 100)
    rendered: list[int] = []
    render_batch = make.Renderer.render_batch

    def interrupted(self: make.Renderer, shots: object) -> object:
        if len(rendered) == 2:
            raise KeyboardInterrupt
        rendered.append(1)
        return render_batch(self, shots)

    monkeypatch.setattr(make.Renderer, "render_batch", interrupted)
    out = tmp_path / "twin"
    with pytest.raises(KeyboardInterrupt):
        make_twin("regdb", "tiny", 4, out, workers=1, size=_SIZE)
    assert not out.exists()
    # An image that a power failure has not let reach the disk.
    first = plan_twin("regdb", "tiny", 4)[0].path
    (tmp_path / "twin.part" / first).write_bytes(b"")

    def counted(self: make.Renderer, shots: object) -> object:
        rendered.append(1)
        return render_batch(self, shots)

    rendered.clear()
    monkeypatch.setattr(make.Renderer, "render_batch", counted)
    make_twin("regdb", "tiny", 4, out, workers=1, size=_SIZE)
    assert len(rendered) == 4 - 1, "of four jobs, one was finished and whole"
    assert _hashes(out) == _hashes(regdb)
    assert [path.name for path in tmp_path.iterdir()] == ["twin"]


def test_what_is_left_of_another_twin_is_replaced(regdb: Path, tmp_path: Path) -> None:
    rest = tmp_path / "twin.part"
    (rest / ".jobs").mkdir(parents=True)
    (rest / ".jobs" / "twin.json").write_text("{}")
    (rest / "half.jpg").write_text("half")
    make_twin("regdb", "tiny", 4, tmp_path / "twin", workers=1, size=_SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["twin"]
    assert _hashes(tmp_path / "twin") == _hashes(regdb)


def test_two_processes_make_one_twin(regdb: Path, tmp_path: Path) -> None:
    out = tmp_path / "twin"
    with ThreadPoolExecutor() as pool:
        made = [pool.submit(make_twin, "regdb", "tiny", 4, out, 1, _SIZE) for _ in range(2)]
        assert [future.result() for future in made] == [out, out]
    assert _hashes(out) == _hashes(regdb)
    assert [path.name for path in tmp_path.iterdir()] == ["twin"]
