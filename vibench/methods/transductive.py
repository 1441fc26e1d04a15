"""Methods that rank by what images of the test set exchange."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from vibench.methods.base import Method


class TransductiveMethod(Method):
    """A method in which the gallery images, and the queries of a group, change one another's features.

    Query mode ``all`` is one group of all queries, ``single`` a group for each.
    """

    @abstractmethod
    def group_distances(self, query: Tensor, gallery: Tensor, group_size: int, apart: Tensor | None = None) -> Tensor:
        """Distances (Q, G) between embeddings; smaller is more alike.

        A query may look at the gallery and at the queries of its group: ``group_size`` consecutive rows, the last
        group what is left. ``apart`` (Q, G) bool marks pairs that must exchange nothing.
        """

    def distances(self, query: Tensor, gallery: Tensor, query_mode: str) -> Tensor:
        """`group_distances` with groups of one query (``single``) or of all (``all``)."""
        return self.group_distances(query, gallery, 1 if query_mode == "single" else len(query))
