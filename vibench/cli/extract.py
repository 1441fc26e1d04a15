"""``vibench extract``: the test features of a run as a file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from vibench.cli.options import Amp, Deterministic, Device, MovedRoot, Tf32
from vibench.errors import UsageError


def extract(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of 'vibench train'.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The features file to write (.npz).")],
    trial: Annotated[int | None, typer.Option(help="Which trial of a run folder that holds several.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Data set to embed the test images of. Default: that RUN was trained on.")
    ] = None,
    root: MovedRoot = None,
    device: Device = "auto",
    amp: Amp = "auto",
    tf32: Tf32 = False,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile the network first; on CUDA, with graphs.")
    ] = False,
    deterministic: Deterministic = False,
) -> None:
    """Embed the test images of the data set that RUN was trained on, or of another; write their names and features.

    Beside 'features', the file holds the method's further features by name (of a two-stream network, for example,
    'pooled' and 'neck').

    Several processes share the images: torchrun --nproc-per-node 4 $(which vibench) extract ...

    Example: vibench extract runs/sysu-mm01/agw-s0 -o features.npz
    """
    from vibench.cli.console import err, out, progress
    from vibench.cli.joint import joint_processes
    from vibench.evaluation.features import write_features
    from vibench.files.places import keeping, require_writable
    from vibench.runtime.determinism import deterministic as repeatable
    from vibench.runtime.devices import resolve_device, resolve_precision
    from vibench.scoring.trained import models_of_run

    def place_tried() -> str:
        require_writable(output, "-o")
        return ""

    models = models_of_run(run, root, trial, dataset=dataset)
    if len(models) > 1:
        trials = ", ".join(str(model.split) for model in models)
        raise UsageError(f"{run}: holds the trials {trials}, and a features file one of them; name it with --trial.")
    with repeatable(deterministic), joint_processes(device) as world:
        world.from_leader(place_tried)
        place = resolve_device(world.device)
        _, extraction = models[0].extract(
            place,
            resolve_precision(amp, place, models[0].recipe.optimizer.precision, tf32),
            extras=True,
            compiled=compile_,
            progress=progress,
            world=world,
        )
    if not world.leads:
        return
    if lacking := models[0].test_split_lacks:
        err.print(
            f"attention: {models[0].root}: the test split of {models[0].dataset.name} {lacking}; complete the copy, or "
            "evaluate these features, unranked, with --allow-incomplete",
            soft_wrap=True,
            markup=False,
        )
    images, width = extraction.features.features.shape
    with keeping() as keep:
        keep(output, partial(write_features, features=extraction.features))
    out.print(
        f"{output}: {images} images × {width}, {extraction.images_per_second:.0f} images/s",
        soft_wrap=True,
        markup=False,
    )
