"""Names in the checkpoints of ZYK100/LLCM, folder DEEN."""

from __future__ import annotations

from vibench.methods import official_names
from vibench.methods.sections import Recipe

KEYS = (
    *(
        (f"MFA{stage}.{theirs}.{part}", f"aggregation.{stage}.{ours}.{own_part}")
        for stage in (1, 2, 3)
        for theirs, ours in (("CNL", "channel"), ("PNL", "position"))
        for part, own_part in (("W.0.", "expand."), ("W.1.", "norm."), ("", ""))
    ),
    *(
        (f"DEE.FC{branch}{part}.", f"expansion.branches.{branch - 1}.{own_part}.")
        for branch in (1, 2)
        for part, own_part in ((1, "dilated.0"), (2, "dilated.1"), (3, "dilated.2"), ("", "restore"))
    ),
    *official_names.KEYS,
)
"""Official prefix -> our prefix."""

UNUSED = official_names.UNUSED
"""Three whole ResNets are stored; of two only the stem is used, of the third all but the stem."""

SETTINGS = ("model.last_stride", "model.pnl_reshape", "model.test_combination", "model.flip")
"""What the files do not carry."""


def unused(recipe: Recipe) -> tuple[str, ...]:
    """Without layer4, as on RegDB, the official code stores it all the same."""
    return () if recipe.model.layer4 else ("base_resnet.base.layer4.",)
