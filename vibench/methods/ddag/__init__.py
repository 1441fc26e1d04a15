"""DDAG: attention among the parts of an image, and among the images of an identity across modalities."""

from vibench.methods.ddag.method import DDAG, DDAGOptions

__all__ = ["DDAG", "DDAGOptions"]
