"""The way from images to a record, gone with the tiny twin of SYSU-MM01 in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from vibench.conformance.finding import BrokenContract, Finding, attempt
from vibench.conformance.subject import small_settings
from vibench.datasets.twin.make import make_twin
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import get_method, method_entry
from vibench.modality import MODALITIES
from vibench.profiling.measure import profile_method
from vibench.runtime.devices import resolve_device, resolve_precision
from vibench.runtime.progress import Progress, silent
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import score_models
from vibench.scoring.trained import models_of_run
from vibench.training.checkpoint import load_method, read_checkpoint
from vibench.training.folder import RunFolder
from vibench.training.log import read_log
from vibench.training.run import train
from vibench.training.spec import TrainingSpec

DATASET = "sysu-mm01-twin"
PROTOCOL = "sysu-all"
STEPS = 2


def check_pipeline(
    name: str, variant: str = "", overrides: Sequence[str] = (), device: str = "auto", progress: Progress = silent
) -> list[Finding]:
    """Train a method for two steps, save, load, embed, evaluate and profile it; one finding per stage.

    The recipe is the small one of `vibench.conformance.contract`, with ``overrides`` on top. What follows a stage
    that fails is not reached.
    """
    entry = method_entry(name)
    findings: list[Finding] = []
    with TemporaryDirectory(prefix="vibench-check-") as folder:
        way = _Way(Path(folder), name, variant, overrides, device, progress)
        for title, stage in way.stages():
            reached = all(finding.passed for finding in findings)
            findings.append(attempt(title, stage, entry.folder) if reached else Finding(title, "not reached"))
    return findings


class _Way:
    """The stages in their order, each with what it needs of those before."""

    def __init__(
        self, folder: Path, name: str, variant: str, overrides: Sequence[str], device: str, progress: Progress
    ) -> None:
        self._folder = folder
        self._cache = folder / "cache"
        self._device = device
        self._progress = progress
        settings = [
            *small_settings(get_method(name).options),
            f"batches_per_epoch={STEPS}",
            "schedule.epochs=1",
            *overrides,
        ]
        self._recipe = load_recipe(name, variant, DATASET, settings)
        self._run = RunFolder(folder / "run")

    def stages(self) -> tuple[tuple[str, Callable[[], str]], ...]:
        """Title and work of each stage."""
        return (
            ("training", self._train),
            ("checkpoint", self._load),
            ("evaluation", self._evaluate),
            ("profile", self._profile),
        )

    def _train(self) -> str:
        root = make_twin("sysu-mm01", "tiny", 0, self._folder / "twin", workers=1, progress=self._progress)
        spec = TrainingSpec(self._recipe, root, None, 0, "off", "none", self._run.path)
        train(spec, device=self._device, cache=self._cache, progress=self._progress)
        (row,) = read_log(self._run.log_path)
        return f"{self._run.timing().images} images of the tiny twin, mean loss {row['total']:.3g}"

    def _load(self) -> str:
        path = self._run.checkpoint_path
        loaded, saved = load_method(path).state_dict(), read_checkpoint(path).model
        changed = [name for name, value in saved.items() if not torch.equal(loaded[name], value)]
        if changed:
            raise BrokenContract(f"'{changed[0]}' has another value after loading than it was saved with.")
        return f"{path.stat().st_size / 2**20:.1f} MiB, the same after loading"

    def _evaluate(self) -> str:
        models = models_of_run(self._run.path)
        (scored,) = score_models(
            models,
            Rules(load_protocols([PROTOCOL])),
            device=self._device,
            amp="off",
            cache=self._cache,
            progress=self._progress,
        )
        mean = scored.record.mean
        return f"{' and '.join(MODALITIES)} images, {PROTOCOL}: rank-1 {mean['r1']:.1%}, mAP {mean['map']:.1%}"

    def _profile(self) -> str:
        place = resolve_device(self._device)
        method = load_method(self._run.checkpoint_path)
        profile = profile_method(
            method, place, resolve_precision("off", place), seconds=0.0, largest_batch=1, galleries=[100]
        )
        assert profile.embedding is not None and profile.training is not None
        return (
            f"{profile.parameters_test / 1e6:.2f} M parameters in testing, "
            f"{profile.embedding.flops_per_image / 1e9:.2f} GFLOPs and {profile.embedding.latency.median:.1f} ms per "
            f"image, {profile.training.flops / 1e9:.2f} GFLOPs per training step, {profile.embedding_size} numbers "
            f"({profile.input} pixels)"
        )
