"""A profile without a measurement."""

from __future__ import annotations

from vibench.profiling.latency import Duration
from vibench.profiling.profile import (
    SCHEMA_VERSION,
    BatchCost,
    EmbeddingCost,
    GalleryCost,
    MatchingCost,
    PhaseCost,
    Profile,
    TrainingCost,
)
from vibench.runtime.environment import Environment
from vibench.runtime.memory import PeakMemory

MIB = 2**20


def duration(median: float) -> Duration:
    return Duration(median, 0.9 * median, 1.2 * median, 7)


def gpu_memory(mebibytes: int) -> PeakMemory:
    return PeakMemory(allocated=mebibytes * MIB, reserved=2 * mebibytes * MIB)


def make_profile() -> Profile:
    """Of a transductive method on a GPU, every part measured."""
    phases = (("forward", 40.0, 30), ("backward", 80.0, 50), ("optimiser", 4.0, 20), ("adversary", 5.0, 10))
    batches = ((1, 8.0), (2, 8.0), (4, 10.0), (8, 24.0))
    galleries = ((1_000, 16.0), (10_000, 64.0), (100_000, 640.0))
    return Profile(
        schema_version=SCHEMA_VERSION,
        method="toy",
        variant="v",
        dataset="sysu-mm01",
        input="288x144",
        precision="bf16",
        device="GPU A",
        threads=4,
        parameters_train=30_000_000,
        parameters_test=20_000_000,
        embedding_size=2048,
        environment=Environment(gpu="GPU A"),
        embedding=EmbeddingCost(
            10**10,
            tuple(BatchCost(images, duration(median), gpu_memory(images)) for images, median in batches),
            "plateau",
        ),
        training=TrainingCost(
            64,
            tuple(
                PhaseCost(name, 10**9 * size, duration(median), gpu_memory(size))  # type: ignore[arg-type]
                for name, median, size in phases
            ),
        ),
        matching=tuple(
            MatchingCost(
                "method",
                mode,  # type: ignore[arg-type]
                64,
                False,
                tuple(GalleryCost(rows, duration(slower * median), gpu_memory(9)) for rows, median in galleries),
                "a gallery of 300,000 rows does not fit into the memory of the device",
            )
            for mode, slower in (("all", 1.0), ("single", 30.0))
        ),
    )
