"""Ranks once for all protocols, draws and trials that share queries, each of which has a part of one gallery."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from vibench.distributed.world import ALONE, World
from vibench.evaluation.distances import Comparison, Rows
from vibench.evaluation.draws import Trial
from vibench.evaluation.features import Features
from vibench.evaluation.images import Images
from vibench.evaluation.metrics import trial_score
from vibench.evaluation.ranking import Outcome, Ranker, Sought, TieOrder, skipped_pairs
from vibench.evaluation.result import PerQuery, TrialScore
from vibench.evaluation.scorer import Settings, scorer
from vibench.files.digests import sha256_text
from vibench.protocols import Protocol
from vibench.runtime.progress import Progress, silent


@dataclass(frozen=True)
class Case:
    """One protocol under one draw, with the trials that this means among the images of one split."""

    protocol: Protocol
    draw: str
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class TrialOutcome:
    """What one trial of one protocol yields."""

    score: TrialScore
    per_query: PerQuery
    seconds: float
    repaired: int
    """Queries for which some pairs were compared exactly."""


def rank_cases(
    cases: Sequence[Case], features: Features, images: Images, settings: Settings, progress: Progress
) -> list[list[TrialOutcome]]:
    """The outcomes of the trials of every case, all on the images of one split."""
    rows_of = lru_cache(maxsize=4)(lambda rows: Rows(features.features, np.frombuffer(rows, np.int64), settings.device))
    groups: dict[object, list[int]] = defaultdict(list)
    for place, case in enumerate(cases):
        rules = case.protocol
        groups[rules.query, rules.gallery.modality, rules.skip, rules.cmc].append(place)
    outcomes: list[list[TrialOutcome]] = [[] for _ in cases]
    for members in groups.values():
        found = iter(_rank_group([cases[place] for place in members], rows_of, images, settings, progress))
        for place in members:
            outcomes[place] = [next(found) for _ in cases[place].trials]
    return outcomes


def _rank_group(
    group: Sequence[Case],
    rows_of: Callable[[bytes], Rows],
    images: Images,
    settings: Settings,
    progress: Progress,
) -> list[TrialOutcome]:
    """The outcomes of all trials of cases with the same queries, skip rule and CMC rule."""
    rules = group[0].protocol
    trials = [trial for case in group for trial in case.trials]
    if settings.per_trial:
        scored = []
        with progress("ranking trials", len(trials)) as advance:
            for trial in trials:
                own = settings.of_trial(trial.number)
                scored += _rank(rules, [trial], trial.query, trial.gallery, rows_of, images, own, silent)
                advance(1)
        return scored
    query = images.ordered(np.unique(np.concatenate([trial.query for trial in trials])))
    # Every trial's gallery agrees with its order up to images of one folder: see `vibench.evaluation.ranking`.
    gallery = images.ordered(np.unique(np.concatenate([trial.gallery for trial in trials])))
    camera_first = np.array([case.draw == "official" for case in group for _ in case.trials])
    place, ties = np.empty(len(images.pids), dtype=np.int64), []
    for which in np.unique(camera_first):
        place[images.ordered(gallery, which)] = np.arange(len(gallery))
        members, places = (torch.from_numpy(one) for one in (np.flatnonzero(camera_first == which), place[gallery]))
        ties.append(TieOrder(members.to(settings.device), places.to(settings.device)))
    return _rank(rules, trials, query, gallery, rows_of, images, settings, progress, ties)


def _rank(
    rules: Protocol,
    trials: Sequence[Trial],
    query: np.ndarray,
    gallery: np.ndarray,
    rows_of: Callable[[bytes], Rows],
    images: Images,
    settings: Settings,
    progress: Progress,
    tie_orders: Sequence[TieOrder] = (),
) -> list[TrialOutcome]:
    """Rank the rows ``query`` against the rows ``gallery``, of which each trial has a part."""
    started = time.perf_counter()
    drawn = np.stack([np.isin(gallery, trial.gallery) for trial in trials], axis=1)
    askers, candidates = _sought(images, query, settings.device), _sought(images, gallery, settings.device)
    ranker = Ranker(candidates, torch.from_numpy(drawn).to(settings.device), rules.skip, rules.cmc, tie_orders)
    skipped = None
    if settings.own is not None and settings.own.takes_skipped:
        skipped = skipped_pairs(rules.skip, askers.cameras[:, None], candidates.cameras)
    # Process by process some queries, where each can be ranked by itself.
    world = ALONE if settings.per_trial or len(query) < settings.world.size else settings.world
    shares = shares_of(len(query), world.size)
    own = shares[world.rank]
    asked, answers = (rows_of(rows.tobytes()) for rows in (query[own], gallery))
    scores = scorer(asked, answers, settings, skipped)
    with progress("ranking queries", own.stop - own.start) as advance:
        found = ranker.rank(scores, askers[own], settings.chunk_bytes, advance)
    ap, inp, first_hit, camera_ap, camera_first_hit, opened = (
        _gathered(getattr(found, field.name).cpu(), shares, world).numpy() for field in fields(Outcome)
    )
    repaired = opened > 0 if isinstance(scores, Comparison) else np.zeros(len(query), dtype=bool)
    cameras = ranker.cameras.cpu().numpy()
    seconds = (time.perf_counter() - started) / len(trials)
    outcomes = []
    for column, trial in enumerate(trials):
        rows = np.flatnonzero(np.isin(query, trial.query))
        seen = np.isin(cameras, images.cameras[trial.gallery])
        per_query = PerQuery(
            ap=ap[rows, column],
            inp=inp[rows, column],
            first_hit=first_hit[rows, column].astype(np.int32),
            pid=images.pids[query[rows]],
            camera=images.cameras[query[rows]],
            gallery_camera=cameras[seen],
            camera_ap=camera_ap[rows, column][:, seen],
            camera_first_hit=camera_first_hit[rows, column][:, seen].astype(np.int32),
        )
        names = "" if images.paths is None else sha256_text("\n".join(images.paths[trial.gallery].tolist()))
        score = trial_score(rules, trial, per_query, names)
        outcomes.append(TrialOutcome(score, per_query, seconds, int(repaired[rows].sum())))
    return outcomes


def shares_of(count: int, size: int) -> list[slice]:
    """Which of ``count`` rows each of ``size`` processes takes: as many as any other, or one more."""
    return [slice(count * at // size, count * (at + 1) // size) for at in range(size)]


def _gathered(rows: Tensor, shares: Sequence[slice], world: World) -> Tensor:
    """The rows of all processes, each of which has those of its share."""
    sizes = [share.stop - share.start for share in shares]
    # All must send as many.
    padded = torch.cat([rows, rows.new_zeros(max(sizes) - len(rows), *rows.shape[1:])])
    return torch.cat([part[:size] for part, size in zip(world.gather(padded), sizes, strict=True)])


def _sought(images: Images, rows: np.ndarray, device: str) -> Sought:
    return Sought(
        torch.from_numpy(images.pids[rows]).to(device),
        torch.from_numpy(images.cameras[rows]).to(device),
    )
