"""PAENet: attributes embedded into the features of a host method, and learnt beside its identities."""

from vibench.methods.paenet.method import PAENet, PAENetOptions

__all__ = ["PAENet", "PAENetOptions"]
