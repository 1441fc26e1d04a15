"""The network of a method that small machines can train."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

from vibench.nn.backbone import SLIM


def slim_backbone(options: type[Any]) -> str | None:
    """The slim choice for the key ``backbone`` of a method's ``options``, whatever its family; None without one."""
    choices = get_args(get_type_hints(options).get("backbone"))
    return next((name for name in SLIM if name in choices), None)
