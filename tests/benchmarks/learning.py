"""Does every method learn? mAP and rank-1 over seeds on the small twin, all methods trained equally long.

    python -m tests.benchmarks.learning --out FOLDER [--seeds 3] [--jobs 2] [--method ddag:b-p ...] [--set lr=0.005 ...]

All methods start from one ResNet-18, as published methods start from ImageNet: a one-stream network trained on the
identities of another twin. They train with the steps, images and input of `vibench demo`; as in the official recipes,
a batch has four images per identity and modality, and new layers have ten times the learning rate of the backbone. The
evaluation is sysu-all, seeded draw.

``METHOD:VARIANT`` names a variant, and ``+`` another evaluation of the same runs: ``+single`` (query mode), ``+gt``,
``+const`` or ``+shuffle`` (attributes at test time), anything else the name of a feature to rank. Without
``--method``, every registered method in its default variant. What FOLDER holds is not done again, so the command can
be stopped and started anew; ``--set`` changes every recipe and so needs a FOLDER of its own. The table lies in
``FOLDER/learning.csv`` too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from vibench.datasets.twin.make import make_twin
from vibench.demo import SCALES
from vibench.files import atomic_path, write_json, write_text
from vibench.given_attributes import SOURCES, GivenAttributes
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import method_names
from vibench.parallel import default_workers, map_in_processes
from vibench.scoring import Rules, load_protocols, score_models
from vibench.trained import models_of_run
from vibench.training.checkpoint import load_method
from vibench.training.run import TrainingSpec, train_or_resume

DATASET = "sysu-mm01-twin"
PRETRAINING_SEED = 1000
"""Seed of the twin that the common backbone is trained on."""
PRETRAINING = ("model.loss=id+triplet", "schedule.epochs=18", "schedule.milestones=[12, 16]")
TRAINING = (
    "optimizer.lr=0.01",
    "optimizer.backbone_lr_factor=0.1",
    "sampler.identities=4",
    "sampler.images=4",
)
"""Changes of the demo's settings, which are made for a start from random weights."""


@dataclass(frozen=True)
class Entry:
    """A variant of a method and the evaluations of its runs."""

    method: str
    variant: str
    evaluations: tuple[str, ...]


def pretrained_backbone(folder: Path) -> Path:
    """The state dict of a ResNet-18 that has learnt from another twin; made where it is absent."""
    weights = folder / "pretrained" / "resnet18.pt"
    if not weights.exists():
        root = make_twin("sysu-mm01", "small", PRETRAINING_SEED, folder / "pretrained" / DATASET)
        recipe = load_recipe("baseline", "one-stream", DATASET, [*SCALES["small"].settings(DATASET), *PRETRAINING])
        spec = TrainingSpec(recipe, root, pretrained="none", folder=folder / "pretrained" / "run")
        run = train_or_resume(spec, "auto", folder / "cache")
        state: dict[str, Any] = load_method(run.checkpoint_path, torch.device("cpu")).state_dict()
        prefix = "backbone.shared."
        with atomic_path(weights) as temporary:
            torch.save(
                {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}, temporary
            )
    return weights


def score(task: tuple[Entry, int], folder: Path, changes: Sequence[str], threads: int) -> list[dict[str, Any]]:
    """Train one entry with one seed (or find it trained) and evaluate it: a row per record."""
    entry, seed = task
    label = "-".join(part for part in (entry.method, entry.variant, f"s{seed}") if part)
    torch.set_num_threads(threads)
    rows: list[dict[str, Any]] = []
    for evaluation in entry.evaluations:
        path = folder / "scores" / f"{label}{'+' if evaluation else ''}{evaluation}.json"
        if not path.exists():
            write_json(path, _train_and_evaluate(entry, evaluation, seed, folder / "runs" / label, changes))
        rows += json.loads(path.read_text(encoding="utf-8"))
    return rows


def _train_and_evaluate(
    entry: Entry, evaluation: str, seed: int, run_folder: Path, changes: Sequence[str]
) -> list[dict[str, Any]]:
    folder = run_folder.parent.parent
    settings = [*SCALES["small"].settings(DATASET), *TRAINING, *changes]
    recipe = load_recipe(entry.method, entry.variant, DATASET, settings)
    root = folder / DATASET
    weights = str(folder / "pretrained" / "resnet18.pt")
    run = train_or_resume(
        TrainingSpec(recipe, root, seed=seed, pretrained=weights, folder=run_folder),
        "auto",
        folder / "cache",
    )
    scored = score_models(models_of_run(run.path, root), _rules(evaluation), cache=folder / "cache")
    return [
        {
            "method": f"{record.label} {evaluation}".strip(),
            "seed": seed,
            "map": record.mean["map"],
            "r1": record.mean["r1"],
            "train_seconds": record.run.train_seconds,
        }
        for record in (one.record for one in scored)
    ]


def _rules(evaluation: str) -> Rules:
    protocols = load_protocols(["sysu-all"])
    if evaluation == "single":
        return Rules(protocols, query_mode="single")
    if evaluation in SOURCES:
        return Rules(protocols, given=GivenAttributes(evaluation))
    return Rules(protocols, feature=evaluation)


def entries(names: Sequence[str]) -> list[Entry]:
    """The entries named, several evaluations of a variant together."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in names:
        variant, _, evaluation = name.partition("+")
        method, _, variant = variant.partition(":")
        found.setdefault((method, variant), []).append(evaluation)
    return [Entry(*key, tuple(dict.fromkeys(evaluations))) for key, evaluations in found.items()]


def summary(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Mean and deviation over the seeds, in percent, in the order of first appearance."""
    frame = pd.DataFrame(rows).drop_duplicates(["method", "seed"])
    frame[["map", "r1"]] *= 100
    groups = frame.groupby("method", sort=False)
    table = groups[["map", "r1"]].agg(["mean", "std"])
    table.columns = pd.Index(["mAP", "mAP deviation", "r1", "r1 deviation"])
    return table.assign(seeds=groups.size(), **{"train s": groups["train_seconds"].mean()}).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=default_workers(), help="runs trained at the same time")
    parser.add_argument("--method", action="append", help="METHOD[:VARIANT][+EVALUATION]; repeatable")
    parser.add_argument("--set", action="append", default=[], help="change of every recipe; repeatable")
    options = parser.parse_args()
    console = Console(width=100)
    pretrained_backbone(options.out)
    make_twin("sysu-mm01", "small", 0, options.out / DATASET)
    asked = entries(options.method or method_names())
    tasks = [(entry, seed) for seed in range(options.seeds) for entry in asked]
    threads = max(1, default_workers() // options.jobs)
    done: dict[tuple[Entry, int], list[dict[str, Any]]] = {}
    work = partial(score, folder=options.out, changes=tuple(options.set), threads=threads)
    for task, rows in map_in_processes(work, tasks, options.jobs):
        done[task] = rows
        for row in rows:
            console.print(f"{row['method']} seed {row['seed']}: mAP {row['map']:.2%}, rank-1 {row['r1']:.2%}")
    results = summary([row for task in tasks for row in done[task]])
    write_text(options.out / "learning.csv", results.to_csv(index=False, float_format="%.2f"))
    table = Table(title=f"{DATASET} small, sysu-all, percent (synthetic data)")
    for column in results.columns:
        table.add_column(column, justify="left" if column == "method" else "right")
    for row in results.itertuples(index=False):
        table.add_row(*(value if isinstance(value, str) else f"{value:.2f}" for value in row))
    console.print(table)


if __name__ == "__main__":
    main()
