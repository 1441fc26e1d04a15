"""The eight attributes of a person that SYSU-MM01's label files and the twins describe, in the files' order."""

from __future__ import annotations

ATTRIBUTES = ("gender", "hair", "glasses", "sleeve", "lower_type", "lower_length", "backpack", "satchel")
"""1 is female, long hair, glasses, long sleeves, dress or skirt, long trousers or skirt, backpack, satchel.

The label files carry no names. The order is that of the PAENet paper; the meaning of 0 and 1 was inferred from a
second annotation of the same people, with least certainty for ``sleeve`` and ``lower_type``.
"""
