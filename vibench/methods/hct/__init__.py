"""HCT: stripes of a two-stream network under the hetero-centre triplet loss."""

from vibench.methods.hct.method import HCT, HCTOptions

__all__ = ["HCT", "HCTOptions"]
