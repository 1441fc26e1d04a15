"""MMD-ReID: a margin on the discrepancy between the modalities of each identity."""

from vibench.methods.mmd.method import MMD, MMDOptions

__all__ = ["MMD", "MMDOptions"]
