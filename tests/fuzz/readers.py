"""Every reader of files, options included: append a `Reader` to `READERS`, and all kinds of cases are run on it."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.io import savemat
from torch import nn

from tests.datasets.mini import write_image, write_llcm, write_regdb, write_sysu, write_sysu_truth
from tests.fuzz.reader import Reader
from tests.profiling.profiles import make_profile
from tests.records.scored import scored_record
from tests.training import toy
from tests.training.toy import official as toy_names
from vibench.cli.data_twin import _parse_size as parse_twin_size
from vibench.cli.profile_tables import profile_tables
from vibench.data.attribute_sources import OFFICIAL_IDENTITIES, read_source
from vibench.data.attributes import read_attributes, write_attributes
from vibench.data.cache import _place, open_cache, parse_size
from vibench.data.heatmap_sources import Detector, HeatmapForm, source_heatmaps, summarise_heatmaps
from vibench.data.heatmaps import heatmaps_of
from vibench.data.keypoints import read_coco
from vibench.datasets import llcm, regdb, sysu_mm01
from vibench.datasets.attribute_names import ATTRIBUTES
from vibench.datasets.image_file import read_rgb
from vibench.datasets.permutations import read_permutations, write_permutations
from vibench.datasets.registry import get_dataset
from vibench.demo import Plan, begun_plan
from vibench.doctor.diagnosis import Claims
from vibench.doctor.recognise import diagnose
from vibench.errors import UsageError
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features, named_feature, read_features, write_features
from vibench.files.json_table import write_json_table
from vibench.files.kinds import HEAD_BYTES, file_kind
from vibench.files.shipped import protocols_folder, published_folder
from vibench.files.unreadable import unreadable_kind
from vibench.leaderboard.published import load_published
from vibench.leaderboard.published_check import check_published
from vibench.methods.plugin import find_plugin
from vibench.methods.pose.refinement import load_refinement
from vibench.methods.recipe import (
    effective_sections,
    load_recipe,
    recipe_dict,
    recipe_from_dict,
    recipe_sha256,
    recipe_toml,
)
from vibench.methods.recipe_file import read_recipe_file
from vibench.nn.pretrained import load_pretrained
from vibench.profiling.profile import read_profile, write_profile
from vibench.protocols import load_protocol
from vibench.records.camera_scores import camera_scores, pair_scores
from vibench.records.recomputation import disagreements
from vibench.records.record_json import from_json, to_json
from vibench.records.store import read_per_query, read_record, record_path, write_record
from vibench.report.frames import training_frames
from vibench.runtime.environment import Environment
from vibench.scaffold.new_method import parse_name
from vibench.scoring.auxiliary import auxiliary_sizes
from vibench.scoring.foreign.read import read_any_features
from vibench.scoring.matrix import score_matrices
from vibench.scoring.matrix_file import read_scores_file
from vibench.scoring.rules import Rules
from vibench.scoring.score import score_features
from vibench.sweep.expansion import expand
from vibench.sweep.plan import read_plan
from vibench.training.checkpoint import Checkpoint, load_method, save_checkpoint
from vibench.training.curves import read_curves
from vibench.training.folder import InputFile, RunDescription, RunFolder, Timing
from vibench.training.log import EpochReport, TrainingLog, read_log
from vibench.training.official import import_official
from vibench.training.official_file import read_official_file
from vibench.training.pace import Pace

RECORD, OUTCOMES = scored_record("agw", 0, trials=2)


def _read_protocol(folder: Path) -> None:
    protocol = load_protocol(folder / "own.toml")
    protocol.fingerprint("sysu-mm01", protocol.draws[0])
    # Rules can be sound and yet not fit these images; that sentence names the protocol or the images.
    with contextlib.suppress(UsageError):
        evaluate_features(features_of(protocol.layout), [protocol], allow_incomplete=True)


def features_of(layout: str) -> Features:
    """Features of a few test images of a data set by its layout."""
    names = {
        "sysu-mm01": [f"cam{c}/{p:04d}/{n:04d}.jpg" for c in range(1, 7) for p in (6, 10, 17) for n in (1, 2)],
        "regdb": [f"{kind}/{p}/{n}.bmp" for kind in ("Visible", "Thermal") for p in (3, 5) for n in "ab"],
        "llcm": [f"test_{kind}/cam{c}/{p:04d}/0001.jpg" for kind in ("vis", "nir") for c in (1, 2) for p in (3, 5)],
    }[layout]
    values = np.random.default_rng(0).standard_normal((len(names), 4)).astype(np.float32)
    return Features(values, tuple(names), extras={"parts": values.astype(np.float16)})


def _write_plan(folder: Path) -> None:
    write_sysu(folder / "data")
    (folder / "plan.toml").write_text(
        """[sweep]
out = "out"
seeds = [0, 1]
amp = "off"
pretrained = "none"
profile = true
set = ["schedule.epochs=2"]
[roots]
sysu-mm01 = "data"
[[jobs]]
methods = ["agw", "ddag:b-p"]
datasets = ["sysu-mm01"]
protocols = ["sysu-all"]
[[jobs]]
methods = ["cm-ssft"]
variants = ["", "shl"]
datasets = ["sysu-mm01"]
query_modes = ["all", "single"]
[executor]
kind = "slurm"
partition = "gpu"
time_minutes = 240
""",
        encoding="utf-8",
    )


def _write_features(folder: Path) -> None:
    write_features(folder / "f.npz", Features(**{**vars(features_of("regdb")), "meta": {"dataset": "regdb"}}))


def _write_labelled_features(folder: Path) -> None:
    write_features(
        folder / "f.npz",
        Features(
            np.eye(4, dtype=np.float64),
            pids=np.array([1, 2, 1, 2]),
            cameras=np.array([1, 1, 2, 2]),
            modalities=np.array(["visible", "visible", "infrared", "infrared"]),
        ),
    )


def _evaluate(folder: Path) -> object:
    found = read_features(folder / "f.npz")
    for name in found.extras:
        # Its sentence names the option.
        with contextlib.suppress(UsageError):
            named_feature(found, name)
    return evaluate_features(found, [load_protocol("regdb-v2t")], allow_incomplete=True)


FOREIGN = ("a.npz", "a.npy", "a.pt", "a.mat", "a.csv", "a.h5", "a.parquet")
_FOREIGN_FORMS = {".npz": "npz", ".npy": "npy", ".pt": "torch", ".mat": "mat", ".csv": "csv"}
_NEEDED = {".h5": "h5py", ".parquet": "pyarrow"}


def _write_foreign(name: str) -> Callable[[Path], object]:
    """Features of RegDB as another code base dumps them; names beside those that have none."""

    def write(folder: Path) -> None:
        import pandas as pd

        features = features_of("regdb")
        values, names = features.features, np.array(features.paths)
        (folder / "names.txt").write_text("\n".join(names.tolist()))
        path = folder / name
        if path.suffix == ".npz":
            np.savez(path, feat=values, img_paths=names.astype(object), labels=np.arange(8.0)[:, None], epoch=3)
        elif path.suffix == ".npy":
            np.save(path, values)
        elif path.suffix == ".pt":
            batches = list(torch.from_numpy(values).split(3))
            torch.save({"feat": batches, "paths": names.tolist(), "pids": np.arange(8), "more": {"epoch": 3}}, path)
        elif path.suffix == ".mat":
            # Its form changes the first variable.
            savemat(path, {"feat": values.T, "names": names.astype(object), "epoch": 3})
        elif path.suffix == ".csv":
            pd.DataFrame(values).add_prefix("f").assign(path=names, pid=range(8)).to_csv(path)
        elif path.suffix == ".parquet":
            pd.DataFrame({"name": names, "feat": list(values)}).assign(pid=range(8)).to_parquet(path)
        else:
            import h5py

            with h5py.File(path, "w") as file:
                file["query/feat"], file["query/names"] = values[:4], names[:4].tolist()
                file["gallery/feat"], file["gallery/names"] = values[4:].astype("f8"), names[4:].tolist()

    return write


def _evaluate_foreign(name: str, names: str = "") -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        given = [folder / (names or "names.txt")] if names or name.endswith((".npy", ".mat")) else []
        protocols = (load_protocol("regdb-v2t"),)
        found = read_any_features(folder / name, get_dataset("regdb"), protocols, names=given).features
        # Its sentences name images and options.
        with contextlib.suppress(UsageError):
            score_features([found], Rules(protocols, allow_incomplete=True), name="a", device="cpu")
        return found

    return read


def _write_names(name: str, text: Callable[[tuple[str, ...]], str]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        features = features_of("regdb")
        np.save(folder / "a.npy", features.features)
        assert features.paths is not None
        (folder / name).write_text(text(features.paths))

    return write


def _write_scores(name: str) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        names = np.array(features_of("regdb").paths)
        arrays = {"query_paths": names[:4], "gallery_paths": names[4:], "scores": np.eye(4, dtype=np.float32)}
        if name.endswith(".npz"):
            np.savez(folder / name, **{f"{word}_2": array for word, array in arrays.items()}, scores_1=np.eye(4),
                     query_pids_1=np.arange(4), gallery_pids_1=np.arange(4), gallery_cams_1=np.full(4, 2))  # fmt: skip
        elif name.endswith(".pt"):
            torch.save(
                {"distmat": torch.eye(4), **{word: arrays[word].tolist() for word in list(arrays)[:2]}}, folder / name
            )
        else:
            # Its form changes the first variable.
            savemat(folder / name, {"scores": np.eye(4), **{w: arrays[w].astype(object) for w in list(arrays)[:2]}})

    return write


def _evaluate_scores(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        found = read_scores_file(folder / name)
        rules = Rules((load_protocol("regdb-v2t"),), allow_incomplete=True)
        # Its sentences name images, splits and options.
        with contextlib.suppress(UsageError):
            score_matrices([folder / name], rules, information="none", name="a", device="cpu")
        return found

    return read


def _write_official_features(folder: Path) -> None:
    cells = np.empty((1, 12), dtype=object)
    for pid in range(12):
        cells[0, pid] = np.random.default_rng(pid).standard_normal((2 if pid % 3 == 0 else 0, 4))
    for camera in (1, 2, 3, 6):
        savemat(folder / f"deep_cam{camera}.mat", {"feature": cells})


def _read_recipe_file(folder: Path) -> None:
    found = read_recipe_file(folder / "recipe.toml")
    for dataset in ("sysu-mm01", *found.datasets):
        for variant in ("", *found.variants):
            sections = effective_sections(found, variant, dataset)
            head = {"method": "baseline", "variant": variant, "dataset": dataset}
            _use(recipe_from_dict({**head, **sections}, str(folder / "recipe.toml")))


def _use(recipe: Any) -> None:
    recipe_sha256(recipe)
    recipe_toml(recipe)


def _copy(source: Path) -> Callable[[Path], object]:
    return lambda folder: shutil.copy(source, folder / ("own.toml" if source.suffix == ".toml" else source.name))


def _own_recipe(folder: Path) -> None:
    shutil.copy(Path(toy.__file__).parents[3] / "vibench/methods/baseline/recipe.toml", folder / "recipe.toml")


def _option(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "option").write_text(text)


def _read_option(read: Callable[[str], object]) -> Callable[[Path], object]:
    def reader(folder: Path) -> object:
        # As an argument of a process, a text has no NUL.
        return read((folder / "option").read_bytes().decode("utf-8", "surrogateescape").replace("\0", ""))

    return reader


def _set(text: str) -> None:
    for method in ("baseline", "toy"):
        _use(load_recipe(method, overrides=[text]))


def _write_sysu_with_mat(folder: Path) -> None:
    write_sysu(folder)
    write_sysu_truth(folder)
    (folder / "exp" / "train_id.txt").unlink()
    savemat(folder / "exp" / "train_id.mat", {"id": np.array([[1.0, 2.0]])})
    (folder / "truth" / "twin.json").write_text(json.dumps({"scale": "tiny", "seed": 0, "renderer": 1}))


def _write_permutations(folder: Path) -> None:
    random = np.random.default_rng(0)
    keys = [(camera, pid) for camera in (1, 2, 3, 6) for pid in (1, 3)]
    write_permutations(
        folder / "rand_perm_cam.mat", {key: np.stack([random.permutation(3) + 1 for _ in range(10)]) for key in keys}
    )


def _write_record(folder: Path) -> None:
    path = write_record(folder, RECORD, OUTCOMES)
    path.rename(folder / path.name)
    path.with_suffix(".npz").rename(folder / path.with_suffix(".npz").name)


def _read_record(folder: Path) -> object:
    path = folder / record_path(folder, RECORD).name
    # What a record may hold is stricter than its JSON: also read what an edited name would let pass.
    if path.is_file() and path.stat().st_size < 1 << 20:
        record = from_json(path.read_bytes().decode("utf-8", "replace"), str(path))
        to_json(record)
        record_path(folder, record).relative_to(folder)
    return read_record(path)


def _read_per_query(folder: Path) -> object:
    path = folder / record_path(folder, RECORD).name
    outcomes = read_per_query(path, RECORD)
    return disagreements(RECORD, outcomes), camera_scores(outcomes), pair_scores(outcomes)


def toy_checkpoint() -> Checkpoint:
    """A sound checkpoint of a tiny network."""
    recipe = load_recipe("toy", dataset="regdb")
    torch.manual_seed(0)
    model = toy.Toy(recipe, 3).state_dict()
    return Checkpoint(
        source="trained", method="toy", variant="", recipe=recipe_dict(recipe), dataset="regdb", dataset_version="",
        trial=1, train_pids=(1, 2, 5), num_classes=3, seed=0, pretrained="none", precision="fp32", epoch=1, step=0,
        model=model,
    )  # fmt: skip


def _read_checkpoint(folder: Path) -> object:
    return load_method(folder / "last.pt")


def _write_official(folder: Path) -> None:
    net = {f"module.{name}": tensor for name, tensor in nn.Linear(2, 3).state_dict().items()}
    entries = {"net": net, "cmc": np.array([0.5, 0.6]), "mAP": np.float64(0.4), "mINP": np.float64(0.3), "epoch": 7}
    torch.save(entries, folder / "sysu_agw_seed_0.t")


def _write_import(folder: Path) -> None:
    """What the toy's invented official code saves, in the container of another script."""
    state = {
        official + ours.removeprefix(own): tensor
        for ours, tensor in toy_checkpoint().model.items()
        for official, own in toy_names.KEYS
        if ours.startswith(own)
    }
    entries = {"model": {"net": state}, "epoch": 7, "mAP": np.float64(0.4), "optimizer": {"state": {}}}
    torch.save(entries, folder / "best.pth.tar")


def _import(folder: Path) -> None:
    import_official("toy", folder / "best.pth.tar", folder / "c.pt")
    load_method(folder / "c.pt")


def _write_safetensors(folder: Path) -> None:
    tensors = {name: value.numpy() for name, value in nn.Linear(2, 3).state_dict().items()}
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, value in tensors.items():
        table[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [end, end + value.nbytes]}
        end += value.nbytes
    head = json.dumps(table).encode()
    data = b"".join(value.tobytes() for value in tensors.values())
    (folder / "w.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + data)


def _write_state(folder: Path) -> None:
    torch.save(nn.Linear(2, 3).state_dict(), folder / "weights.pth")


def _write_refinement(folder: Path) -> None:
    state = {f"refinement_stages.0.trunk.{name}": value for name, value in nn.Linear(2, 3).state_dict().items()}
    torch.save({"state_dict": state}, folder / "weights.pth")


def _write_attributes(folder: Path) -> None:
    header = ",".join(("pid", "camera", *ATTRIBUTES))
    (folder / "attributes.csv").write_text(f"{header}\n1,1,0,1,0,1,0,1,0,1\n1,3,0,1,0,1,0,1,0,1\n2,1,1,1,0,1,0,1,0,1\n")


def _read_attributes(folder: Path) -> None:
    table = read_attributes(folder / "attributes.csv")
    table.identity_level().lookup([1], [1])
    write_attributes(folder / "again.csv", table)


def _write_official_attributes(folder: Path) -> None:
    for camera, identities in OFFICIAL_IDENTITIES.items():
        bits = np.random.default_rng(camera).integers(0, 2, (len(ATTRIBUTES), identities)).astype(np.uint8)
        savemat(folder / f"cam{camera}_att.mat", {f"cam{camera}_att": bits})


@lru_cache
def _sysu_index() -> Any:
    import pandas as pd

    rows = [(f"cam1/{pid:04d}/0001.jpg", pid, 1, "visible", "train") for pid in range(1, 20)]
    return pd.DataFrame(rows, columns=["path", "pid", "camera", "modality", "split"])


def _keypoint_images(folder: Path) -> list[str]:
    names = [f"cam1/0001/000{number}.jpg" for number in (1, 2, 3)]
    for number, name in enumerate(names):
        write_image(folder / name, number)
    return names


def _write_keypoints(folder: Path) -> None:
    names = _keypoint_images(folder)
    points = np.random.default_rng(0).uniform(0, 20, (3, 17, 3)).astype(np.float32)
    np.savez(folder / "k.npz", keypoints=points, paths=np.array(names))


def _write_heatmaps(folder: Path) -> None:
    names = _keypoint_images(folder)
    np.savez_compressed(
        folder / "k.npz", heatmaps=np.zeros((3, 1, 8, 8), np.uint8), known=np.ones(3, bool), paths=np.array(names)
    )


def _read_heatmaps(folder: Path) -> None:
    index = _sysu_index().head(3).assign(path=[f"cam1/0001/000{number}.jpg" for number in (1, 2, 3)])
    heatmaps_of(folder / "k.npz", get_dataset("sysu-mm01"), folder, index, (32, 32), 1)
    with contextlib.suppress(UsageError):
        heatmaps_of(folder / "k.npz", get_dataset("sysu-mm01"), folder, index, (32, 32), 17)


def _write_coco(folder: Path) -> None:
    names = _keypoint_images(folder)
    images = [{"id": n, "file_name": f"/data/{name}", "width": 24, "height": 48} for n, name in enumerate(names)]
    people = [{"image_id": n, "keypoints": [1.0, 2.0, 2] * 17, "score": 0.5, "area": 9.0} for n in range(3)]
    (folder / "coco.json").write_text(json.dumps({"images": images, "annotations": people}))


def _write_detections(folder: Path) -> None:
    names = _keypoint_images(folder)
    people = [{"file_name": name, "keypoints": [1, 2, 1] * 17, "bbox": [0, 0, 3, 4]} for name in names]
    (folder / "coco.json").write_text(json.dumps(people))


def _read_coco(folder: Path) -> None:
    read_coco(folder / "coco.json", folder, [f"cam1/0001/000{number}.jpg" for number in (1, 2, 3)])


def _source_heatmaps(folder: Path) -> None:
    form = HeatmapForm(32, 32)
    detector = Detector(torch.device("cpu"))
    summarise_heatmaps(source_heatmaps(str(folder / "k.npz"), get_dataset("sysu-mm01"), folder, form, detector))


def _write_ready_heatmaps(folder: Path) -> None:
    write_sysu(folder)
    names = list(sysu_mm01.index(folder).query("split in ('train', 'val')")["path"])
    np.savez_compressed(folder / "k.npz", heatmaps=np.full((len(names), 8, 8), 0.5, np.float32), paths=np.array(names))


def _write_demo(folder: Path) -> None:
    write_json_table(folder / "demo.json", Plan("demo", 0, 2.0, 20, 1, {"agw": Pace(0.25, 1.5)}))


def _write_run(folder: Path) -> None:
    run = RunFolder(folder)
    recipe = load_recipe("toy", dataset="regdb")
    run.write_description(
        RunDescription(
            id="regdb-toy-s0", method="toy", variant="", dataset="regdb", dataset_version="", root="/data/regdb",
            seed=0, pretrained="none", precision="fp32", recipe_sha256=recipe_sha256(recipe),
            environment=Environment(), created="2025-01-31T12:00:00Z", trial=1,
            inputs={"attributes": InputFile("/data/a.csv", "ab" * 32)},
        )
    )  # fmt: skip
    run.write_timing(Timing(epochs=2, train_seconds=1.5, images=64))
    run.recipe_path.write_text(recipe_toml(recipe))
    log = TrainingLog(run.log_path)
    for epoch in range(2):
        log.append(EpochReport(epoch, 0.1, {"identity": 1.0, "total": 1.5}, 64, 2.0, 0.1, True))
    save_checkpoint(run.checkpoint_path, toy_checkpoint())


def _read_log(folder: Path) -> None:
    rows = read_log(folder / "log.csv")
    TrainingLog(folder / "log.csv", 1)
    assert not rows or rows[-1]["total"] is not None
    curves, problems = read_curves(folder)
    assert not problems, problems
    training_frames(curves, {})


def _write_cache(folder: Path) -> None:
    """A finished cache, and the files of an interrupted build of the same."""
    write_sysu(folder / "data")
    cache = _open_cache(folder)
    np.save(folder / "expected.npy", cache.images)
    for name in ("images.npy", "index.csv", "cache.json"):
        shutil.copy2(cache.folder / name, folder / name)
    shutil.copy2(folder / "images.npy", folder / "images.partial.npy")
    marker = json.loads((folder / "cache.json").read_text())
    chunks = [f"{number} {crc}\n" for number, crc in enumerate(marker["crc32"])]
    (folder / "chunks.partial").write_text("".join([f"{marker['fingerprint']}\n", *chunks]))
    shutil.rmtree(cache.folder)


def _open_cache(folder: Path) -> Any:
    return open_cache(get_dataset("sysu-mm01"), folder / "data", 8, 4, folder=folder / "caches", workers=1)


def _reader_of_cache(*names: str) -> Callable[[Path], object]:
    """Opens a cache of these files, which must give the right pixels whatever is in them."""

    def read(folder: Path) -> None:
        # Its name holds the place of the images.
        place = folder / "caches" / _place(get_dataset("sysu-mm01"), folder / "data", 8, 4, "lanczos")
        place.mkdir(parents=True)
        for name in names:
            # Moved, not copied: a nasty may be a device without end.
            (folder / name).rename(place / name)
        cache = _open_cache(folder)
        if not np.array_equal(cache.images, np.load(folder / "expected.npy")):
            raise AssertionError(f"the cache has other pixels than the images ({cache.origin})")

    return read


def _read_published(folder: Path) -> None:
    """As ``vibench leaderboard --check-published``, which goes on behind a mistake, and as every other command."""
    _, remarks = check_published(folder / "published")
    assert all(remark.text.isprintable() for remark in remarks)
    load_published(folder / "published")


def _write_sysu_scores(folder: Path) -> None:
    features = features_of("sysu-mm01")
    names = np.array(features.paths)
    infrared = np.char.startswith(names, "cam3") | np.char.startswith(names, "cam6")
    values = features.features[infrared] @ features.features[~infrared].T
    np.savez(folder / "s.npz", scores=values, query_paths=names[infrared], gallery_paths=names[~infrared])


def _write_foreign_log(folder: Path) -> None:
    lines = [f"Epoch: [{epoch}][0/9] lr:0.1 Loss: {3 / (1 + epoch):.3f}" for epoch in range(6)]
    lines += ["POOL: Rank-1: 47.50% | Rank-5: 74.0% | mAP: 45.15%| mINP: 33.0%", "Best Epoch [5], no re-ranking"]
    (folder / "train.log").write_text("\n".join(lines))


def _kind(folder: Path) -> object:
    path = folder / "f.npz"
    if not path.is_file():
        raise UsageError(f"{path}: is no regular file.")  # as whoever asks finds out first
    with path.open("rb") as handle:
        head = handle.read(HEAD_BYTES)
    found = file_kind(head), unreadable_kind(path)
    assert all(kind is None or (kind.name and kind.remedy) for kind in found)
    return found


def _write_head(folder: Path) -> None:
    state = {"a.conv.weight": torch.zeros(2, 2), "a.bn.bias": torch.zeros(2), "classifier.weight": torch.ones(206, 2)}
    torch.save({"net": state, "epoch": 3, "mAP": 0.5}, folder / "regdb_trial_2.t")


def _doctor(name: str = "", dataset: str | None = None, names: bool = False) -> Callable[[Path], object]:
    """Diagnoses a file, or the folder itself, and shows what came of it; ``names``: with the names beside it."""

    def read(folder: Path) -> object:
        claims = Claims(dataset, names=(folder / "names.txt",) if names else ())
        found = diagnose(folder / name if name else folder, claims)
        return json.dumps(found.to_dict()).encode()

    return read


DOCTORED: tuple[tuple[str, str, Callable[[Path], object]], ...] = (
    ("npz", "f.npz", _write_features),
    ("npz", "s.npz", _write_sysu_scores),
    ("torch", "last.pt", lambda folder: save_checkpoint(folder / "last.pt", toy_checkpoint())),
    ("torch", "regdb_trial_2.t", _write_head),
    ("safetensors", "w.safetensors", _write_safetensors),
    ("json", record_path(Path(), RECORD).name, _write_record),
    ("npz", record_path(Path(), RECORD).with_suffix(".npz").name, _write_record),
    ("mat", "rand_perm_cam.mat", _write_permutations),
    ("json", "run.json", _write_run),
    ("json", "timing.json", _write_run),
    ("csv", "log.csv", _write_run),
    ("toml", "recipe.toml", _write_run),
    ("torch", "checkpoints/last.pt", _write_run),
    ("lines", "train.log", _write_foreign_log),
)
"""Form, file and maker of what the doctor is given by the file's own name."""


FINISHED = ("images.npy", "index.csv", "cache.json")
INTERRUPTED = ("images.partial.npy", "chunks.partial")
CACHE_FORMS = {FINISHED: ("npy", "csv", "json"), INTERRUPTED: ("npy", "lines")}


READERS: tuple[Reader, ...] = (
    *(
        Reader(f"protocol {name}", "toml", "own.toml", _copy(protocols_folder() / f"{name}.toml"), _read_protocol)
        for name in ("sysu-all-multi", "regdb-v2t", "llcm-v2i")
    ),
    Reader("recipe file", "toml", "recipe.toml", _own_recipe, _read_recipe_file),
    Reader("--set", "text", "option", _option("optimizer.lr=0.05"), _read_option(_set), names_file=False),
    Reader("--set list", "text", "option", _option("milestones=[3, 5]"), _read_option(_set), names_file=False),
    Reader("--size", "text", "option", _option("288x144"), _read_option(parse_size), names_file=False),
    Reader("--size of a twin", "text", "option", _option("96x48"), _read_option(parse_twin_size), names_file=False),
    Reader("--auxiliary", "text", "option", _option("1,4,all"), _read_option(auxiliary_sizes), names_file=False),
    Reader(
        "--plugin",
        "text",
        "option",
        _option(str(Path(toy.__file__).parent)),
        _read_option(find_plugin),
        names_file=False,
    ),
    Reader("new-method", "text", "option", _option("my-method"), _read_option(parse_name), names_file=False),
    Reader("plan of a sweep", "toml", "plan.toml", _write_plan, lambda folder: expand(read_plan(folder / "plan.toml"))),
    Reader(
        "profile",
        "json",
        "p.json",
        lambda folder: write_profile(folder / "p.json", make_profile()),
        lambda folder: list(profile_tables(read_profile(folder / "p.json"))),
    ),
    Reader("SYSU-MM01 ids", "lines", "exp/train_id.txt", write_sysu, sysu_mm01.index),
    # Where the file is none, the other form of the list is missed.
    Reader("SYSU-MM01 ids .mat", "mat", "exp/train_id.mat", _write_sysu_with_mat, sysu_mm01.index, names_file=False),
    Reader("RegDB idx", "lines", "idx/train_visible_1.txt", write_regdb, lambda folder: regdb.index(folder, 1)),
    Reader("LLCM idx", "lines", "idx/train_nir.txt", write_llcm, llcm.index),
    Reader("LLCM ids", "lines", "idx/test_id.txt", write_llcm, llcm.index),
    Reader(
        "permutations",
        "mat",
        "rand_perm_cam.mat",
        _write_permutations,
        lambda folder: read_permutations(folder / "rand_perm_cam.mat").sha256,
    ),
    Reader("features", "npz", "f.npz", _write_features, _evaluate, names_file=False),
    Reader("labelled features", "npz", "f.npz", _write_labelled_features, _evaluate, names_file=False),
    *(
        Reader(
            f"foreign features {name}",
            _FOREIGN_FORMS.get(Path(name).suffix, "binary"),
            name,
            _write_foreign(name),
            _evaluate_foreign(name),
        )
        for name in FOREIGN
        if (package := _NEEDED.get(Path(name).suffix)) is None or find_spec(package) is not None
    ),
    Reader("foreign features of any kind", "binary", "a.npy", _write_foreign("a.npy"), _evaluate_foreign("a.npy")),
    Reader(
        "names of features",
        "lines",
        "n.txt",
        _write_names("n.txt", "\n".join),
        _evaluate_foreign("a.npy", "n.txt"),
        # Too few of them are missed in the features.
        names_file=False,
    ),
    Reader(
        "names of features in JSON",
        "json",
        "n.json",
        _write_names("n.json", json.dumps),
        _evaluate_foreign("a.npy", "n.json"),
        names_file=False,
    ),
    *(
        Reader(f"scores {name}", form, name, _write_scores(name), _evaluate_scores(name))
        for name, form in (("s.npz", "npz"), ("s.pt", "torch"), ("s.mat", "mat"))
    ),
    Reader(
        "official features",
        "mat",
        "deep_cam3.mat",
        _write_official_features,
        lambda folder: read_any_features(folder / "deep_cam1.mat", get_dataset("sysu-mm01"), ()),
        # What is wrong with the images of all cameras is said of the file that was named.
        names_file=False,
    ),
    Reader("record", "json", record_path(Path(), RECORD).name, _write_record, _read_record),
    Reader("outcomes", "npz", record_path(Path(), RECORD).with_suffix(".npz").name, _write_record, _read_per_query),
    Reader(
        "checkpoint", "torch", "last.pt", lambda f: save_checkpoint(f / "last.pt", toy_checkpoint()), _read_checkpoint
    ),
    Reader(
        "official checkpoint",
        "torch",
        "sysu_agw_seed_0.t",
        _write_official,
        lambda folder: read_official_file(folder / "sysu_agw_seed_0.t"),
    ),
    Reader("import", "torch", "best.pth.tar", _write_import, _import),
    Reader(
        "safetensors",
        "safetensors",
        "w.safetensors",
        _write_safetensors,
        lambda folder: read_official_file(folder / "w.safetensors"),
    ),
    Reader(
        "pretrained weights",
        "torch",
        "weights.pth",
        _write_state,
        lambda folder: load_pretrained(nn.Linear(2, 3), "resnet18", folder / "weights.pth"),
    ),
    Reader(
        "refinement weights",
        "torch",
        "weights.pth",
        _write_refinement,
        lambda folder: load_refinement(nn.Linear(2, 3), folder / "weights.pth"),
    ),
    Reader("attributes", "csv", "attributes.csv", _write_attributes, _read_attributes),
    Reader(
        "official attributes",
        "mat",
        "cam3_att.mat",
        _write_official_attributes,
        lambda folder: read_source(str(folder), get_dataset("sysu-mm01"), folder, _sysu_index()),
    ),
    Reader("heatmaps", "npz", "k.npz", _write_heatmaps, _read_heatmaps),
    Reader("keypoints", "npz", "k.npz", _write_keypoints, _read_heatmaps),
    Reader("ready heatmaps", "npz", "k.npz", _write_ready_heatmaps, _source_heatmaps),
    Reader("COCO", "json", "coco.json", _write_coco, _read_coco),
    Reader("COCO detections", "json", "coco.json", _write_detections, _read_coco),
    *(
        Reader(
            f"published {name}",
            "csv" if name.endswith(".csv") else "text",
            f"published/{name}",
            lambda folder: shutil.copytree(published_folder(), folder / "published"),
            _read_published,
            # The tables refer to one another.
            names_file=False,
        )
        for name in sorted(path.name for path in published_folder().iterdir())
    ),
    Reader("demo.json", "json", "demo.json", _write_demo, lambda folder: begun_plan(folder, None, "demo", 0)),
    Reader("run.json", "json", "run.json", _write_run, lambda folder: RunFolder(folder).description()),
    Reader("timing.json", "json", "timing.json", _write_run, lambda folder: RunFolder(folder).timing()),
    Reader("log.csv", "csv", "log.csv", _write_run, _read_log),
    Reader("a run's recipe", "toml", "recipe.toml", _write_run, lambda folder: _use(RunFolder(folder).recipe())),
    Reader(
        "twin.json",
        "json",
        "truth/twin.json",
        _write_sysu_with_mat,
        lambda folder: get_dataset("sysu-mm01-twin").version(folder),
    ),
    Reader(
        "skeleton",
        "csv",
        "truth/skeleton.csv",
        _write_sysu_with_mat,
        lambda folder: sysu_mm01.read_skeleton(folder / "truth" / "skeleton.csv"),
    ),
    *(
        Reader(
            f"image {suffix}",
            "image",
            f"a.{suffix}",
            lambda folder, suffix=suffix: write_image(folder / f"a.{suffix}", 0),
            lambda folder, suffix=suffix: read_rgb(folder / f"a.{suffix}"),
        )
        for suffix in ("jpg", "bmp", "png")
    ),
    *(
        # Of files that belong to a run or a record, that may be named instead.
        Reader(f"doctor {name}", form, name, make, _doctor(name), names_file=make not in (_write_run, _write_record))
        for form, name, make in DOCTORED
    ),
    *(
        Reader(
            f"doctor foreign {name}",
            _FOREIGN_FORMS.get(Path(name).suffix, "binary"),
            name,
            _write_foreign(name),
            _doctor(name, "regdb", names=name.endswith((".npy", ".mat"))),
        )
        for name in FOREIGN
        if (package := _NEEDED.get(Path(name).suffix)) is None or find_spec(package) is not None
    ),
    Reader("doctor of anything", "binary", "f.npz", _write_features, _doctor("f.npz")),
    Reader("kind of a file", "binary", "f.npz", _write_features, _kind),
    Reader("doctor of a run", "torch", "checkpoints/last.pt", _write_run, _doctor(), names_file=False),
    Reader("doctor of a run's log", "csv", "log.csv", _write_run, _doctor(), names_file=False),
    *(
        Reader(f"doctor of {layout}", "lines", file, make, _doctor(), names_file=False)
        for layout, file, make in (
            ("SYSU-MM01", "exp/test_id.txt", _write_sysu_with_mat),
            ("RegDB", "idx/train_visible_1.txt", write_regdb),
            ("LLCM", "idx/train_nir.txt", write_llcm),
        )
    ),
    *(
        Reader(f"cache {name}", form, name, _write_cache, _reader_of_cache(*files), writes=True)
        for files in (FINISHED, INTERRUPTED)
        for name, form in zip(files, CACHE_FORMS[files], strict=True)
    ),
)
