"""How many parameters training a method needs, and how many testing it needs."""

from __future__ import annotations

from dataclasses import dataclass

from vibench.methods.base import Method


@dataclass(frozen=True)
class ParameterCount:
    """Numbers of scalar parameters, frozen ones included, shared ones once; buffers do not count."""

    train: int
    test: int
    """Without what `Method.training_only` names."""


def count_parameters(method: Method) -> ParameterCount:
    """Count a method's parameters."""
    dropped = method.training_only()
    sizes = {name: parameter.numel() for name, parameter in method.named_parameters()}
    kept = sum(size for name, size in sizes.items() if not name.startswith(dropped))
    return ParameterCount(train=sum(sizes.values()), test=kept)
