"""The toy method with induced failures and pauses."""

from tests.sweep.fragile.method import Fragile

__all__ = ["Fragile"]
