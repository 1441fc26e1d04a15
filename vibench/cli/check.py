"""``vibench check``: does a method do what vibench asks of every method?"""

from __future__ import annotations

from typing import Annotated

import typer

from vibench.cli.options import Device
from vibench.errors import VibenchError

_MARKS = {"passed": "[green]ok[/]    ", "failed": "[bold red]wrong[/] ", "not reached": "[dim]-[/]     "}


def check(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="A registered method, or one of a --plugin.")],
    variant: Annotated[str | None, typer.Option(help="Only this variant. Default: all of them.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe; repeatable.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Check METHOD's losses, gradients, embeddings and states, then train, evaluate and profile it on a tiny twin.

    Networks and images are small and the twin lies in a temporary folder: it takes seconds and leaves nothing. Exit
    code 1 says that something is wrong.

    Example: vibench check my-method --plugin my_method
    """
    from rich.markup import escape

    from vibench.cli.console import out, progress
    from vibench.conformance.check import check_method

    findings = []
    for finding in check_method(method, variant, set_ or (), device, progress):
        findings.append(finding)
        out.print(f"{_MARKS[finding.outcome]}{finding.title:<17} {escape(finding.text)}".rstrip(), soft_wrap=True)
    failed = [finding.title for finding in findings if finding.outcome == "failed"]
    if failed:
        raise VibenchError(f"{method} is not ready: put right {', '.join(failed)}, then check it again.")
    out.print(f"{method} does all that vibench asks of a method", soft_wrap=True, markup=False)
