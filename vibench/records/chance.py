"""The chance level of a record: what its queries would score if their galleries were ranked in random order.

How many images a query is ranked among, and how many of them match, follows from its protocol and from which gallery
cameras hold a match for whom. Where a gallery is drawn, every identity has equally many images on each of its cameras.
Where it is not, and in older records, which do not tell gallery cameras apart, all identities are taken to have equally
many images, as on RegDB they have.

A query has m true matches among g images, all orders of which are equally likely. The first image is a match with
probability m / g. The image at place i is a match with probability m / g, and together with a given one before it with
m (m - 1) / (g (g - 1)); average precision, the mean over matches of the share of matches up to them, is then expected
to be (H + (m - 1) / (g - 1) (g - H)) / g with H = 1 + 1/2 + ... + 1/g.
"""

from __future__ import annotations

import numpy as np

from vibench.evaluation.result import PerQuery, TrialScore
from vibench.protocols import Protocol


def expected_scores(protocol: Protocol | None, trial: TrialScore, outcome: PerQuery) -> dict[str, np.ndarray]:
    """Per metric ``r1`` and ``map``, (Q,) float64: the expected score of a random order, NaN for an invalid query."""
    matches, images = reach(protocol, trial, outcome)
    return {"map": random_average_precision(matches, images), "r1": random_rank_one(matches, images)}


def reach(protocol: Protocol | None, trial: TrialScore, outcome: PerQuery) -> tuple[np.ndarray, np.ndarray]:
    """(Q,) float64 each: true matches of every query, 0 for an invalid one, and images it is ranked among."""
    valid = outcome.first_hit > 0
    everything = np.full(len(valid), float(trial.gallery))
    cameras = outcome.gallery_camera
    if protocol is None or not protocol.gallery.drawn or outcome.camera_ap is None or cameras is None:
        # Of a gallery that does not even hold an image for each, one.
        share = max(1.0, trial.gallery / len(np.unique(outcome.pid[valid]))) if valid.any() else 0.0
        return np.where(valid, share, 0.0), np.maximum(everything, share)
    reached = ~np.isnan(outcome.camera_ap)
    people, codes = np.unique(outcome.pid, return_inverse=True)
    # Which identity has images on which gallery camera: where any of its queries finds some.
    held = np.zeros((len(people), reached.shape[1]), dtype=bool)
    np.logical_or.at(held, codes.reshape(-1), reached)
    skipped = [
        (np.asarray(outcome.camera == query_camera), np.asarray(cameras == gallery_camera))
        for query_camera, gallery_camera in protocol.skip.cameras
    ]
    if protocol.skip.identities == "same":
        images = everything
        for asking, column in skipped:
            images = images - protocol.shots * (np.any(held[codes.reshape(-1)] & column, axis=1) & asking)
    else:
        # What no query reaches lies on the cameras that are skipped.
        within = np.ones(reached.shape, dtype=bool)
        for asking, column in skipped:
            within &= ~(asking[:, None] & column)
        images = np.where(within.all(axis=1), everything, protocol.shots * within @ held.sum(axis=0).astype(float))
    return np.where(valid, protocol.shots * reached.sum(axis=1), 0).astype(float), images


def random_rank_one(matches: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """(Q,) float64 expected rank-1 of queries with ``matches`` (Q,) among ``gallery`` (Q,) images; NaN without match.

    Under either CMC rule: the first identity of a ranked list is that of its first image.
    """
    return np.divide(matches, gallery, out=np.full(len(matches), np.nan), where=np.asarray(matches) > 0)


def random_average_precision(matches: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """(Q,) float64 expected average precision, likewise."""
    valid = np.asarray(matches) > 0
    images = np.where(valid, gallery, 1.0)
    harmonic = np.cumsum(1.0 / np.arange(1, int(images.max(initial=1.0)) + 1))[images.astype(np.int64) - 1]
    # One image alone is the match.
    among_others = np.divide(matches - 1.0, images - 1.0, out=np.zeros_like(images), where=images > 1)
    return np.where(valid, (harmonic + among_others * (images - harmonic)) / images, np.nan)
