"""Where the attributes of test images come from, for methods that take them as an input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vibench.data.attributes import attributes_of
from vibench.datasets.index import SampleIndex
from vibench.datasets.registry import Dataset
from vibench.errors import UsageError, suggestion
from vibench.methods.base import Method
from vibench.runtime.randomness import generator

SOURCES = ("pred", "gt", "const", "shuffle")
"""Predicted by the method; the labels; their mean over the training images; the labels, permuted among the images."""

_SHUFFLE_SEED = 0


@dataclass(frozen=True)
class GivenAttributes:
    """What was asked for."""

    source: str = ""
    """One of `SOURCES`; empty: the method's default."""
    file: Path | None = None
    """Table of labels; None: that of the data set."""

    def __post_init__(self) -> None:
        if self.source and self.source not in SOURCES:
            raise UsageError(
                f"--test-attributes {self.source}: unknown source{suggestion(self.source, SOURCES)}; "
                f"there are {', '.join(SOURCES)}."
            )
        if self.file is not None and not self.needs_labels:
            raise UsageError(
                f"--attributes {self.file}: labels are read for --test-attributes gt or shuffle and for "
                "--attributes-only alone; leave the file out."
            )

    @property
    def needs_labels(self) -> bool:
        """Whether the labels of test images are read."""
        return self.source in ("gt", "shuffle")

    def resolve(self, method: Method) -> str:
        """The source for ``method``; empty for one that takes no attributes.

        Raises `UsageError` where the method cannot have them from there.
        """
        if not self.source:
            return method.test_attributes[0] if method.test_attributes else ""
        name = " ".join(part for part in (method.name, method.recipe.variant) if part)
        if not method.test_attributes:
            raise UsageError(f"--test-attributes {self.source}: {name} takes no attributes in testing; leave it out.")
        if self.source not in method.test_attributes:
            raise UsageError(
                f"--test-attributes {self.source}: {name} cannot do that; it takes {', '.join(method.test_attributes)}."
            )
        return self.source

    def codes(self, method: Method, dataset: Dataset, root: Path, index: SampleIndex) -> np.ndarray | None:
        """The attributes (N, 8) float32 to give ``method`` with the images of ``index``; None where it needs none.

        Raises `UsageError` as `resolve` and `labels_of_test_images` do.
        """
        source = self.resolve(method)
        if source == "const":
            mean = method.mean_attributes.detach().cpu().numpy()
            return np.tile(mean.astype(np.float32), (len(index), 1))
        if source not in ("gt", "shuffle"):
            return None
        bits = labels_of_test_images(dataset, root, index, self.file).astype(np.float32)
        if source == "gt":
            return bits
        return bits[generator(_SHUFFLE_SEED, "shuffled attributes").permutation(len(bits))]


def labels_of_test_images(dataset: Dataset, root: Path, index: SampleIndex, file: Path | None = None) -> np.ndarray:
    """The labels (N, 8) uint8 of test images; `UsageError` where one has none.

    They are information about who the images show: whatever is computed with them must say so.
    """
    bits, known = attributes_of(dataset, root, index, file)
    if not known.all():
        raise UsageError(
            f"{(~known).sum()} of {len(index)} test images of {dataset.name} have no attribute label, the first is "
            f"{index['path'].iloc[int(np.argmin(known))]}; complete the table of labels."
        )
    return bits
