"""CAL: parts of an image re-read with the parts of a person's image in the other modality, and matched to them."""

from vibench.methods.cal.method import CAL, CALOptions

__all__ = ["CAL", "CALOptions"]
