"""The toy that trains on attributes and heatmaps as well."""

from tests.training.toy_inputs.method import ToyInputs

__all__ = ["ToyInputs"]
