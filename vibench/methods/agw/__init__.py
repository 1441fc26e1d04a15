"""AGW: non-local attention, generalised-mean pooling, weighted regularised triplet loss."""

from vibench.methods.agw.method import AGW, AGWOptions

__all__ = ["AGW", "AGWOptions"]
