"""``vibench train``: train a method on a data set, or go on training a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vibench.cli.options import Amp, Deterministic, Device, Tf32
from vibench.errors import UsageError

if TYPE_CHECKING:
    from vibench.distributed.world import World
    from vibench.training.folder import RunFolder
    from vibench.training.spec import TrainingSpec

_RUN_OPTIONS = (
    "dataset",
    "variant",
    "trial",
    "set",
    "pretrained",
    "seed",
    "amp",
    "tf32",
    "compile",
    "out",
    "attributes",
    "heatmaps",
    "deterministic",
    "no_sync_batch_norm",
    "allow_incomplete",
)
"""What a run folder fixes: options that cannot stand beside --resume."""


def train(
    context: typer.Context,
    method: Annotated[
        str | None, typer.Argument(metavar="METHOD", help="A method of 'vibench methods'; not with --resume.")
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="sysu-mm01, regdb, llcm, hitsz-vcm, buptcampus, or a twin, as regdb-twin. "
            "Repeatable: several are one to train on.",
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            help="Its folder. Default: $VIBENCH_DATA/DATASET, else data/DATASET. Of several: the folder that holds "
            "them."
        ),
    ] = None,
    variant: Annotated[
        str, typer.Option(help="A variant that 'vibench methods METHOD' names. Default: the paper's own.")
    ] = "",
    trial: Annotated[str | None, typer.Option(help="RegDB: the split 1 to 10, or all of them. Default: 1.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe, such as schedule.epochs=40; repeatable."),
    ] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on training this run folder.")] = None,
    pretrained: Annotated[str, typer.Option(help="Start of the backbone: imagenet, none or a file.")] = "imagenet",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of everything random.")] = 0,
    device: Device = "auto",
    amp: Amp = "auto",
    tf32: Tf32 = False,
    compile_: Annotated[bool, typer.Option("--compile", help="Compile the losses; run and records say so.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Run folder. Default: in runs/DATASET, METHOD-VARIANT-sSEED.")
    ] = None,
    attributes: Annotated[
        Path | None, typer.Option(help="Attribute labels, of methods that need them. Default: those of the data set.")
    ] = None,
    heatmaps: Annotated[
        Path | None, typer.Option(help="Keypoint heatmaps, of methods that need them. Default: those of the data set.")
    ] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard events as well.")] = False,
    deterministic: Deterministic = False,
    no_sync_batch_norm: Annotated[
        bool,
        typer.Option(
            "--no-sync-batch-norm",
            help="On several processes: batch norm over each one's share, not over the whole batch as in one process.",
        ),
    ] = False,
    allow_incomplete: Annotated[
        bool,
        typer.Option(
            "--allow-incomplete", help="Train on a copy that lacks training images; run and records say so, unranked."
        ),
    ] = False,
) -> None:
    """Train METHOD and leave recipe, log, timing and checkpoint in a run folder.

    Ctrl-C saves and says how to go on; the result is the same, to the byte on a CPU, as without the interruption.

    Several processes share each batch by identity: torchrun --nproc-per-node 4 $(which vibench) train ...

    Example: vibench train agw --dataset sysu-mm01 --root /data/SYSU-MM01 --set schedule.epochs=40
    """
    from vibench.cli.console import err
    from vibench.cli.joint import joint_processes
    from vibench.datasets.joined import joined_name
    from vibench.training.folder import open_runs
    from vibench.training.prepare import removed_where_refused

    # Removed where the other processes have been told: until then they may be reading a folder.
    with removed_where_refused() as prepared, joint_processes(device) as world:
        if resume is not None:
            _refuse_run_options(context)
            runs = open_runs(resume)
            for run in runs:
                if method is not None and run.description().method != method:
                    raise UsageError(f"{run.path}: is a run of {run.description().method}, not of {method}.")
        else:
            if method is None or not dataset:
                missing = "METHOD" if method is None else "--dataset"
                raise UsageError(f"{missing} is missing; see 'vibench train --help', or go on with --resume RUN.")
            name = joined_name(dataset)
            specs = _specifications(
                method,
                name,
                root,
                variant,
                trial,
                set_ or [],
                seed=seed,
                amp=amp,
                tf32=tf32,
                pretrained=pretrained,
                out=out,
                attributes=attributes,
                heatmaps=heatmaps,
                compiled=compile_,
                deterministic=deterministic,
                sync_batch_norm=not no_sync_batch_norm,
                allow_incomplete=allow_incomplete,
            )
            if trial is None and specs[0].trial is not None:
                err.print(
                    f"note: {name} has ten train/test splits; this trains --trial 1 (--trial all: one model each)."
                )
            runs = _prepare(specs, world)
            if world.leads:
                prepared.extend(runs)
                _say_what_lacks(runs)
        _train(runs, world, root=root if resume else None, tensorboard=tensorboard)


def _prepare(specs: list[TrainingSpec], world: World) -> tuple[RunFolder, ...]:
    """The run folders, which the leading process alone writes."""
    from json import dumps, loads

    from vibench.training.folder import RunFolder
    from vibench.training.prepare import prepare

    def folders() -> str:
        return dumps([str(prepare(replace(spec, processes=world.size), device=world.device).path) for spec in specs])

    return tuple(RunFolder(Path(folder)) for folder in loads(world.from_leader(folders)))


def _say_what_lacks(runs: tuple[RunFolder, ...]) -> None:
    from vibench.cli.console import err

    for run in runs:
        begun = run.description()
        if begun.incomplete:
            trial = "" if begun.trial is None else f", trial {begun.trial}"
            said = f"note: the training split of {begun.dataset}{trial} {begun.incomplete}; the records will say so."
            err.print(said, soft_wrap=True, markup=False)


def _train(runs: tuple[RunFolder, ...], world: World, *, root: Path | None, tensorboard: bool) -> None:
    from vibench.cli.console import out, progress
    from vibench.training.interrupt import TrainingInterrupted
    from vibench.training.run import resume

    folder = runs[0].path if len(runs) == 1 else runs[0].path.parent
    for run in runs:
        try:
            resume(run, device=world.device, root=root, tensorboard=tensorboard, progress=progress, world=world)
        except TrainingInterrupted as stopped:
            if len(runs) == 1:
                raise
            raise TrainingInterrupted(f"{stopped}, or with all trials: vibench train --resume {folder}") from None
        if world.leads:
            _show(run)
    moved = "" if root is None else f" --root {root}"
    out.print(f"next: vibench eval {folder} {_next_test(runs)}{moved}", soft_wrap=True, markup=False)


def _specifications(
    method: str,
    dataset: str,
    root: Path | None,
    variant: str,
    trial: str | None,
    overrides: list[str],
    *,
    seed: int,
    amp: str,
    tf32: bool,
    pretrained: str,
    out: Path | None,
    attributes: Path | None,
    heatmaps: Path | None,
    compiled: bool,
    deterministic: bool,
    sync_batch_norm: bool,
    allow_incomplete: bool,
) -> list[TrainingSpec]:
    """One specification per trial asked for."""
    from vibench.datasets.joined import training_dataset
    from vibench.methods.recipe import load_recipe
    from vibench.training.spec import TrainingSpec, default_folder, trial_name

    splits = training_dataset(dataset).trials
    recipe = load_recipe(method, variant, dataset, overrides)

    def specification(number: int | None, folder: Path | None) -> TrainingSpec:
        return TrainingSpec(
            recipe,
            root,
            number,
            seed,
            amp,
            pretrained,
            folder,
            attributes,
            heatmaps,
            compiled,
            sync_batch_norm=sync_batch_norm,
            deterministic=deterministic,
            tf32=tf32,
            allow_incomplete=allow_incomplete,
        )

    if trial == "all" and splits > 1:
        parent = out or default_folder(recipe, seed)
        return [specification(number, parent / trial_name(number)) for number in range(1, splits + 1)]
    if trial is None:
        return [specification(1 if splits > 1 else None, out)]
    if not trial.isdecimal():
        raise UsageError(f"--trial {trial}: give the number of a train/test split of {dataset}, or 'all' for ten.")
    return [specification(int(trial), out)]


def _refuse_run_options(context: typer.Context) -> None:
    for parameter in context.command.params:
        key = parameter.name or ""
        source = context.get_parameter_source(key)
        name = key.rstrip("_")
        if name in _RUN_OPTIONS and source is not None and source.name == "COMMANDLINE":
            raise UsageError(
                f"--{name.replace('_', '-')} cannot be changed with --resume: the run folder fixes it; leave it out."
            )


def _next_test(runs: tuple[RunFolder, ...]) -> str:
    from vibench.datasets.joined import first_test
    from vibench.protocols import HEADLINE_PROTOCOLS

    trained = runs[0].description().dataset
    first = first_test(trained, len(runs))
    where = "" if first.name == trained else f"--dataset {first.name} "
    return f"{where}--protocol {HEADLINE_PROTOCOLS[first.layout]}"


def _show(run: RunFolder) -> None:
    from vibench.cli.console import out
    from vibench.training.log import read_log

    timing = run.timing()
    rows = read_log(run.log_path)
    loss = f"loss {rows[-1]['total']:.3f}, " if rows else ""
    out.print(
        f"{run.path}: {timing.epochs} epochs, {loss}{timing.train_seconds:.0f} s, "
        f"{timing.images_per_second:.0f} images/s, {100 * timing.data_wait:.1f} % waiting for data",
        soft_wrap=True,
        markup=False,
    )
