"""``vibench import``: make a vibench checkpoint of an official one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def import_(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="The method that the checkpoint is of.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint that the authors' code has written.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The vibench checkpoint to write.")],
    variant: Annotated[str, typer.Option(help="The variant that it is of.")] = "",
    dataset: Annotated[str, typer.Option(help="The data set that it was trained on.")] = "sysu-mm01",
    root: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the data set, which tells the training identities (SYSU-MM01's are known without)."
        ),
    ] = None,
    trial: Annotated[
        int | None, typer.Option(help="RegDB: the split it was trained on, 1 to 10, if the file does not say.")
    ] = None,
    key: Annotated[
        str, typer.Option(help="Which weights of FILE, such as ema, where it holds several; dots lead inwards.")
    ] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting that the file does not carry.")
    ] = None,
) -> None:
    """Convert the official checkpoint FILE of METHOD into a vibench checkpoint, running no code that is in it.

    Example: vibench import agw sysu_agw_p4_n8_lr_0.1_seed_0_best.t -o agw.pt
    """
    from vibench.cli.console import out as console
    from vibench.datasets.registry import get_dataset
    from vibench.files.places import require_writable
    from vibench.methods.recipe import toml_value
    from vibench.protocols import HEADLINE_PROTOCOLS
    from vibench.training.official import import_official

    require_writable(out, "--out")
    made = import_official(
        method, file, out, variant=variant, dataset=dataset, root=root, trial=trial, overrides=set_ or [], key=key
    )
    checkpoint = made.checkpoint
    split = "" if checkpoint.trial is None else f" trial {checkpoint.trial}"
    what = " ".join(part for part in (checkpoint.method, checkpoint.variant) if part)
    lines = [f"{out}: {what} on {checkpoint.dataset}{split}, {checkpoint.num_classes} training identities"]
    if checkpoint.epoch:
        lines[0] += f", {checkpoint.epoch} epochs"
    if made.file.metrics:
        stated = ", ".join(f"{name} {100 * value:.2f} %" for name, value in made.file.metrics.items())
        lines.append(f"its authors' test printed: {stated}")
    taken = ", ".join(f"{key}={toml_value(value)}" for key, value in made.settings.items())
    lines.append(f"not in the file, so taken from the recipe (change with --set): {taken}")
    lines.extend(f"note: {note}" for note in made.notes)
    if not checkpoint.train_pids:
        remedy = "; --root names a copy of the data set" if root is None else ""
        lines.append(
            f"note: which identities it was trained on is unknown, so that testing on them cannot be refused{remedy}"
        )
    where = "" if root is None else f" --root {root}"
    protocol = HEADLINE_PROTOCOLS[get_dataset(checkpoint.dataset).layout]
    lines.append(f"next: vibench eval --method {method} --checkpoint {out}{where} --protocol {protocol}")
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)
