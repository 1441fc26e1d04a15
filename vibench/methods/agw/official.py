"""Names in the checkpoints of mangye16/Cross-Modal-Re-ID-baseline (folder AGW of ZYK100/LLCM: the same)."""

from __future__ import annotations

from vibench.methods import official_names

_BLOCKS = {"NL_2.0": "layer2_2", "NL_2.1": "layer2_3", "NL_3.0": "layer3_3", "NL_3.1": "layer3_4", "NL_3.2": "layer3_5"}

KEYS = (
    *(
        (f"{theirs}.{part}", f"backbone.inserted.{ours}.{own_part}")
        for theirs, ours in _BLOCKS.items()
        for part, own_part in (("g.0.", "g."), ("W.0.", "expand."), ("W.1.", "norm."), ("", ""))
    ),
    *official_names.KEYS,
)
"""Official prefix -> our prefix."""

UNUSED = official_names.UNUSED
"""Three whole ResNets are stored; of two only the stem is used, of the third all but the stem."""

SETTINGS = ("model.last_stride", "model.pool", "model.gem_p", "model.test_feature")
"""What the files do not carry."""
