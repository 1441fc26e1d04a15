"""Profiles side by side: what methods cost, one table for each device, from ``profiles/*.json`` of the leaderboards."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from vibench.errors import UsageError
from vibench.leaderboard.cells import ABSENT
from vibench.leaderboard.footnotes import escaped
from vibench.profiling.profile import (
    TYPICAL_GALLERY,
    EmbeddingCost,
    GalleryCost,
    MatchingCost,
    Profile,
    TrainingCost,
    read_profile,
)

FOLDER = "profiles"
"""Below the leaderboards; `vibench profile --json` and sweeps write into it."""


@dataclass(frozen=True)
class Quantity:
    """One number of a profile."""

    name: str
    """As the head of a CSV column, with its unit."""
    title: str
    """As the head of a column for people."""
    digits: int
    value: Callable[[Profile], float | None]
    """None where it was not measured."""
    more_is_better: bool = False

    def text(self, profile: Profile) -> str:
        """As a cell shows it."""
        value = self.value(profile)
        return ABSENT if value is None else f"{value:,.{self.digits}f}"


def _of_embedding(choose: Callable[[EmbeddingCost], float]) -> Callable[[Profile], float | None]:
    return lambda profile: None if profile.embedding is None else choose(profile.embedding)


def _of_training(choose: Callable[[TrainingCost], float]) -> Callable[[Profile], float | None]:
    return lambda profile: None if profile.training is None else choose(profile.training)


def _of_matching(mode: str, choose: Callable[[MatchingCost], float | None]) -> Callable[[Profile], float | None]:
    def value(profile: Profile) -> float | None:
        costs = [cost for cost in profile.matching if cost.query_mode == mode]
        return choose(costs[0]) if costs else None

    return value


def _memory(extraction: bool, kind: str) -> Callable[[Profile], float | None]:
    """MiB of one kind, of the phase of training or of extraction that needs most."""

    def value(profile: Profile) -> float | None:
        phases = [phase for phase in profile.phases() if (phase.name == "extraction") == extraction]
        peaks = [getattr(phase.memory, kind) for phase in phases if phase.name != "matching"]
        known = [peak for peak in peaks if peak is not None]
        return max(known) / 2**20 if known else None

    return value


def _typical(cost: MatchingCost) -> float | None:
    """Milliseconds per query, where a gallery of the typical size was measured."""
    return cost.milliseconds_per_query(cost.typical) if cost.typical.rows == TYPICAL_GALLERY else None


def _largest(cost: MatchingCost) -> GalleryCost:
    return max(cost.galleries, key=lambda gallery: gallery.rows)


QUANTITIES = (
    Quantity("parameters_train_m", "M parameters, training", 2, lambda profile: profile.parameters_train / 1e6),
    Quantity("parameters_test_m", "M parameters, testing", 2, lambda profile: profile.parameters_test / 1e6),
    Quantity("embedding_size", "embedding size", 0, lambda profile: profile.embedding_size),
    Quantity("gflops_per_image", "GFLOPs per image", 2, _of_embedding(lambda cost: cost.flops_per_image / 1e9)),
    Quantity("latency_ms", "ms for one image", 2, _of_embedding(lambda cost: cost.latency.median)),
    Quantity(
        "extraction_images_per_second",
        "extraction, images/s",
        0,
        _of_embedding(lambda cost: cost.fastest.images_per_second),
        more_is_better=True,
    ),
    Quantity("step_images", "images per step", 0, _of_training(lambda cost: cost.images)),
    Quantity("step_gflops", "GFLOPs per step", 1, _of_training(lambda cost: cost.flops / 1e9)),
    Quantity("step_ms", "ms per step", 1, _of_training(lambda cost: cost.milliseconds)),
    Quantity(
        "training_images_per_second",
        "training, images/s",
        1,
        _of_training(lambda cost: cost.images_per_second),
        more_is_better=True,
    ),
    *(
        Quantity(f"{phase}_{kind}_mib", f"MiB {kind}, {phase}", 0, _memory(phase == "extraction", kind))
        for phase in ("training", "extraction")
        for kind in ("allocated", "reserved", "resident")
    ),
    *(
        quantity
        for mode in ("all", "single")
        for quantity in (
            Quantity(
                f"matching_{mode}_ms_per_query",
                f"ms to match a query with {TYPICAL_GALLERY:,} images, query mode {mode}",
                3,
                _of_matching(mode, _typical),
            ),
            Quantity(
                f"largest_gallery_{mode}",
                f"largest gallery, query mode {mode}",
                0,
                _of_matching(mode, lambda cost: _largest(cost).rows),
            ),
            Quantity(
                f"largest_gallery_{mode}_ms_per_query",
                f"ms to match a query with it, query mode {mode}",
                3,
                _of_matching(mode, lambda cost: cost.milliseconds_per_query(_largest(cost))),
            ),
        )
    ),
)


@dataclass(frozen=True)
class ProfileTable:
    """The profiles of one device, input size and precision, which alone compare."""

    title: str
    name: str
    """Fit for a file."""
    lines: tuple[tuple[str, Profile], ...]
    """Name of the profile's file, and what is in it, by method and variant."""

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """Those that at least one line has."""
        return tuple(
            quantity for quantity in QUANTITIES if any(quantity.value(profile) is not None for _, profile in self.lines)
        )


def read_profile_tables(leaderboards: Path) -> tuple[list[ProfileTable], list[str]]:
    """The tables of a leaderboards folder, by title, and a sentence for each file that is no sound profile."""
    groups: dict[tuple[str, str, str], list[tuple[str, Profile]]] = {}
    problems = []
    for path in sorted((Path(leaderboards) / FOLDER).glob("*.json")):
        try:
            profile = read_profile(path)
        except UsageError as error:
            problems.append(str(error))
            continue
        groups.setdefault((_device(profile), profile.input, profile.precision), []).append((path.name, profile))
    tables = []
    for (device, size, precision), lines in sorted(groups.items()):
        lines.sort(key=lambda line: (line[1].method, line[1].variant, line[1].dataset, line[0]))
        name = re.sub(r"[^a-z0-9]+", "-", f"{device} {size} {precision}".lower()).strip("-")
        tables.append(ProfileTable(f"{device}, {size}, {precision}", name, tuple(lines)))
    return tables, problems


def profiles_csv(table: ProfileTable) -> str:
    """A table for machines; a cell is empty where nothing was measured."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    quantities = table.quantities
    writer.writerow(
        ["method", "variant", "dataset", "device", "input", "precision"]
        + [quantity.name for quantity in quantities]
        + ["profile"]
    )
    for file, profile in table.lines:
        values = [quantity.value(profile) for quantity in quantities]
        writer.writerow(
            [profile.method, profile.variant, profile.dataset, _device(profile), profile.input, profile.precision]
            + ["" if value is None else f"{value:.6g}" for value in values]
            + [file]
        )
    return text.getvalue()


def profiles_markdown(table: ProfileTable) -> str:
    """A table for people."""
    from tabulate import tabulate

    quantities = table.quantities
    lines = [
        [escaped(profile.label), escaped(profile.dataset)]
        + [quantity.text(profile) for quantity in quantities]
        + [f"[{escaped(file)}]({quote(file)})"]
        for file, profile in table.lines
    ]
    rendered = tabulate(
        lines,
        ["method", "recipe of", *(quantity.title for quantity in quantities), "profile"],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=("left", "left", *("right" for _ in quantities), "left"),
    )
    return f"# Profiles on {escaped(table.title)}\n\n{READING}\n\n{rendered}\n"


READING = (
    "Medians of repeated runs on noise that is on the device already: nothing here depends on weights or images. "
    "A step is one batch of the recipe's sampler; a multiply-accumulate counts as two operations. Memory is the peak "
    "of the dearest phase; resident memory is that of the whole process."
)


def _device(profile: Profile) -> str:
    """The device, and on a CPU the threads, without which its name says little."""
    if profile.environment.gpu:
        return profile.device
    return f"{profile.device}, {profile.threads} thread{'' if profile.threads == 1 else 's'}"
