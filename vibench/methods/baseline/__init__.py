"""Baselines: one-stream, two-stream, zero-padding, and B, the strong two-stream baseline of DDAG."""

from vibench.methods.baseline.method import Baseline, BaselineOptions

__all__ = ["Baseline", "BaselineOptions"]
