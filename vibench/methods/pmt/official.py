"""Names in the checkpoints of hulu88/PMT, which are bare state dicts."""

from __future__ import annotations

from vibench.nn.transformer_weights import TIMM_NAMES

KEYS: tuple[tuple[str, str], ...] = (
    *((f"base.{theirs}", f"backbone.{ours}") for theirs, ours in TIMM_NAMES),
    ("bottleneck.", "neck."),
    ("classifier.", "classifier."),
)
"""Official prefix -> our prefix."""

UNUSED: tuple[str, ...] = ()
"""The network uses all that is stored."""

OPTIONAL = ("epochs_trained",)
"""The official loop keeps the epoch to itself."""

SETTINGS = ("model.stride", "model.layer_norm_epsilon")
"""What the files do not carry."""
