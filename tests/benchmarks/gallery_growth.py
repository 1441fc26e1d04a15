"""What a hundred queries cost as the gallery grows to a million images: ranked in chunks, no matrix of all scores."""

from __future__ import annotations

import numpy as np

from tests.benchmarks.target import Options, Target, cpu_hardware
from tests.benchmarks.timing import peak_gibibytes, timed
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features
from vibench.protocols import load_protocol

QUERIES, DIMENSIONS, IMAGES = 100, 128, 10
SIZES = (1_000, 10_000, 100_000, 1_000_000)


def features_of(gallery: int) -> Features:
    """Random features of `QUERIES` visible and ``gallery`` infrared images, `IMAGES` of each identity."""
    generator = np.random.default_rng(0)
    pids = np.concatenate([np.arange(QUERIES) % (gallery // IMAGES), np.arange(gallery) // IMAGES])
    modalities = np.repeat(["visible", "infrared"], [QUERIES, gallery])
    values = generator.standard_normal((len(pids), DIMENSIONS), dtype=np.float32)
    return Features(values, None, pids, np.where(modalities == "visible", 1, 2), modalities)


def targets(options: Options) -> list[Target]:
    """One row per gallery size, in ascending order, since the peak memory of a process never falls."""
    protocols = [load_protocol("regdb-v2t")]
    hardware = cpu_hardware(options.threads)
    evaluate_features(features_of(SIZES[0]), protocols, dataset="regdb-twin")
    start = peak_gibibytes()
    found = []
    for size in SIZES[:2] if options.quick else SIZES:
        features = features_of(size)
        took = timed(lambda features=features: evaluate_features(features, protocols, dataset="regdb-twin"))
        matrix = 8 * QUERIES * size / 2**30
        found.append(
            Target(
                f"{QUERIES} queries, gallery of {size:,}, {DIMENSIONS}-d",
                took.seconds,
                "s",
                hardware,
                at_most=4.0 if size == SIZES[-1] else None,
                note=f"{took.processor_seconds:.2f} s of processor time; {peak_gibibytes():.2f} GiB resident, "
                f"{start:.2f} before; the features take {features.features.nbytes / 2**30:.2f}, all scores "
                f"would take {matrix:.2f}",
            )
        )
    return found
