"""How long methods must learn, and by which common settings: mAP on identities held out of the board's training.

    python -m tests.benchmarks.validation_curves --out FOLDER [--dataset regdb-twin] [--method ddag ...]
        [--steps 500 ...] [--set optimizer.lr=0.01 ...] [--minutes 60]

Every pair of method and length is one training of its own, from the common backbone, with the paper's schedule scaled
to that length (`tests.benchmarks.board.scale`). The twin is the board's with its test identities taken away
(`tests.benchmarks.board.heldout`), so no setting that is chosen here has seen them. Results are kept in
``FOLDER/curves.csv``, a row per training; what is there is not trained again, a killed training goes on.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tests.benchmarks.board.backbone import common_starts
from tests.benchmarks.board.heldout import make_heldout
from tests.benchmarks.board.scale import SCALES, SYSU, Budget, Scale
from vibench.datasets.registry import get_dataset
from vibench.datasets.twin.make import make_twin
from vibench.files.digests import sha256_text
from vibench.files.writing import atomic_path
from vibench.methods.recipe import load_recipe
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import score_models
from vibench.scoring.trained import models_of_run
from vibench.training.run import train_or_resume
from vibench.training.spec import TrainingSpec

METHODS = ("baseline", "ddag", "cal", "pose")
STEPS = (500, 1000, 2000, 4000)
PROTOCOLS = {SYSU: ("sysu-all",), "regdb-twin": ("regdb-v2t", "regdb-t2v")}


@dataclass(frozen=True)
class Point:
    """What one training reaches, in percent."""

    dataset: str
    method: str
    """``METHOD`` or ``METHOD:VARIANT``."""
    steps: int
    settings: str
    """Beyond the scale's own."""
    protocol: str
    r1: str
    map: str
    seconds: str
    """Of the steps of training."""


def read_points(file: Path) -> list[Point]:
    """The rows of ``curves.csv``; none where it is not there."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as handle:
        return [Point(**{**row, "steps": int(row["steps"])}) for row in csv.DictReader(handle)]  # type: ignore[arg-type]


def write_points(file: Path, points: list[Point]) -> None:
    """Write ``curves.csv``, ordered by what was trained."""
    points = sorted(points, key=lambda one: (one.dataset, one.protocol, one.method, one.settings, one.steps))
    with atomic_path(file) as temporary, temporary.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(Point.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(point) for point in points)


def train_and_measure(
    out: Path, scale: Scale, dataset: str, method: str, steps: int, settings: tuple[str, ...]
) -> list[Point]:
    """One training on the held-out twin, and its score under each protocol of the data set."""
    board = make_twin(get_dataset(dataset).layout, scale.twin, 0, out / "data" / dataset)
    root = make_heldout(board, out / "heldout" / dataset)
    batches = scale.budgets[dataset].batches_per_epoch
    sized = replace(scale, budgets={dataset: Budget(steps // batches, batches, (0,), (1,))})
    name, _, variant = method.partition(":")
    pretrained = common_starts(out / "backbone", scale).get(scale.backbone(name), "none")
    recipe = load_recipe(name, variant, dataset, (*sized.settings(name, variant, dataset), *settings))
    told = sha256_text("\n".join(settings))[:8] if settings else "plain"
    folder = out / "runs" / dataset / f"{method.replace(':', '-')}-{steps}-{told}"
    trial = 1 if get_dataset(dataset).trials > 1 else None
    spec = TrainingSpec(recipe, root, trial=trial, pretrained=pretrained, folder=folder)
    run = train_or_resume(spec, "auto", cache=out / "cache")
    rules = Rules(load_protocols(PROTOCOLS[dataset]))
    seconds = f"{run.timing().train_seconds:.0f}"
    points = []
    for scored in score_models(models_of_run(run.path), rules, cache=out / "cache"):
        means = scored.record.mean
        points.append(
            Point(
                dataset,
                method,
                steps,
                " ".join(settings),
                scored.record.protocol,
                f"{100 * means['r1']:.2f}",
                f"{100 * means['map']:.2f}",
                seconds,
            )
        )
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scale", choices=sorted(SCALES), default="cpu")
    parser.add_argument("--dataset", choices=sorted(PROTOCOLS), default=SYSU)
    parser.add_argument("--method", action="append", help=f"default {', '.join(METHODS)}; METHOD:VARIANT is a variant")
    parser.add_argument("--steps", action="append", type=int, help=f"default {', '.join(map(str, STEPS))}")
    parser.add_argument("--set", action="append", default=[], help="a setting beyond the scale's own; repeatable")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no training later than this")
    options = parser.parse_args()
    deadline = time.monotonic() + 60 * options.minutes
    file = options.out / "curves.csv"
    for steps in options.steps or STEPS:
        for method in options.method or METHODS:
            if time.monotonic() >= deadline:
                return
            wanted = (options.dataset, method, steps, " ".join(options.set))
            points = read_points(file)
            if wanted in {(one.dataset, one.method, one.steps, one.settings) for one in points}:
                continue
            scale = SCALES[options.scale]
            found = train_and_measure(options.out, scale, options.dataset, method, steps, tuple(options.set))
            write_points(file, [*read_points(file), *found])
            for point in found:
                print(
                    f"{point.dataset} {point.method:10} {point.steps:5} steps {point.protocol:10} "
                    f"rank-1 {point.r1:>6}  mAP {point.map:>6}  {point.seconds} s  {point.settings}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
