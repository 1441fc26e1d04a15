"""A profile as tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from vibench.profiling.latency import Duration
    from vibench.profiling.profile import EmbeddingCost, MatchingCost, Profile
    from vibench.runtime.memory import PeakMemory

_ENDED = {
    "plateau": "twice as many brought less than 5 %",
    "memory": "twice as many do not fit into memory",
    "time": "twice as many would take too long",
    "limit": "more were not asked for",
}
_MEMORY = {"allocated": "allocated MiB", "reserved": "reserved MiB", "resident": "resident MiB"}


def profile_tables(profile: Profile) -> Iterator[Table | str]:
    """Tables and sentences, in the order in which they are shown."""
    yield _summary(profile)
    if profile.phases():
        yield _phases(profile)
    if profile.embedding:
        yield _batches(profile.embedding)
        yield f"Larger batches are left out: {_ENDED[profile.embedding.ended]}."
    if profile.matching:
        yield _galleries(profile.matching)
        for cost in profile.matching:
            if cost.left_out:
                yield f"Larger galleries are left out (query mode {cost.query_mode}): {cost.left_out}."


def _summary(profile: Profile) -> Table:
    table = Table(title=profile.label, show_header=False, title_justify="left")
    lines = [
        ("recipe, input, precision", f"{profile.dataset}, {profile.input}, {profile.precision}"),
        ("device", profile.device + ("" if profile.environment.gpu else f", {profile.threads} threads")),
        ("parameters in training", f"{profile.parameters_train / 1e6:.2f} M"),
        ("parameters in testing", f"{profile.parameters_test / 1e6:.2f} M"),
        ("embedding size", str(profile.embedding_size)),
    ]
    if profile.training:
        step = profile.training
        lines.append(
            (
                "training step",
                f"{step.images} images, {_giga(step.flops)} GFLOPs, {step.milliseconds:.1f} ms, "
                f"{step.images_per_second:.1f} images/s",
            )
        )
    if profile.embedding:
        cost, batch = profile.embedding, profile.embedding.fastest
        lines += [
            ("GFLOPs per test image", f"{_giga(cost.flops_per_image)} (2 per multiply-accumulate)"),
            ("latency, batch 1", f"{_spread(cost.latency)} ms"),
            ("throughput", f"{batch.images_per_second:.1f} images/s in batches of {batch.images}"),
        ]
    for name, value in lines:
        table.add_row(name, escape(value))
    return table


def _phases(profile: Profile) -> Table:
    table = Table(title="Phases", title_justify="left")
    table.add_column("phase")
    for title in ("ms", "GFLOPs", *_titles([phase.memory for phase in profile.phases()])):
        table.add_column(title, justify="right")
    for phase in profile.phases():
        flops = "–" if phase.flops is None else _giga(phase.flops)
        table.add_row(_work(profile, phase.name), _spread(phase.duration), flops, *_sizes(phase.memory))
    return table


def _work(profile: Profile, phase: str) -> str:
    """A phase and what one repetition of it does."""
    if phase == "extraction" and profile.embedding:
        return f"extraction of {profile.embedding.fastest.images} images"
    if phase == "matching":
        cost = profile.matching[0]
        return f"matching {cost.queries} queries with {cost.typical.rows:,} rows"
    return phase


def _batches(cost: EmbeddingCost) -> Table:
    table = Table(title="Throughput", title_justify="left")
    for title in ("batch", "ms", "images/s", *_titles([batch.memory for batch in cost.batches])):
        table.add_column(title, justify="right")
    for batch in cost.batches:
        speed = f"{batch.images_per_second:.1f}"
        table.add_row(str(batch.images), _spread(batch.duration), speed, *_sizes(batch.memory))
    return table


def _galleries(costs: tuple[MatchingCost, ...]) -> Table:
    first = costs[0]
    passes = "in chunks" if first.chunked else "all of it at once"
    table = Table(
        title=f"Matching by {first.distance} distance, {first.queries} queries a block, gallery {passes}",
        title_justify="left",
    )
    for title in ("query mode", "gallery rows", "ms per query", *_titles([one.memory for one in first.galleries])):
        table.add_column(title, justify="right")
    for cost in costs:
        for gallery in cost.galleries:
            per_query = f"{cost.milliseconds_per_query(gallery):.4g}"
            table.add_row(cost.query_mode, f"{gallery.rows:,}", per_query, *_sizes(gallery.memory))
    return table


def _titles(peaks: list[PeakMemory]) -> list[str]:
    """Of the kinds of memory that were measured; every peak of a profile has the same."""
    return [title for kind, title in _MEMORY.items() if getattr(peaks[0], kind) is not None]


def _sizes(peak: PeakMemory) -> list[str]:
    return [f"{size / 2**20:.0f}" for kind in _MEMORY if (size := getattr(peak, kind)) is not None]


def _spread(duration: Duration) -> str:
    if duration.repetitions == 1:
        return f"{duration.median:.2f}"
    return f"{duration.median:.2f} ({duration.lower_quartile:.2f} to {duration.upper_quartile:.2f})"


def _giga(flops: int) -> str:
    return f"{flops / 1e9:.2f}"
