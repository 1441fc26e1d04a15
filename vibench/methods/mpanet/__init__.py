"""MPANet: modality alleviation, pattern alignment, centre-cluster loss and modality learning."""

from vibench.methods.mpanet.method import MPANet, MPANetOptions

__all__ = ["MPANet", "MPANetOptions"]
