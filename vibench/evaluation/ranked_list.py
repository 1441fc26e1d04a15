"""The ranked lists that metrics are computed from, query by query, for those who want to look at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vibench.evaluation.distances import Rows
from vibench.evaluation.draws import Trial
from vibench.evaluation.features import Features
from vibench.evaluation.images import Images
from vibench.evaluation.order import stable_order
from vibench.evaluation.ranking import skipped_pairs
from vibench.evaluation.scorer import Settings, scorer
from vibench.protocols import Protocol


@dataclass(frozen=True)
class RankedList:
    """The gallery of one trial as one query sees it, the most alike image first; arrays have one entry per image."""

    query: int
    """Row of the features."""
    gallery: np.ndarray
    """(G,) int64 rows of the features."""
    distances: np.ndarray
    """(G,) float64, ascending: one minus the cosine, the Euclidean distance, or the method's own."""
    skipped: np.ndarray
    """(G,) bool: images that the protocol's skip rule takes out of this query's gallery."""
    same_identity: np.ndarray
    """(G,) bool: images of the query's identity, skipped ones too."""

    @property
    def matches(self) -> np.ndarray:
        """(G,) bool: the true matches."""
        return self.same_identity & ~self.skipped

    @property
    def ranks(self) -> np.ndarray:
        """(G,) int64: places among the images that are not skipped, from 1; 0 for a skipped one."""
        kept = ~self.skipped
        return np.cumsum(kept) * kept

    @property
    def average_precision(self) -> float:
        """As the evaluation counts it, NaN without a true match."""
        ranks = self.ranks[self.matches]
        if len(ranks) == 0:
            return float("nan")
        return float(np.mean(np.arange(1, len(ranks) + 1) / ranks))


def evaluated_queries(trial: Trial, images: Images, settings: Settings) -> np.ndarray:
    """The rows of a trial's queries in the order of the evaluation's `PerQuery`."""
    return trial.query if settings.per_trial else images.ordered(trial.query)


@torch.no_grad()
def ranked_lists(
    rules: Protocol,
    trial: Trial,
    queries: Sequence[int],
    features: Features,
    images: Images,
    settings: Settings,
) -> list[RankedList]:
    """The ranked list of each of ``queries``, rows of the features that are queries of ``trial``.

    Scores and ties are those of `vibench.evaluation.evaluate.evaluate_features`: a method that looks at all queries
    does so here too, whichever are asked for.
    """
    askers, candidates = (Rows(features.features, rows, settings.device) for rows in (trial.query, trial.gallery))
    asked, answers = (torch.from_numpy(images.cameras[rows]) for rows in (trial.query, trial.gallery))
    by_cameras = skipped_pairs(rules.skip, asked[:, None], answers)
    takes_skipped = settings.own is not None and settings.own.takes_skipped
    score = scorer(askers, candidates, settings, by_cameras.to(settings.device) if takes_skipped else None)
    place = {int(row): at for at, row in enumerate(trial.query)}
    lists = []
    for row in queries:
        at = place[int(row)]
        scores = score.scores(slice(at, at + 1))
        order = stable_order(scores)[0].cpu().numpy()
        same = images.pids[trial.gallery] == images.pids[row]
        skipped = by_cameras[at].numpy() & (same | (rules.skip.identities == "any"))
        lists.append(
            RankedList(
                query=int(row),
                gallery=trial.gallery[order],
                distances=_distances(scores[0].cpu().numpy()[order], settings),
                skipped=skipped[order],
                same_identity=same[order],
            )
        )
    return lists


def _distances(scores: np.ndarray, settings: Settings) -> np.ndarray:
    if settings.own is not None or settings.rerank != "none":
        return -scores
    return 1.0 - scores if settings.distance == "cosine" else np.sqrt(np.maximum(-scores, 0.0))
