"""Parameter names of the official code, vcl-iisc/MMD-ReID."""

from __future__ import annotations

KEYS: tuple[tuple[str, str], ...] = (
    ("visible_module.visible.", "backbone.visible."),
    ("thermal_module.thermal.", "backbone.infrared."),
    ("base_resnet.base.", "backbone.shared."),
    ("bottleneck.", "neck."),
    ("classifier.", "classifier."),
)
"""(Official prefix, our prefix): the first that a name begins with is replaced."""

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
