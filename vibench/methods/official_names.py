"""Names in the checkpoints of mangye16/Cross-Modal-Re-ID-baseline and of the codes that descend from it."""

from __future__ import annotations

KEYS = (
    ("visible_module.visible.", "backbone.visible."),
    ("thermal_module.thermal.", "backbone.infrared."),
    ("base_resnet.base.", "backbone.shared."),
    ("bottleneck.", "neck."),
    ("classifier.", "classifier."),
)
"""Official prefix -> our prefix."""

UNUSED = (
    "visible_module.visible.layer",
    "thermal_module.thermal.layer",
    "base_resnet.base.conv1.",
    "base_resnet.base.bn1.",
)
"""Three whole ResNets are stored; of two only the stem is used, of the third all but the stem."""
