"""cm-SSFT: shared and modality-specific features, transferred between images along a graph of neighbours."""

from vibench.methods.cm_ssft.method import CmSSFT, CmSSFTOptions

__all__ = ["CmSSFT", "CmSSFTOptions"]
