"""Docstrings of commands as typer's help shows them well on a terminal of any width."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable


def prose(command: Callable[..., None]) -> str:
    """The command's docstring, each paragraph on one line, so that the terminal alone breaks lines.

    Brackets stay brackets: typer reads help as rich's markup, in which ``[sweep]`` would be a style.
    """
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return re.sub(r"\[(?=[a-z#/@])", r"\\[", text)
