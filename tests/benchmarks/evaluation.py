"""The whole SYSU-MM01 suite: all and indoor search, single- and multi-shot, ten trials each, of both draws.

Features are random with an identity signal; names, counts and seeded draws are those of the real test split, the
official draws are made up. The lean loop ranks the same galleries from a given similarity matrix, one query at a time
in NumPy; it runs on a part of the queries and is extrapolated.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from tests.benchmarks.target import Options, Target, cpu_hardware, needs_cuda
from tests.benchmarks.timing import peak_gibibytes, timed
from vibench.datasets.permutations import Permutations
from vibench.datasets.registry import get_dataset
from vibench.datasets.sysu_mm01 import sysu_skeleton
from vibench.evaluation.draws import Trial, draw_trials
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features
from vibench.evaluation.images import Images, identify
from vibench.protocols import load_protocol

SUITE = ("sysu-all", "sysu-all-multi", "sysu-indoor", "sysu-indoor-multi")
DRAWS = ("seeded", "official")


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


def random_permutations(seed: int = 0) -> Permutations:
    """As the data set's authors would have drawn them, of all test images."""
    skeleton = sysu_skeleton()
    test = skeleton[skeleton["split"] == "test"]
    generator = np.random.default_rng(seed)
    return Permutations(
        {
            (camera, pid): np.array([generator.permutation(count) + 1 for _ in range(10)])
            for camera, pid, count in zip(test["camera"], test["pid"], test["images"], strict=True)
        }
    )


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


def targets(options: Options) -> list[Target]:
    """Seconds and memory of the suite, beside the lean loop and the matrix product alone."""
    dimensions, repeats, queries = (64, 1, 38) if options.quick else (2048, 3, 380)
    features, permutations = sysu_like_features(dimensions), random_permutations()
    protocols = [load_protocol(name) for name in SUITE]
    suite = partial(evaluate_features, features, protocols, draw=DRAWS, permutations=permutations)
    # The first call imports what it needs.
    evaluate_features(features, protocols[:1])
    ours = timed(suite, repeats)
    memory = peak_gibibytes()

    images = identify(features, get_dataset("sysu-mm01"))
    infrared = images.modalities == "infrared"
    rows = np.where(infrared, np.cumsum(infrared), np.cumsum(~infrared)) - 1
    unit = torch.nn.functional.normalize(torch.from_numpy(features.features).double(), dim=1)
    query, gallery = unit[torch.from_numpy(infrared)], unit[torch.from_numpy(~infrared)]
    product = timed(lambda: query @ gallery.T, repeats)
    similarity = (query @ gallery.T).numpy()
    trials = [
        trial for draw in DRAWS for protocol in protocols for trial in draw_trials(protocol, images, draw, permutations)
    ]
    loop = timed(lambda: [lean_loop(similarity, images, trial, rows, queries) for trial in trials])
    share = int(infrared.sum()) / queries

    what = f"SYSU suite, both draws, {len(trials)} trials, {dimensions}-d"
    hardware = cpu_hardware(options.threads)
    lean = f"lean NumPy loop without distances, from {queries} queries"
    found = [
        Target(
            what,
            ours.seconds,
            "s",
            hardware,
            at_most=1.0,
            reference=f"{lean}: {loop.seconds * share:.1f} s ({loop.seconds * share / ours.seconds:.1f} x)",
        ),
        Target(
            "the same, processor time of all threads",
            ours.processor_seconds,
            "s",
            hardware,
            reference=f"{lean}: {loop.processor_seconds * share:.1f} s "
            f"({loop.processor_seconds * share / ours.processor_seconds:.1f} x); "
            f"the float64 product alone: {product.processor_seconds:.2f} s",
        ),
        Target("the same, peak resident memory", memory, "GiB", hardware, at_most=1.5),
    ]
    if not torch.cuda.is_available():
        return [*found, needs_cuda(what, "s", at_most=0.3)]
    on_gpu = partial(suite, device="cuda")
    on_gpu()
    gpu = timed(on_gpu, repeats, "cuda")
    name = torch.cuda.get_device_name()
    return [*found, Target(what, gpu.seconds, "s", name, at_most=0.3, reference=f"{ours.seconds:.2f} s on the CPU")]
