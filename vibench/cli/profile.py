"""``vibench profile``: what training, embedding and matching cost."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from vibench.cli.options import Amp, Device, Tf32


def profile(
    target: Annotated[str, typer.Argument(metavar="METHOD|RUN", help="A method, a run folder or a checkpoint file.")],
    dataset: Annotated[
        str, typer.Option("--dataset", help="Whose recipe to build METHOD from. Default: sysu-mm01.")
    ] = "",
    variant: Annotated[str, typer.Option("--variant", help="Variant of METHOD.")] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe, such as input.height=384; repeatable."),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option("--part", help="Measure only this: embedding, training or matching; repeatable. Default: all."),
    ] = None,
    device: Device = "auto",
    amp: Amp = "auto",
    tf32: Tf32 = False,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.0, help="Seconds that each single timing may take.")
    ] = 5.0,
    max_batch: Annotated[
        int, typer.Option("--max-batch", min=1, help="Largest batch that the throughput is measured with.")
    ] = 4096,
    json_: Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Write the profile as JSON.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="OUT", help="Draw the profile as PNG.")] = None,
) -> None:
    """Measure parameters, FLOPs, time and peak memory of a training step, of embedding images and of matching them.

    A method by name is built from its recipe with random weights: no data set and no training is needed.

    Example: vibench profile agw --device cuda --json agw.json --plot agw.png
    """
    from vibench.profiling.profile import resolve_parts, write_profile

    parts = resolve_parts(part or ())

    from vibench.cli.console import progress, show
    from vibench.cli.profile_tables import profile_tables
    from vibench.files.places import keeping, require_writable
    from vibench.pictures.figure import require_matplotlib, write_figure
    from vibench.profiling.measure import profile_method
    from vibench.profiling.picture import profile_figure
    from vibench.profiling.target import load_target
    from vibench.runtime.devices import resolve_device, resolve_precision

    if json_ is not None:
        require_writable(json_, "--json")
    if plot is not None:
        require_matplotlib()
        require_writable(plot, "--plot")
    where = resolve_device(device)
    method = load_target(target, variant=variant, dataset=dataset, overrides=set_ or ())
    precision = resolve_precision(amp, where, method.recipe.optimizer.precision, tf32)
    measured = profile_method(
        method, where, precision, parts=parts, seconds=seconds, largest_batch=max_batch, progress=progress
    )
    for shown in profile_tables(measured):
        show(shown)
    with keeping() as keep:
        if json_ is not None:
            keep(json_, partial(write_profile, profile=measured))
        if plot is not None:
            keep(plot, partial(write_figure, figure=profile_figure(measured)))
