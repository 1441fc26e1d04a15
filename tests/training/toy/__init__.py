"""A method small enough to train within milliseconds."""

from tests.training.toy.method import Toy

__all__ = ["Toy"]
