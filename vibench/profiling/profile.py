"""The profile of a method: what training, embedding and matching cost on one device, as one JSON file.

Reading and writing profiles needs no PyTorch; `vibench.profiling.measure` makes them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vibench.errors import UsageError, suggestion
from vibench.files.json_table import read_json, without_none
from vibench.files.toml import parse_table
from vibench.files.writing import write_json
from vibench.profiling.latency import Duration
from vibench.records.schema import figure_problem
from vibench.runtime.environment import Environment
from vibench.runtime.memory import PeakMemory

SCHEMA_VERSION = 1

PARTS = ("embedding", "training", "matching")
"""What can be measured or left out; parameters are always counted."""

Phase = Literal["forward", "backward", "optimiser", "adversary", "extraction", "matching"]

TYPICAL_GALLERY = 10_000
"""Rows of the gallery whose matching stands for the phase: about those of a large benchmark."""


@dataclass(frozen=True)
class PhaseCost:
    """One phase of the work, as often repeated as its duration says."""

    name: Phase
    flops: int | None
    """Operations (`vibench.profiling.flops`); None where they were not counted."""
    duration: Duration
    memory: PeakMemory


@dataclass(frozen=True)
class BatchCost:
    """Embedding batches of one size."""

    images: int
    duration: Duration
    memory: PeakMemory

    @property
    def images_per_second(self) -> float:
        """Throughput at the median duration."""
        return 1000.0 * self.images / self.duration.median


@dataclass(frozen=True)
class EmbeddingCost:
    """Embedding images that are on the device already."""

    flops_per_image: int
    batches: tuple[BatchCost, ...]
    """Of 1, 2, 4, ... images."""
    ended: Literal["plateau", "memory", "time", "limit"]
    """Why the next size was not measured: doubling had brought less than 5 %, it does not fit, would take too long,
    or is larger than was asked for."""

    @property
    def latency(self) -> Duration:
        """Milliseconds for one image."""
        return self.batches[0].duration

    @property
    def fastest(self) -> BatchCost:
        """The batch size of the highest throughput."""
        return max(self.batches, key=lambda batch: batch.images_per_second)


@dataclass(frozen=True)
class TrainingCost:
    """One training step on a batch of noise that is on the device already."""

    images: int
    """Of the recipe's sampler, every view counted."""
    phases: tuple[PhaseCost, ...]
    """``forward`` with all losses, ``backward``, ``optimiser``, and, where the method has adversaries, their step."""

    @property
    def milliseconds(self) -> float:
        """Of a step, from the medians of its phases."""
        return math.fsum(phase.duration.median for phase in self.phases)

    @property
    def images_per_second(self) -> float:
        """Throughput at that duration."""
        return 1000.0 * self.images / self.milliseconds

    @property
    def flops(self) -> int:
        """Operations of a step."""
        return sum(phase.flops or 0 for phase in self.phases)


@dataclass(frozen=True)
class GalleryCost:
    """Matching a block of queries with a gallery of one size."""

    rows: int
    duration: Duration
    memory: PeakMemory


@dataclass(frozen=True)
class MatchingCost:
    """Distances of queries to a growing gallery of synthetic features, and the nearest images of each."""

    distance: str
    """``cosine``, ``euclidean``, or ``method`` for a distance of the method's own."""
    query_mode: Literal["all", "single"]
    queries: int
    """Queries of a block, which are matched together."""
    chunked: bool
    """The gallery passes in chunks; else every distance depends on all of it, and it is there at once."""
    galleries: tuple[GalleryCost, ...]
    left_out: str
    """Why there is no larger gallery; empty where the largest asked for was measured."""

    @property
    def typical(self) -> GalleryCost:
        """The gallery nearest to `TYPICAL_GALLERY` rows."""
        return min(self.galleries, key=lambda gallery: abs(gallery.rows - TYPICAL_GALLERY))

    def milliseconds_per_query(self, gallery: GalleryCost) -> float:
        """At the median duration of a block of queries."""
        return gallery.duration.median / self.queries


@dataclass(frozen=True)
class Profile:
    """What a method costs on one device. Nothing here depends on the values of the weights."""

    schema_version: int
    method: str
    variant: str
    dataset: str
    """Whose recipe was profiled."""
    input: str
    """Height and width, such as ``288x144``."""
    precision: str
    """Of the network; distances are computed in float32."""
    device: str
    """GPU or CPU model."""
    threads: int
    """CPU threads of PyTorch."""
    parameters_train: int
    parameters_test: int
    embedding_size: int
    environment: Environment
    embedding: EmbeddingCost | None = None
    training: TrainingCost | None = None
    matching: tuple[MatchingCost, ...] = ()

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise ValueError(problem)

    @property
    def label(self) -> str:
        """Method and variant."""
        return f"{self.method} {self.variant}".strip()

    def phases(self) -> list[PhaseCost]:
        """Everything measured as phases, in the order of an experiment.

        Extraction is a batch of the fastest size; matching, a block of queries with a gallery of about
        `TYPICAL_GALLERY` rows.
        """
        found = list(self.training.phases) if self.training else []
        if self.embedding:
            batch = self.embedding.fastest
            flops = batch.images * self.embedding.flops_per_image
            found.append(PhaseCost("extraction", flops, batch.duration, batch.memory))
        if self.matching:
            gallery = self.matching[0].typical
            found.append(PhaseCost("matching", None, gallery.duration, gallery.memory))
        return found


def resolve_parts(names: Sequence[str]) -> tuple[str, ...]:
    """The parts of that name, all for none; `UsageError` with a suggestion for an unknown one."""
    for name in names:
        if name not in PARTS:
            raise UsageError(
                f"--part {name}: there is no such part{suggestion(name, PARTS)}; choose {', '.join(PARTS)}."
            )
    return tuple(part for part in PARTS if part in names) or PARTS


def write_profile(path: Path, profile: Profile) -> None:
    """Write a profile as JSON, atomically."""
    write_json(path, dataclasses.asdict(profile))


def read_profile(path: Path) -> Profile:
    """A profile that `write_profile` wrote; `UsageError` names the file and what is wrong with it."""
    content = read_json(path)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UsageError(f"{path}: is no profile (a JSON object with a 'schema_version' from 1).")
    if version > SCHEMA_VERSION:
        shown = version if version < 10**9 else "above 10^9"
        raise UsageError(f"{path}: has schema version {shown}, this vibench reads {SCHEMA_VERSION}; upgrade it.")
    try:
        return parse_table(Profile, without_none(content), str(path))
    except RecursionError:
        raise UsageError(f"{path}: is no profile; it is nested too deeply.") from None


def _problem(profile: Profile) -> str:
    """What makes a profile's content impossible, as the rest of a sentence; empty for a sound one."""
    for name in ("method", "dataset", "input", "precision", "device"):
        text = getattr(profile, name)
        if not text or not text.isprintable():
            return f"'{name}' must be a printable text, not {text!r}."
    for name, value in _numbers(dataclasses.asdict(profile)):
        if problem := figure_problem(name, value):
            return problem
        if name.endswith(".median") and value == 0:
            return f"'{name}' must be above 0."
    if profile.embedding and [batch.images for batch in profile.embedding.batches[:1]] != [1]:
        return "'embedding.batches' must begin with a batch of one image."
    if profile.training and not profile.training.phases:
        return "'training.phases' is empty."
    if any(not cost.galleries or cost.queries < 1 for cost in profile.matching):
        return "'matching' has no gallery, or no query."
    return ""


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number below a value, with the path to it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, f"{name}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for at, item in enumerate(value):
            yield from _numbers(item, f"{name}[{at}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, value
