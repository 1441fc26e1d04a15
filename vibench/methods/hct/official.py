"""Parameter names of the official code, hijune6/Hetero-center-triplet-loss-for-VT-Re-ID."""

from __future__ import annotations

from vibench.methods import official_names

KEYS: tuple[tuple[str, str], ...] = (
    ("local_conv_list.", "stripes.embed."),
    ("fc_list.", "classifier."),
    *official_names.KEYS,
)
"""(Official prefix, our prefix), stripes and global head: the first that a name begins with is replaced."""

UNUSED: tuple[str, ...] = ()
"""Official prefixes of what no forward pass reads: the files hold the used stages only."""

SETTINGS: tuple[str, ...] = (
    "model.specific_stages",
    "model.last_stride",
    "model.stripes",
    "model.pool",
    "model.gem_p",
    "model.test_feature",
)
"""What the files do not carry."""
