"""Names in the checkpoints of mangye16/Cross-Modal-Re-ID-baseline, folder ICCV21_CAJ: those of AGW."""

from __future__ import annotations

from vibench.methods.agw.official import KEYS, SETTINGS, UNUSED

__all__ = ["KEYS", "SETTINGS", "UNUSED"]
