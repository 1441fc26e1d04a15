"""The baseline, told once to stop."""

from tests.cli.halting.method import Halting

__all__ = ["Halting"]
