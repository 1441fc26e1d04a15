"""Accuracy against the number of queries that a transductive method sees together (cm-SSFT, CVPR 2020, Fig. 4)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vibench.datasets.listing import is_number
from vibench.errors import UsageError
from vibench.evaluation.distances import DistanceFunction
from vibench.evaluation.result import METRICS
from vibench.files.writing import atomic_path, write_text
from vibench.methods.transductive import TransductiveMethod
from vibench.runtime.progress import Progress, silent
from vibench.runtime.randomness import generator
from vibench.scoring.embedded import Embedded
from vibench.scoring.rules import Rules
from vibench.scoring.score import evaluate_embedded

ALL = "all"
PARTITIONS = 10


@dataclass(frozen=True)
class AuxiliaryScore:
    """The scores of one protocol with the queries partitioned at random into groups of one size."""

    protocol: str
    size: str
    """Queries per group, a number or `ALL`."""
    partitions: int
    """Partitions drawn; 1 where they cannot differ."""
    mean: dict[str, float]
    """Mean per metric over partitions and trials, fractions."""
    std: dict[str, float]
    """Population standard deviation over the partitions of the mean over the trials."""


def auxiliary_sizes(text: str) -> tuple[str, ...]:
    """Sizes such as ``1,4,16,all``: ascending numbers, then perhaps `ALL`; `UsageError` for anything else."""
    sizes = tuple(part.strip() for part in text.split(","))
    numbers = [int(size) for size in sizes if is_number(size)]
    ascending = all(a < b for a, b in zip([0, *numbers], numbers, strict=False))
    if not ascending or sizes not in ((*map(str, numbers),), (*map(str, numbers), ALL)):
        raise UsageError(f"--auxiliary {text}: must be ascending numbers of queries from 1, and perhaps 'all' last.")
    return sizes


def auxiliary_scores(
    embedded: Embedded,
    rules: Rules,
    sizes: Sequence[str],
    *,
    partitions: int = PARTITIONS,
    seed: int = 0,
    progress: Progress = silent,
) -> list[AuxiliaryScore]:
    """Scores per protocol and size, in this order.

    For every size the queries are put into ``partitions`` random orders and cut into groups; the orders follow from
    ``seed`` and are the same for all sizes and trials. Raises `UsageError` where the method ranks without them.
    """
    ranking = {split: one for split, one in embedded.ranking.items() if isinstance(one, TransductiveMethod)}
    if not ranking or not rules.own_distance:
        raise UsageError(
            f"--auxiliary: {embedded.models[0].checkpoint.method}, so evaluated, ranks every query by itself; "
            "leave the option out."
        )
    if len(rules.draws) > 1:
        raise UsageError(f"--auxiliary: takes one --draw, not {len(rules.draws)}; evaluate the draws one by one.")
    drawn = [1 if size in ("1", ALL) else partitions for size in sizes]
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    with progress("partitioning queries", sum(drawn)) as advance:
        for size, repeats in zip(sizes, drawn, strict=True):
            for repeat in range(repeats):
                distances = {
                    split: _partitioned(method, size, seed, repeat, rules.mask_same_location)
                    for split, method in ranking.items()
                }
                mode = replace(rules, query_mode="single" if size == "1" else "all")
                for evaluation in evaluate_embedded(embedded, mode, distances):
                    found.setdefault((evaluation.protocol, size), []).append(evaluation.mean)
                advance(1)
    return [_score(protocol.name, size, found[protocol.name, size]) for protocol in rules.protocols for size in sizes]


def write_auxiliary_table(path: Path, scores: Sequence[AuxiliaryScore]) -> None:
    """A CSV row per score, metrics in percent."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    deviations = [f"{metric}_std" for metric in METRICS]
    writer.writerow(["protocol", "queries_per_graph", "partitions", *METRICS, *deviations])
    for score in scores:
        values = [f"{100 * part[metric]:.4f}" for part in (score.mean, score.std) for metric in METRICS]
        writer.writerow([score.protocol, score.size, score.partitions, *values])
    write_text(path, text.getvalue())


def plot_auxiliary(path: Path, scores: Sequence[AuxiliaryScore], title: str) -> bool:
    """Rank-1 and mAP against the size, as PNG; False, and no file, where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    sizes = list(dict.fromkeys(score.size for score in scores))
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    for number, protocol in enumerate(dict.fromkeys(score.protocol for score in scores)):
        of_protocol = [score for score in scores if score.protocol == protocol]
        for metric, label, style in (("r1", "rank-1", "-o"), ("map", "mAP", "--s")):
            axes.errorbar(
                range(len(sizes)),
                [100 * score.mean[metric] for score in of_protocol],
                [100 * score.std[metric] for score in of_protocol],
                fmt=style,
                color=f"C{number}",
                capsize=3,
                label=f"{protocol}, {label}",
            )
    axes.set(xlabel="queries per graph", ylabel="percent", title=title)
    axes.set_xticks(range(len(sizes)), sizes)
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        FigureCanvasAgg(figure).print_png(handle)
    return True


def _partitioned(method: TransductiveMethod, size: str, seed: int, repeat: int, masked: bool) -> DistanceFunction:
    """The method's distance over groups of queries drawn at random."""

    def distances(query: Tensor, gallery: Tensor, query_mode: str, skipped: Tensor | None = None) -> Tensor:
        order = torch.from_numpy(generator(seed, "auxiliary", repeat).permutation(len(query))).to(query.device)
        group = len(query) if size == ALL else min(int(size), len(query))
        apart = None if skipped is None else skipped[order]
        grouped = method.group_distances(query[order], gallery, group, apart)
        return torch.empty_like(grouped).index_copy_(0, order, grouped)

    return DistanceFunction(distances, pairwise=False, takes_skipped=masked)


def _score(protocol: str, size: str, means: Sequence[dict[str, float]]) -> AuxiliaryScore:
    values = {metric: np.array([mean[metric] for mean in means]) for metric in METRICS}
    return AuxiliaryScore(
        protocol,
        size,
        len(means),
        mean={metric: float(column.mean()) for metric, column in values.items()},
        std={metric: float(column.std()) for metric, column in values.items()},
    )
