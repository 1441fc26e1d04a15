"""``vibench doctor``: what is this, what can be done with it, and what looks wrong?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vibench.cli.options import DatasetRoot

if TYPE_CHECKING:
    from vibench.doctor.diagnosis import Diagnosis

_COLOURS = {"wrong": "bold red", "doubtful": "yellow", "note": "dim"}


def doctor(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|FOLDER",
            help="Features, scores, a checkpoint, a run, a data set's folder, a record or a log of a training.",
        ),
    ],
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", help="Data set, where neither the file nor names say it.")
    ] = None,
    root: DatasetRoot = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="The protocol that it is said to be of, such as regdb-v2t.")
    ] = None,
    trial: Annotated[
        int | None, typer.Option("--trial", min=1, help="The train/test split of RegDB that it is said to be of.")
    ] = None,
    draw: Annotated[
        str | None, typer.Option("--draw", help="The draw it is said to be of: seeded or official.")
    ] = None,
    perm: Annotated[
        Path | None, typer.Option("--perm", help="File of the official draws. Default: that of the data set.")
    ] = None,
    gallery: Annotated[
        Path | None, typer.Option("--gallery", help="The gallery's features, where FILE holds the queries alone.")
    ] = None,
    names: Annotated[
        list[Path] | None, typer.Option("--names", help="File that names the images of features; then of --gallery.")
    ] = None,
    json: Annotated[
        str | None, typer.Option("--json", metavar="OUT", help="Write the diagnosis as JSON; - prints it alone.")
    ] = None,
) -> None:
    """Say what FILE or FOLDER is, what can be done with it, and what looks wrong: each finding with its evidence.

    What is said about it by options or by its name is held against what is in it. No code of a file is run, and nothing
    is changed. The exit code is 0 where it is known what it is, whatever was found, and 2 where it is nothing known.

    Example: vibench doctor features.npz --protocol regdb-v2t --trial 3 --root ~/RegDB
    """
    from functools import partial
    from json import dumps

    from vibench.cli.console import progress
    from vibench.doctor.diagnosis import Claims
    from vibench.doctor.recognise import diagnose
    from vibench.files.places import keeping, require_writable
    from vibench.files.writing import write_json

    file = None if json in (None, "-") else Path(str(json))
    if file is not None:
        require_writable(file, "--json")
    claims = Claims(dataset, root, protocol, trial, draw, perm, gallery, tuple(names or ()))
    diagnosis = diagnose(path, claims, progress)
    if json == "-":
        typer.echo(dumps(diagnosis.to_dict(), indent=2))
        return
    _show(diagnosis)
    if file is not None:
        with keeping() as keep:
            keep(file, partial(write_json, value=diagnosis.to_dict()))


def _show(diagnosis: Diagnosis) -> None:
    from rich.markup import escape
    from rich.table import Table

    from vibench.cli.console import out, show

    out.print(f"{diagnosis.path}: {diagnosis.kind}", soft_wrap=True, markup=False)
    facts = Table(show_header=False, box=None, pad_edge=False)
    for name, value in diagnosis.facts.items():
        facts.add_row(f"[dim]{escape(name)}[/]", escape(value))
    if diagnosis.facts:
        show(facts)
    findings = diagnosis.ordered()
    for finding in findings:
        colour = _COLOURS[finding.severity]
        out.print(f"\n[{colour}]{finding.severity}[/]: {escape(finding.what)}", soft_wrap=True)
        out.print(f"  {finding.evidence}", soft_wrap=True, markup=False)
        out.print(f"  -> {finding.remedy}", soft_wrap=True, markup=False)
    serious = [finding for finding in findings if finding.severity != "note"]
    out.print("" if serious else "\n[green]nothing looks wrong[/]", soft_wrap=True)
    for action in diagnosis.actions:
        out.print(f"next: {action}", soft_wrap=True, markup=False)
