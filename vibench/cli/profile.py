"""``vibench profile``: what embedding an image costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from vibench.profiling.profile import Profile


def profile(
    target: Annotated[str, typer.Argument(metavar="METHOD|RUN", help="A method, a run folder or a checkpoint file.")],
    dataset: Annotated[str, typer.Option("--dataset", help="Recipe of which data set; default sysu-mm01.")] = "",
    variant: Annotated[str, typer.Option("--variant", help="Variant of the method.")] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override the recipe; repeatable.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    amp: Annotated[str, typer.Option("--amp", help="Precision: auto, off, bf16 or fp16.")] = "auto",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Batch size of the throughput.")] = 64,
    json_: Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Write the profile as JSON.")] = None,
) -> None:
    """Measure parameters, FLOPs, latency, throughput and peak memory of embedding images.

    A method by name is built from its recipe with random weights: no data set and no training is needed.

    Example: vibench profile agw --device cpu --json agw.json
    """
    from dataclasses import asdict

    from vibench.cli.console import out, progress
    from vibench.devices import resolve_device, resolve_precision
    from vibench.files import write_json
    from vibench.profiling.profile import profile_method
    from vibench.profiling.target import load_target

    where = resolve_device(device)
    precision = resolve_precision(amp, where)
    method = load_target(target, variant=variant, dataset=dataset, overrides=set_ or ())
    measured = profile_method(method, where, precision, batch=batch, progress=progress)
    out.print(_table(measured))
    if json_ is not None:
        write_json(json_, {**asdict(measured), "images_per_second": measured.images_per_second})


def _table(measured: Profile) -> Table:
    from rich.markup import escape
    from rich.table import Table

    latency, batch, memory = measured.latency, measured.batch_duration, measured.memory
    lines = [
        ("input, precision, device", f"{measured.input}, {measured.precision}, {measured.device}"),
        ("parameters in training", f"{measured.parameters_train / 1e6:.2f} M"),
        ("parameters in testing", f"{measured.parameters_test / 1e6:.2f} M"),
        ("GFLOPs per image", f"{measured.flops_per_image / 1e9:.2f} (2 per multiply-accumulate)"),
        ("embedding size", str(measured.embedding_size)),
        (
            "latency, batch 1",
            f"{latency.median:.2f} ms (quartiles {latency.lower_quartile:.2f} to {latency.upper_quartile:.2f}, "
            f"{latency.repetitions} runs)",
        ),
        (
            f"throughput, batch {measured.throughput_batch}",
            f"{measured.images_per_second:.1f} images/s (batch {batch.median:.1f} ms, quartiles "
            f"{batch.lower_quartile:.1f} to {batch.upper_quartile:.1f}, {batch.repetitions} runs)",
        ),
    ]
    for title, size in (
        ("peak memory, allocated", memory.allocated),
        ("peak memory, reserved", memory.reserved),
        ("peak memory, resident", memory.resident),
    ):
        if size is not None:
            lines.append((title, f"{size / 2**20:.0f} MiB"))
    table = Table(title=f"{measured.method} {measured.variant}".strip(), show_header=False, title_justify="left")
    for name, value in lines:
        table.add_row(name, escape(value))
    return table
