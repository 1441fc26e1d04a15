"""How alike two images are: scores of queries against gallery images, by whatever distance an evaluation asks for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from vibench.distributed.world import ALONE, World
from vibench.errors import UsageError, suggestion
from vibench.evaluation.distances import DISTANCES, Comparison, DistanceFunction, Matrix, Rows
from vibench.evaluation.rerank import k_reciprocal_distances
from vibench.runtime.memory import available_bytes

RERANKS = ("none", "k-reciprocal")
QUERY_MODES = ("all", "single")
CHUNK_BYTES = 256 << 20
"""Of what an evaluation makes of scores at once, at most; what is kept of features comes to as much per side."""
_SHARE = 8


def working_bytes(device: str = "cpu") -> int:
    """`CHUNK_BYTES`, or less where little memory is free."""
    free = torch.cuda.mem_get_info(device)[0] if torch.device(device).type == "cuda" else available_bytes()
    return CHUNK_BYTES if free is None else min(CHUNK_BYTES, max(1, free // _SHARE))


@dataclass(frozen=True)
class Settings:
    """How an evaluation compares images; the same for all its protocols."""

    distance: str = "cosine"
    """``cosine`` | ``euclidean``; unused where ``own`` is given."""
    own: DistanceFunction | None = None
    rerank: str = "none"
    query_mode: str = "all"
    device: str = "cpu"
    chunk_bytes: int = field(default_factory=working_bytes)
    world: World = ALONE
    """The processes that share the queries, where a distance does not depend on all of them."""

    def __post_init__(self) -> None:
        for option, value, known in (
            ("distance", self.distance, DISTANCES),
            ("rerank", self.rerank, RERANKS),
            ("query mode", self.query_mode, QUERY_MODES),
        ):
            if value not in known:
                raise UsageError(f"unknown {option} '{value}'{suggestion(value, known)}; there are {', '.join(known)}.")
        if self.rerank != "none" and (self.own is not None or self.distance != "cosine"):
            raise UsageError("re-ranking starts from cosine distances; evaluate with --distance cosine.")
        if self.rerank != "none" and self.query_mode == "single":
            raise UsageError(
                "re-ranking looks at all queries, which --query-mode single forbids; leave one of them out."
            )

    @property
    def per_trial(self) -> bool:
        """True when a distance depends on the trial's whole gallery, so that trials share nothing."""
        return self.rerank != "none" or (self.own is not None and not self.own.pairwise)

    def of_trial(self, trial: int) -> Settings:
        """The same with a distance that knows which trial it is asked in, where it wants to."""
        if self.own is None or not self.own.takes_trial:
            return self
        return replace(self, own=replace(self.own, function=partial(self.own.function, trial=trial)))


def scorer(query: Rows, gallery: Rows, settings: Settings, skipped: Tensor | None = None) -> Comparison | Matrix:
    """How alike the queries and the gallery images are; ``skipped`` (Q, G) bool for a distance that asks for it."""
    own = settings.own
    if settings.rerank == "none" and own is None:
        return Comparison(query, gallery, settings.distance)
    asked, answers = (side.take(slice(None), None) for side in (query, gallery))
    if own is not None and own.pairwise:
        function, mode = own.function, settings.query_mode
        return Matrix(lambda part: -function(asked[part], answers, mode).double())
    if own is not None:
        further = () if skipped is None else (skipped,)
        distances = own.function(asked, answers, settings.query_mode, *further).double()
    else:
        distances = k_reciprocal_distances(asked, answers, chunk_bytes=settings.chunk_bytes)
    return Matrix(lambda part: -distances[part])
