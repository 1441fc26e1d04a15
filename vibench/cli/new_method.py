"""``vibench new-method``: the folder that a method of one's own starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new_method(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as my-method; its folder is my_method.")],
    out: Annotated[Path, typer.Option(help="The folder to write it into.")] = Path(),
) -> None:
    """Write a folder with a minimal method that runs, its recipe and its test, for you to change.

    Example: vibench new-method my-method
    """
    from vibench.cli.console import out as console
    from vibench.scaffold.new_method import write_new_method

    folder = write_new_method(name, out)
    for file in sorted(folder.iterdir()):
        console.print(str(file), soft_wrap=True, markup=False)
    console.print(
        f"next: vibench check {folder.name.replace('_', '-')} --plugin {folder}, then change the lines marked CHANGE",
        soft_wrap=True,
        markup=False,
    )
