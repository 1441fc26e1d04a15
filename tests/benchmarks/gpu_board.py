"""All methods, one data set, one length of training, one machine: the whole board by one command, in resumable pieces.

    python -m tests.benchmarks.gpu_board --out FOLDER [--scale gpu|cpu] [--minutes 9] [--keep leaderboards]

Renders twins of SYSU-MM01 and RegDB, fills the image cache, trains every method with its own baseline and the main rows
of its ablation table, evaluates all protocols, query modes and sources of attributes, profiles, renders boards, page
and the table of each method against its baseline, and measures every speed target (`python -m tests.benchmarks`).

Every method trains by its own recipe, with gradients clipped, the paper's schedule scaled to its length, and as long as
all others. ``--scale gpu`` (default with CUDA): the full twins, ResNet-50 at 288x144 from random weights, 400 steps of
64 images, three seeds. ``--scale cpu``: the small twins, a slim ResNet-18 at 96x48 from a common backbone that learnt
on another twin, 2,000 steps of 32 images. Transformers have ViT-B/16, or a slim one, in its place.

``--minutes`` ends a piece in time; the same command goes on. What FOLDER holds is not done again. ``--keep`` copies
what is worth committing: records (of ``--protocol``, repeatable), profiles and curves. A run of which it holds a record
already is left out, so that the pieces of a board may be made on several machines; each trains the common backbone
itself, with the same seed. Everything is made of `vibench sweep`; FOLDER/board.toml is its plan, so that
``vibench sweep FOLDER/board.toml --status`` shows the state.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console

from tests.benchmarks.__main__ import main as speed_targets
from tests.benchmarks.board.artefacts import (
    finished_runs,
    keep_curves,
    keep_profiles,
    keep_records,
)
from tests.benchmarks.board.backbone import common_starts
from tests.benchmarks.board.inline import InlineExecutor
from tests.benchmarks.board.rows import plan_toml
from tests.benchmarks.board.scale import SCALES, SYSU, Scale
from tests.benchmarks.board.versus import versus_baselines, write_versus
from vibench.cli.console import progress
from vibench.data.cache import open_cache
from vibench.datasets.registry import get_dataset
from vibench.datasets.twin.make import make_twin
from vibench.files.writing import write_text
from vibench.leaderboard.published import load_published
from vibench.leaderboard.update import update_boards
from vibench.methods.recipe import load_recipe
from vibench.report.write import write_report
from vibench.sweep.expansion import expand
from vibench.sweep.local import LocalExecutor, local_slots
from vibench.sweep.plan import LocalTable, Plan, read_plan
from vibench.sweep.run import Result, run_sweep

STOPPED = 130
KEPT = ("sysu-all", "regdb-v2t", "regdb-t2v")


def prepare(out: Path, scale: Scale, data: Path | None, workers: int, kept: Path | None) -> Plan:
    """Twins, image caches, the common backbone and the plan; what is there is taken, and what ``kept`` has left out."""
    folder = data or out / "data"
    roots = {
        dataset: make_twin(get_dataset(dataset).layout, scale.twin, 0, folder / dataset, progress=progress)
        for dataset in scale.budgets
    }
    for dataset, root in roots.items():
        interpolation = load_recipe("baseline", "", dataset, ()).input.interpolation
        open_cache(get_dataset(dataset), root, scale.height, scale.width, interpolation, progress=progress)
    text = plan_toml(
        scale,
        {dataset: str(root.absolute()) for dataset, root in roots.items()},
        out=str(out.absolute()),
        leaderboards=str((out / "leaderboards").absolute()),
        starts=common_starts(out / "backbone", scale),
        workers=workers,
        finished=finished_runs(kept) if kept is not None else (),
    )
    write_text(out / "board.toml", text)
    return read_plan(out / "board.toml")


def train_and_evaluate(plan: Plan, console: Console, stop: Callable[[], bool]) -> Result:
    """The jobs of the plan, until all are done or ``stop()``."""
    jobs = expand(plan)
    cuda = torch.cuda.is_available()
    assert isinstance(plan.executor, LocalTable)
    executor = InlineExecutor(plan.out) if cuda else LocalExecutor(plan, local_slots(plan.executor, "cpu"))
    return run_sweep(plan, jobs, executor, stop=stop, say=lambda line: console.print(line, markup=False))


def show(plan: Plan, console: Console) -> None:
    """Boards, page, and each method against its baseline, of all records that there are."""
    update = update_boards(plan.leaderboards, load_published())
    for problem in update.problems:
        console.print(f"attention: {problem}", markup=False)
    page = plan.out / "report.html"
    write_report(plan.leaderboards, page, runs=plan.out / "runs")
    table = versus_baselines(plan.leaderboards)
    write_versus(plan.leaderboards, table)
    console.print(table.to_string(index=False), markup=False)
    console.print(f"{len(update.records)} records; boards in {plan.leaderboards}, page {page}", markup=False)


def measure_speed(out: Path) -> None:
    """``targets.md`` and ``targets.json`` of `tests.benchmarks`, where they are not there yet."""
    if not (out / "targets.json").exists():
        speed_targets(["--markdown", str(out / "targets.md"), "--json", str(out / "targets.json")])


def keep(plan: Plan, kept: Path, protocols: tuple[str, ...], console: Console) -> None:
    """Copy records, profiles and curves into a leaderboards folder, and render its boards."""
    records = keep_records(plan.leaderboards, kept, protocols)
    profiles, curves = keep_profiles(plan.leaderboards, kept), keep_curves(plan.out, kept)
    update_boards(kept, load_published())
    write_versus(kept, versus_baselines(kept))
    console.print(f"kept in {kept}: {records} records, {profiles} profiles, {curves} training curves", markup=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scale", choices=sorted(SCALES), default="gpu" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, help="end after so long, between two jobs on a GPU")
    parser.add_argument("--data", type=Path, help="folder of twins that are there already")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="trainings side by side without GPU")
    parser.add_argument("--keep", type=Path, help="copy what is worth committing into this leaderboards folder")
    parser.add_argument("--protocol", action="append", help=f"whose records are kept; default {', '.join(KEPT)}")
    options = parser.parse_args()
    deadline = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
    console = Console(width=140)
    scale = SCALES[options.scale]
    console.print(
        f"board '{scale.name}': {' or '.join(scale.backbones)} at {scale.height}x{scale.width}, "
        f"{scale.budgets[SYSU].steps} steps of {2 * scale.identities * scale.images} images",
        markup=False,
    )
    plan = prepare(options.out, scale, options.data, options.workers, options.keep)
    result = train_and_evaluate(plan, console, lambda: time.monotonic() >= deadline)
    show(plan, console)
    if options.keep is not None:
        keep(plan, options.keep, tuple(options.protocol or KEPT), console)
    for failure in result.failed:
        console.print(f"failed: {failure.job.kind} {failure.job.label}: {failure.reason} ({failure.log})", markup=False)
    if result.unfinished or time.monotonic() >= deadline:
        console.print(f"{len(result.unfinished)} jobs and the speed are left; the same command goes on", markup=False)
        sys.exit(STOPPED)
    measure_speed(plan.out)
    if result.failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
