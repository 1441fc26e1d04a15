"""How long the whole SYSU-MM01 suite takes: all and indoor search, single- and multi-shot, ten trials each.

    python -m tests.benchmarks.evaluation [--dimensions 2048] [--threads 2] [--loop-queries 400]

Features are random with an identity signal; names, counts and draws are those of the real test split. The lean loop
ranks the same galleries from the same similarity matrix, one query at a time in NumPy, without computing distances;
``--loop-queries`` below 3803 runs it on a part of the queries and extrapolates, which the table says.

On a machine with other work, set ``OMP_WAIT_POLICY=PASSIVE``: OpenMP threads that spin while they wait for one that is
not scheduled multiply the time several fold.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Sequence

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from vibench.datasets.registry import get_dataset
from vibench.datasets.sysu_mm01 import sysu_skeleton
from vibench.evaluation.draws import Trial, draw_trials
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features
from vibench.evaluation.images import Images, identify
from vibench.protocols import load_protocol

SUITE = ("sysu-all", "sysu-all-multi", "sysu-indoor", "sysu-indoor-multi")


def sysu_like_features(dimensions: int, seed: int = 0) -> Features:
    """Random float32 features (10578, D) of all SYSU-MM01 test images, images of one identity alike."""
    skeleton = sysu_skeleton()
    test = skeleton[skeleton["split"] == "test"]
    names, pids = [], []
    for camera, pid, count in zip(test["camera"], test["pid"], test["images"], strict=True):
        names += [f"cam{camera}/{pid:04d}/{number:04d}.jpg" for number in range(1, count + 1)]
        pids += [pid] * count
    generator = np.random.default_rng(seed)
    codes, at = np.unique(pids, return_inverse=True)
    values = generator.standard_normal((len(names), dimensions), dtype=np.float32)
    values += 0.15 * generator.standard_normal((len(codes), dimensions), dtype=np.float32)[at]
    return Features(values, tuple(names))


def lean_loop(similarity: np.ndarray, images: Images, trial: Trial, rows: np.ndarray, queries: int) -> float:
    """Mean average precision of a trial, one query at a time; CMC and INP are computed and dropped.

    ``rows`` maps an image's row to its row or column of ``similarity``.
    """
    gallery_pids, gallery_cameras = images.pids[trial.gallery], images.cameras[trial.gallery]
    columns = rows[trial.gallery]
    precisions = []
    for query in trial.query[:queries]:
        order = np.argsort(-similarity[rows[query], columns], kind="stable")
        if images.cameras[query] == 3:
            order = order[gallery_cameras[order] != 2]
        ranked = gallery_pids[order]
        matches = np.flatnonzero(ranked == images.pids[query])
        if len(matches) == 0:
            continue
        precisions.append(np.mean(np.arange(1, len(matches) + 1) / (matches + 1)))
        _first_hit = len(np.unique(ranked[: matches[0]])) + 1
        _inp = len(matches) / (matches[-1] + 1)
    return float(np.mean(precisions))


def peak_mebibytes() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--loop-queries", type=int, default=400, help="queries of the lean loop; 3803 runs all")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)

    features = sysu_like_features(options.dimensions)
    protocols = [load_protocol(name) for name in SUITE]
    before = peak_mebibytes()
    seconds, processor_seconds = [], []
    for _ in range(options.repeats):
        started, processor = time.perf_counter(), time.process_time()
        evaluations = evaluate_features(features, protocols)
        seconds.append(time.perf_counter() - started)
        processor_seconds.append(time.process_time() - processor)
    peak = peak_mebibytes()

    images = identify(features, get_dataset("sysu-mm01"))
    infrared = images.modalities == "infrared"
    rows = np.where(infrared, np.cumsum(infrared), np.cumsum(~infrared)) - 1
    unit = features.features.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    similarity = unit[infrared] @ unit[~infrared].T
    suite = [trial for protocol in protocols for trial in draw_trials(protocol, images, "seeded")]
    queries = min(options.loop_queries, int(infrared.sum()))
    started = time.perf_counter()
    means = [lean_loop(similarity, images, trial, rows, queries) for trial in suite]
    loop = (time.perf_counter() - started) * int(infrared.sum()) / queries
    if queries == int(infrared.sum()):
        ours = [score.map for evaluation in evaluations for score in evaluation.trials]
        np.testing.assert_allclose(means, ours, rtol=0, atol=1e-12)

    how = "" if queries == int(infrared.sum()) else f", extrapolated from {queries} queries"
    table = Table(title=f"SYSU-MM01 suite, 40 trials, {options.dimensions}-d float32, {options.threads} threads")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_row(f"vibench, best of {options.repeats}, distances included", f"{min(seconds):.2f} s")
    table.add_row("vibench, median", f"{np.median(seconds):.2f} s")
    table.add_row("vibench, processor time of all threads, best", f"{min(processor_seconds):.2f} s")
    table.add_row(f"lean NumPy loop, distances not included{how}", f"{loop:.1f} s")
    table.add_row("ratio of lean loop to vibench", f"{loop / min(seconds):.1f}")
    table.add_row("peak resident memory before evaluating", f"{before:.0f} MiB")
    table.add_row("peak resident memory of evaluating", f"{peak:.0f} MiB")
    Console().print(table)


if __name__ == "__main__":
    main()
