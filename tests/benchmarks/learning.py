"""Does every method learn? Mean mAP and rank-1 over seeds on the small twin, all methods trained equally long.

    python -m tests.benchmarks.learning --out FOLDER [--seeds 3] [--method ddag:b --method ddag:b-p ...]

Each method trains as `vibench demo` does (ResNet-18 from scratch, the same steps, optimiser and input for all) and is
evaluated under sysu-all, seeded draw. Finished runs in FOLDER are kept, so the command can be stopped and started
again. ``METHOD:VARIANT`` names a variant; without ``--method``, every registered method in its default variant.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from vibench.cli.console import progress
from vibench.datasets.twin.make import make_twin
from vibench.demo import SCALES, train_or_resume
from vibench.leaderboard.record import Record
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import method_names
from vibench.scoring import Rules, load_protocols, score_models
from vibench.trained import models_of_run
from vibench.training.run import TrainingSpec

DATASET = "sysu-mm01-twin"


def score(method: str, variant: str, seed: int, folder: Path) -> Record:
    """Train one method (or find it trained) and evaluate it."""
    root = make_twin("sysu-mm01", "small", 0, folder / DATASET, progress=progress)
    recipe = load_recipe(method, variant, DATASET, SCALES["small"].settings(DATASET))
    label = "-".join(part for part in (recipe.method, recipe.variant, f"s{seed}") if part)
    spec = TrainingSpec(recipe, root, seed=seed, pretrained="none", folder=folder / "runs" / label)
    run = train_or_resume(spec, "auto", folder / "cache", progress)
    rules = Rules(load_protocols(["sysu-all"]))
    (scored,) = score_models(models_of_run(run.path, root), rules, cache=folder / "cache", progress=progress)
    return scored.record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--method", action="append", help="METHOD or METHOD:VARIANT; repeatable")
    options = parser.parse_args()
    table = Table(title=f"{DATASET} small, sysu-all, {options.seeds} seeds, percent (synthetic data)")
    for column in ("method", "mAP", "± seeds", "r1", "± seeds", "train s"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name in options.method or method_names():
        method, _, variant = name.partition(":")
        records = [score(method, variant, seed, options.out) for seed in range(options.seeds)]
        cells = [f"{records[0].label}"]
        for metric in ("map", "r1"):
            values = 100 * np.array([record.mean[metric] for record in records])
            cells += [f"{values.mean():.2f}", f"{values.std(ddof=1):.2f}" if len(values) > 1 else "-"]
        seconds = np.mean([record.run.train_seconds or 0.0 for record in records])
        table.add_row(*cells, f"{seconds:.0f}")
        Console(width=100).print(" ".join(cells))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
