"""The whole path on synthetic people: twin -> training -> evaluation -> leaderboard, in minutes on a laptop's CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vibench.datasets.registry import get_dataset
from vibench.datasets.twin.make import make_twin
from vibench.errors import UsageError, suggestion
from vibench.leaderboard.board import Board, build_boards
from vibench.leaderboard.render import write_boards
from vibench.methods.recipe import load_recipe
from vibench.records.schema import Record
from vibench.records.store import read_records, write_record
from vibench.report.write import write_report
from vibench.runtime.progress import Progress, silent
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import score_models
from vibench.scoring.trained import models_of_run
from vibench.training.run import train_or_resume
from vibench.training.spec import TrainingSpec

METHODS = ("baseline", "agw")


@dataclass(frozen=True)
class DemoScale:
    """How large the demo's data and training are."""

    height: int
    width: int
    batches_per_epoch: dict[str, int]
    """By data set."""
    epochs: int

    def settings(self, dataset: str) -> tuple[str, ...]:
        """The recipe's changes: a small network trained from scratch, for a few hundred steps instead of 56,000."""
        return (
            'model.backbone="resnet18"',
            f"input.height={self.height}",
            f"input.width={self.width}",
            f"augmentation.pad={self.height // 20}",
            'optimizer.name="adamw"',
            "optimizer.lr=0.0015",
            "optimizer.backbone_lr_factor=1.0",
            "sampler.images=2",
            f"sampler.batches_per_epoch={self.batches_per_epoch[dataset]}",
            f"schedule.epochs={self.epochs}",
            "schedule.warmup_epochs=2",
            f"schedule.milestones=[{self.epochs - 3}, {self.epochs - 1}]",
            "schedule.gamma=0.2",
        )


SCALES = {
    "small": DemoScale(96, 48, {"sysu-mm01-twin": 38, "regdb-twin": 18}, epochs=9),
    "tiny": DemoScale(64, 32, {"sysu-mm01-twin": 1, "regdb-twin": 1}, epochs=4),
}
PROTOCOLS = {
    "sysu-mm01-twin": ("sysu-all", "sysu-all-multi", "sysu-indoor", "sysu-indoor-multi"),
    "regdb-twin": ("regdb-v2t", "regdb-t2v"),
}
TRIAL = {"sysu-mm01-twin": None, "regdb-twin": 1}


def run_demo(
    out: Path,
    *,
    scale: str = "small",
    seed: int = 0,
    device: str = "auto",
    amp: str = "auto",
    progress: Progress = silent,
    say: Callable[[str], None],
    show: Callable[[list[Record]], None],
) -> list[Board]:
    """Run the demo in the folder ``out``; what is finished there already is kept.

    ``say`` gets a line per stage and ``show`` the records of each evaluation. Returns the boards.
    Raises `UsageError` for an unknown scale and for a folder that holds something else.
    """
    if scale not in SCALES:
        raise UsageError(f"--scale {scale}: unknown scale{suggestion(scale, list(SCALES))}; choose small or tiny.")
    leaderboards = out / "leaderboards"
    for dataset, protocols in PROTOCOLS.items():
        say(f"{get_dataset(dataset).title}: rendering synthetic people ({scale}, seed {seed})")
        root = make_twin(get_dataset(dataset).layout, scale, seed, out / "data" / dataset, progress=progress)
        for method in METHODS:
            recipe = load_recipe(method, "", dataset, SCALES[scale].settings(dataset))
            steps = recipe.sampler.batches_per_epoch * recipe.schedule.epochs
            say(f"training {method} on {dataset}: {steps} steps")
            spec = TrainingSpec(
                recipe, root, TRIAL[dataset], seed, amp, "none", out / "runs" / dataset / f"{recipe.method}-s{seed}"
            )
            run = train_or_resume(spec, device, out / "cache", progress)
            models = models_of_run(run.path, root)
            rules = Rules(load_protocols(protocols))
            scored = score_models(models, rules, device=device, amp=amp, cache=out / "cache", progress=progress)
            show([one.record for one in scored])
            for one in scored:
                write_record(leaderboards, one.record, one.per_query)
    records, problems = read_records(leaderboards)
    for problem in problems:
        say(f"attention: {problem}")
    boards = build_boards(records, ())
    write_boards(leaderboards, boards)
    report = write_report(leaderboards, out / "report.html", runs=out / "runs", progress=progress)
    say(f"every board, chart and training curve on one page: {report.page}")
    return boards
