"""Parameter names of the official code, mangye16/DDAG."""

from __future__ import annotations

from vibench.methods import official_names
from vibench.methods.sections import Recipe

KEYS: tuple[tuple[str, str], ...] = (
    *official_names.KEYS,
    ("wpa.fc1.0.", "part_attention.u."),
    ("wpa.fc2.", "part_attention.v."),
    ("wpa.fc3.", "part_attention.z."),
    ("wpa.gate", "part_attention.gate"),
    ("wpa.bottleneck.", "part_attention.norm."),
    ("attention_", "graph.heads."),
    ("out_att.", "graph.output."),
)
"""(Official prefix, our prefix): the first that a name begins with is replaced."""

UNUSED: tuple[str, ...] = (
    *official_names.UNUSED,
    "wpa.W.",
    "classifier1.",
    "classifier2.",
)
"""Official prefixes of what no forward pass reads."""

OPTIONAL: tuple[str, ...] = ("graph_weight",)
"""Our names of what the files lack: the official code begins each run with a graph weight of 0."""

SETTINGS: tuple[str, ...] = ("model.last_stride", "model.pool", "model.residual", "model.gate", "model.test_feature")
"""What the files do not carry."""


def unused(recipe: Recipe) -> tuple[str, ...]:
    """Prefixes of the branches that ``recipe`` does without; the files hold them in any case."""
    options = recipe.model
    without_graph = not options.graph_attention or options.graph_neighbours == 0
    return (() if options.part_attention else ("wpa.",)) + (("attention_", "out_att.") if without_graph else ())
