"""PMT: a vision transformer for both modalities that learns from grey images first, and two losses on centres."""

from vibench.methods.pmt.method import PMT, PMTOptions

__all__ = ["PMT", "PMTOptions"]
