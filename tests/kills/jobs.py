"""The commands that are killed: what they are given, how they are begun again, what they leave."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from tests.warm import LIBRARIES, OURS

if TYPE_CHECKING:
    from tests.kills.faults import Faults
    from vibench.sweep.executor import Start
    from vibench.sweep.local import LocalExecutor

TWIN_JOB, CACHE_CHUNK, EPOCH_STEPS = 80, 10, 3
"""Images or steps after which a command has saved what it did: in tests, few."""


@dataclass(frozen=True)
class Inputs:
    """What commands read; made once, never changed."""

    folder: Path

    @property
    def sysu(self) -> Path:
        """A miniature SYSU-MM01."""
        return self.folder / "sysu-mm01"

    @property
    def twin(self) -> Path:
        """A tiny twin of SYSU-MM01."""
        return self.folder / "sysu-mm01-twin"

    @property
    def run(self) -> Path:
        """A run of the toy method on it."""
        return self.folder / "run"

    @property
    def cache(self) -> Path:
        """The image caches of that twin."""
        return self.folder / "cache"

    @property
    def official(self) -> Path:
        """A checkpoint of the toy method with the names of its official code."""
        return self.folder / "official.pt"

    @property
    def leaderboards(self) -> Path:
        """With records of it."""
        return self.folder / "leaderboards"


def make_inputs(folder: Path) -> Inputs:
    """Write `Inputs` into ``folder``."""
    import torch

    import tests.training.toy  # noqa: F401  (registers the method)
    from tests.datasets import mini
    from tests.training.test_official import SYSU_CLASSES, official_state
    from vibench.data import cache, cache_build
    from vibench.datasets.registry import get_dataset
    from vibench.datasets.twin.make import make_twin
    from vibench.methods.recipe import load_recipe
    from vibench.records.store import write_record
    from vibench.scoring.rules import Rules, load_protocols
    from vibench.scoring.score import score_models
    from vibench.scoring.trained import models_of_run
    from vibench.training.run import train
    from vibench.training.spec import TrainingSpec

    inputs = Inputs(folder)
    mini.write_sysu(inputs.sysu)
    torch.save(official_state(SYSU_CLASSES), inputs.official)
    make_twin("sysu-mm01", "tiny", 0, inputs.twin, workers=1, size=(32, 16))
    recipe = load_recipe("toy", "", "sysu-mm01-twin", ["schedule.epochs=1", "batches_per_epoch=1"])
    size = recipe.input
    spec = TrainingSpec(recipe, inputs.twin, amp="off", pretrained="none", folder=inputs.run)
    rules = Rules(load_protocols(["sysu-all", "sysu-indoor"]))
    # In the chunks of `prepare_child`: commands would take a cache in others for a damaged one.
    with (
        mock.patch.object(cache, "CHUNK_IMAGES", CACHE_CHUNK),
        mock.patch.object(cache_build, "CHUNK_IMAGES", CACHE_CHUNK),
    ):
        dataset = get_dataset(recipe.dataset)
        cache.open_cache(dataset, inputs.twin, size.height, size.width, folder=inputs.cache, workers=1)
        train(spec, device="cpu", cache=inputs.cache)
        scored = score_models(models_of_run(inputs.run), rules, device="cpu", cache=inputs.cache)
    for one in scored:
        write_record(inputs.leaderboards, one.record, one.per_query)
    return inputs


def _nothing(inputs: Inputs, folder: Path) -> None:
    return None


@dataclass(frozen=True)
class Job:
    """A command."""

    name: str
    share: int
    """Of 240 kills, so many are of this command: more where more can go wrong, fewer where each takes long."""
    command: Callable[[Inputs, Path], str]
    """What a person would type behind ``vibench`` in a working folder as it is now."""
    begin: Callable[[Inputs, Path], None] = _nothing
    """Fills the working folder."""
    work: str = ""
    """The unit of work that `prepare_child` has noted, if a restart must not repeat much of it."""
    repeated: int = 0
    """Most units that one kill may cost."""
    environment: Mapping[str, str] = field(default_factory=dict)
    like_no_other: str = ""
    """Regular expression of the paths of files that tell what was done when and how long it took."""


def _train(inputs: Inputs, folder: Path) -> str:
    if (folder / "run" / "run.json").exists():
        return "train --resume run --device cpu"
    return (
        f"train toy --dataset sysu-mm01 --root '{inputs.sysu}' --out run --pretrained none --device cpu "
        f"--allow-incomplete --set schedule.epochs=3 --set batches_per_epoch={EPOCH_STEPS}"
    )


def _cache(inputs: Inputs, folder: Path) -> None:
    shutil.copytree(inputs.cache, folder / "cache")


def _records(inputs: Inputs, folder: Path) -> None:
    shutil.copytree(inputs.leaderboards, folder / "leaderboards")


PLAN = """
[sweep]
out = "sweep"
leaderboards = "leaderboards"
device = "cpu"
amp = "off"
pretrained = "none"
retries = 9
set = ["schedule.epochs=1", "batches_per_epoch=1"]

[roots]
sysu-mm01-twin = "{twin}"

[executor]
kind = "local"
workers = 1

[[jobs]]
methods = ["toy"]
datasets = ["sysu-mm01-twin"]
seeds = [0, 1]
protocols = ["sysu-indoor"]
"""


def _plan(inputs: Inputs, folder: Path) -> None:
    _cache(inputs, folder)
    (folder / "plan.toml").write_text(PLAN.format(twin=inputs.twin), encoding="utf-8")


JOBS = (
    Job(
        "data twin",
        15,
        lambda inputs, folder: "data twin --dataset regdb --scale tiny --size 32x16 --out twin",
        work="render",
        repeated=TWIN_JOB,
    ),
    Job(
        "data cache",
        35,
        lambda inputs, folder: f"data cache --dataset sysu-mm01 --root '{inputs.sysu}' --size 24x12",
        work="decode",
        repeated=CACHE_CHUNK,
    ),
    Job(
        "data attributes",
        15,
        lambda inputs, folder: (
            f"data attributes -d sysu-mm01-twin --root '{inputs.twin}' --from twin -o attributes.csv"
        ),
    ),
    Job(
        "data heatmaps",
        15,
        lambda inputs, folder: f"data heatmaps -d sysu-mm01-twin --root '{inputs.twin}' --from twin -o heatmaps.npz",
    ),
    Job("train", 50, _train, work="train", repeated=EPOCH_STEPS),
    Job("extract", 20, lambda inputs, folder: f"extract '{inputs.run}' -o features.npz --device cpu", begin=_cache),
    Job(
        "eval",
        30,
        lambda inputs, folder: (
            f"eval '{inputs.run}' --protocol sysu-all --protocol sysu-indoor-multi --json records.json --device cpu"
        ),
        begin=_cache,
    ),
    Job("import", 10, lambda inputs, folder: f"import toy '{inputs.official}' -o imported.pt"),
    Job(
        "sweep",
        20,
        lambda inputs, folder: "sweep plan.toml",
        begin=_plan,
        like_no_other=r"sweep/jobs/[^/]*/(attempts/.*|log\.txt)|leaderboards/(?!records/).*",
    ),
    Job("leaderboard", 15, lambda inputs, folder: "leaderboard", begin=_records),
    Job("report", 5, lambda inputs, folder: f"report --runs '{inputs.folder}' -o report.html", begin=_records),
    Job(
        "visualize",
        10,
        lambda inputs, folder: f"visualize '{inputs.run}' -o pictures --what distances --device cpu",
        begin=_cache,
    ),
)


def kills_of(job: Job, kills: int) -> int:
    """How many of ``kills`` are of one command."""
    return -(-kills * job.share // sum(job.share for job in JOBS))


_IMPORTED = (
    *(*LIBRARIES, *OURS, "tests.training.toy", "vibench.data.heatmap_sources", "vibench.datasets.twin.make"),
    *("vibench.report.write", "vibench.sweep.run", "vibench.sweep.worker", "vibench.visualize.gallery"),
    *("encodings.ascii", "encodings.cp437", "encodings.utf_8_sig", "torch.utils.flop_counter", "rich._emoji_codes"),
    *("matplotlib.backends.backend_agg", "matplotlib.figure"),
)
"""What the commands import, as far as it is there; a module that is not in the list only takes time."""


def import_everything() -> None:
    """Import what the commands import, so that a child need not."""
    for name in _IMPORTED:
        with contextlib.suppress(ImportError):
            import_module(name)

    from PIL import Image

    from vibench.methods.registry import method_names

    Image.init()
    method_names()


@dataclass(frozen=True)
class _Ended:
    """As much of a process as a pool asks of one that has ended."""

    returncode: int

    def poll(self) -> int:
        return self.returncode


def _work_here(pool: LocalExecutor, one: Start, slot: object) -> _Ended:
    """What a worker of a sweep does, in the process that is watched and killed."""
    from vibench.sweep.worker import work

    return _Ended(work(pool._out, one.job.id, one.over))


def prepare_child(faults: Faults) -> None:
    """Let a child save often, and note its work."""
    import torch

    from vibench.data import cache, cache_build
    from vibench.datasets.twin import make
    from vibench.sweep import local
    from vibench.training.trainer import Trainer

    torch.set_num_threads(1)
    make._IMAGES_PER_JOB = TWIN_JOB
    cache.CHUNK_IMAGES = cache_build.CHUNK_IMAGES = CACHE_CHUNK
    local.LocalExecutor.poll_seconds = 0.0
    local.LocalExecutor._spawn = _work_here  # type: ignore[method-assign,assignment]
    faults.does(make.Image, "fromarray", "render")
    faults.does(cache_build, "load_resized", "decode")
    faults.does(Trainer, "_train_step", "train")
