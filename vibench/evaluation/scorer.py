"""How alike two images are: scores of queries against gallery images, by whatever distance an evaluation asks for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from vibench.errors import UsageError, suggestion
from vibench.evaluation.distances import DISTANCES, DistanceFunction, Similarity, both_ways
from vibench.evaluation.draws import side_rows
from vibench.evaluation.features import Features
from vibench.evaluation.images import Images
from vibench.evaluation.rerank import k_reciprocal_distances
from vibench.protocols import Protocol, Side

RERANKS = ("none", "k-reciprocal")
QUERY_MODES = ("all", "single")
CHUNK_BYTES = 256 << 20


@dataclass(frozen=True)
class Settings:
    """How an evaluation compares images; the same for all its protocols."""

    distance: str = "cosine"
    """``cosine`` | ``euclidean``; unused where ``own`` is given."""
    own: DistanceFunction | None = None
    rerank: str = "none"
    query_mode: str = "all"
    device: str = "cpu"
    chunk_bytes: int = CHUNK_BYTES

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


def feature_rows(features: Features, rows: np.ndarray, settings: Settings) -> Tensor:
    """The features of some rows on the device that ranks."""
    return torch.from_numpy(features.features[rows]).to(settings.device)


def skipped_pairs(rules: Protocol, query: Tensor, gallery: Tensor) -> Tensor:
    """(Q, G) bool: pairs whose cameras, (Q,) and (G,), the skip rule names, whoever is on the images."""
    skipped = torch.zeros(len(query), len(gallery), dtype=torch.bool, device=query.device)
    for query_camera, gallery_camera in rules.skip.cameras:
        skipped |= (query == query_camera)[:, None] & (gallery == gallery_camera)[None, :]
    return skipped


def scorer(query: Tensor, gallery: Tensor, settings: Settings, skipped: Tensor | None) -> Callable[[slice], Tensor]:
    """Scores (Q, C) float64, larger for what is more alike, of a slice of the queries."""
    own = settings.own
    if settings.rerank != "none":
        distances = k_reciprocal_distances(query, gallery, chunk_bytes=settings.chunk_bytes)
    elif own is not None and own.pairwise:
        function, mode = own.function, settings.query_mode
        return lambda part: -function(query[part], gallery, mode).double()
    elif own is not None:
        further = () if skipped is None else (skipped,)
        distances = own.function(query, gallery, settings.query_mode, *further).double()
    else:
        similarity = Similarity(gallery, settings.distance)
        return lambda part: similarity(query[part])
    return lambda part: -distances[part]


@dataclass(frozen=True)
class Product:
    """Scores from a product that serves two directions; see `scorer`."""

    scores: Callable[[slice], Tensor]
    seconds: float
    """What this direction's half of the product took."""


def mirrored_products(
    protocols: Iterable[Protocol], features: Features, images: Images, settings: Settings
) -> dict[tuple[Side, Side], Product]:
    """By query and gallery, the products that protocols share of which one asks what the other answers.

    Such a product is held as a whole, so there is none where it would exceed ``chunk_bytes``.
    """
    found: dict[tuple[Side, Side], Product] = {}
    if settings.rerank != "none" or settings.own is not None:
        return found
    directions = {(protocol.query, protocol.gallery): protocol for protocol in protocols if not protocol.shots}
    for (query, gallery), protocol in directions.items():
        if (gallery, query) not in directions or (query, gallery) in found:
            continue
        one, other = side_rows(protocol, query, images), side_rows(protocol, gallery, images)
        if 8 * len(one) * len(other) > settings.chunk_bytes:
            continue
        started = time.perf_counter()
        rows = feature_rows(features, one, settings), feature_rows(features, other, settings)
        scores = both_ways(*rows, settings.distance)
        seconds = (time.perf_counter() - started) / 2
        found[query, gallery], found[gallery, query] = (Product(direction, seconds) for direction in scores)
    return found
