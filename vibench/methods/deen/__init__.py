"""DEEN: multi-stage feature aggregation, diverse embedding expansion, pair mining between original and expansion."""

from vibench.methods.deen.method import DEEN, DEENOptions

__all__ = ["DEEN", "DEENOptions"]
