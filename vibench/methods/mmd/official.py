"""Parameter names of the official code, vcl-iisc/MMD-ReID."""

from __future__ import annotations

from vibench.methods.official_names import KEYS

UNUSED: tuple[str, ...] = ()
"""Official prefixes of what no forward pass reads: the files hold the used stages only."""

SETTINGS: tuple[str, ...] = (
    "model.specific_stages",
    "model.last_stride",
    "model.pool",
    "model.gem_p",
    "model.test_feature",
)
"""What the files do not carry."""

__all__ = ["KEYS", "SETTINGS", "UNUSED"]
