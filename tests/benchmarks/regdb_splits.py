"""Ten RegDB splits in both directions, one after the other, as separate features each."""

from __future__ import annotations

import numpy as np

from tests.benchmarks.target import Options, Target, cpu_hardware
from tests.benchmarks.timing import timed
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features
from vibench.protocols import load_protocol

SPLITS, IDENTITIES, IMAGES = 10, 206, 10
DIRECTIONS = ("regdb-v2t", "regdb-t2v")


def regdb_like_features(dimensions: int, seed: int = 0) -> Features:
    """Random float32 features of one split's 2 x 2,060 test images, images of one identity alike."""
    generator = np.random.default_rng(seed)
    pids = np.tile(np.repeat(np.arange(IDENTITIES), IMAGES), 2)
    values = generator.standard_normal((len(pids), dimensions), dtype=np.float32)
    values += 0.15 * generator.standard_normal((IDENTITIES, dimensions), dtype=np.float32)[pids]
    modalities = np.repeat(["visible", "infrared"], len(pids) // 2)
    return Features(values, None, pids, np.where(modalities == "visible", 1, 2), modalities)


def loop_over_queries(query: np.ndarray, gallery: np.ndarray, pids: np.ndarray, queries: int) -> list[float]:
    """Average precisions of the first ``queries``: one product for this direction, one sort per query."""
    similarity = query @ gallery.T
    precisions = []
    for row in range(queries):
        ranked = pids[np.argsort(-similarity[row], kind="stable")]
        matches = np.flatnonzero(ranked == pids[row])
        precisions.append(float(np.mean(np.arange(1, len(matches) + 1) / (matches + 1))))
    return precisions


def targets(options: Options) -> list[Target]:
    """Seconds of all splits; the loop runs on one and is multiplied."""
    dimensions, splits = (64, 2) if options.quick else (2048, SPLITS)
    features = regdb_like_features(dimensions)
    protocols = [load_protocol(name) for name in DIRECTIONS]
    evaluate_features(features, protocols)
    ours = timed(lambda: evaluate_features(dict.fromkeys(range(1, splits + 1), features), protocols))

    unit = features.features.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    half, pids = len(unit) // 2, np.repeat(np.arange(IDENTITIES), IMAGES)
    visible, infrared = unit[:half], unit[half:]
    loop = timed(
        lambda: [loop_over_queries(*sides, pids, queries=half) for sides in ((visible, infrared), (infrared, visible))]
    )
    what = f"{splits} RegDB splits, both directions, {dimensions}-d"
    hardware = cpu_hardware(options.threads)
    seconds, processor = loop.seconds * splits, loop.processor_seconds * splits
    return [
        Target(
            what,
            ours.seconds,
            "s",
            hardware,
            at_most=2.0,
            reference=f"NumPy loop over queries, from one split: {seconds:.1f} s ({seconds / ours.seconds:.1f} x)",
        ),
        Target(
            "the same, processor time of all threads",
            ours.processor_seconds,
            "s",
            hardware,
            reference=f"NumPy loop: {processor:.1f} s ({processor / ours.processor_seconds:.1f} x)",
        ),
    ]
