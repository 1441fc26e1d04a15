"""Parameter names of the official code (mangye16/Cross-Modal-Re-ID-baseline, ICCV21_CAJ): those of AGW."""

from __future__ import annotations

from itertools import product

_NON_LOCAL = (
    ("NL_2.0.", "layer2_2"),
    ("NL_2.1.", "layer2_3"),
    ("NL_3.0.", "layer3_3"),
    ("NL_3.1.", "layer3_4"),
    ("NL_3.2.", "layer3_5"),
)
_PARTS = (("g.0.", "g."), ("W.0.", "expand."), ("W.1.", "norm."), ("theta.", "theta."), ("phi.", "phi."))

KEYS: tuple[tuple[str, str], ...] = (
    ("visible_module.visible.", "backbone.visible."),
    ("thermal_module.thermal.", "backbone.infrared."),
    ("base_resnet.base.", "backbone.shared."),
    *(
        (block + part, f"backbone.inserted.{place}.{ours}")
        for (block, place), (part, ours) in product(_NON_LOCAL, _PARTS)
    ),
    ("bottleneck.", "neck."),
    ("classifier.", "classifier."),
)
"""(official prefix, our prefix): the first official prefix that a name begins with is replaced."""

UNUSED: tuple[str, ...] = (
    *(
        f"{stem}.layer{layer}."
        for stem, layer in product(("visible_module.visible", "thermal_module.thermal"), range(1, 5))
    ),
    "base_resnet.base.conv1.",
    "base_resnet.base.bn1.",
)
"""Official prefixes that the network does not use: each of the three backbones is stored as a whole ResNet-50."""
