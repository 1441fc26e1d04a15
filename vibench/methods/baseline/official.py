"""Names in the checkpoints of B: ``--method base`` of mangye16/Cross-Modal-Re-ID-baseline."""

from __future__ import annotations

from vibench.methods.official_names import KEYS, UNUSED

SETTINGS = ("model.last_stride", "model.pool", "model.test_feature")
"""What the files do not carry."""

__all__ = ["KEYS", "SETTINGS", "UNUSED"]
