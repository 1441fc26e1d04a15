"""The network that a method has among several: the slim one for small machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args, get_type_hints

from vibench.nn.backbone import SLIM


def backbone_among(options: type[Any], names: Sequence[str]) -> str | None:
    """The first of ``names``, one of each family, that the key ``backbone`` of a method's ``options`` may have."""
    choices = get_args(get_type_hints(options).get("backbone"))
    return next((name for name in names if name in choices), None)


def slim_backbone(options: type[Any]) -> str | None:
    """The slim network of a method; None of one whose options leave no choice."""
    return backbone_among(options, SLIM)
