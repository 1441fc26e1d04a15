"""Features in, scores out: draws the galleries of each protocol, ranks once for all trials, averages."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vibench.datasets.registry import Dataset, get_dataset
from vibench.errors import UsageError, VibenchError, suggestion
from vibench.evaluation.distances import DISTANCES, DistanceFunction, Similarity, both_ways
from vibench.evaluation.draws import PermutationsLike, Trial, draw_trials, side_rows
from vibench.evaluation.features import Features, check_features
from vibench.evaluation.images import Images, differences, identify
from vibench.evaluation.metrics import summary, trial_score
from vibench.evaluation.ranking import Ranker, Sought, TieOrder
from vibench.evaluation.rerank import k_reciprocal_distances
from vibench.evaluation.result import Evaluation, PerQuery, TrialScore
from vibench.files.digests import sha256_text
from vibench.protocols import Protocol, Side
from vibench.runtime.progress import Progress, silent

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


@dataclass(frozen=True)
class Case:
    """One protocol under one draw, with the trials that this means among the images of one split."""

    protocol: Protocol
    draw: str
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Product:
    """Scores from a product that serves two directions; see `scorer`."""

    scores: Callable[[slice], Tensor]
    seconds: float
    """What this direction's half of the product took."""


@dataclass(frozen=True)
class TrialOutcome:
    """What one trial of one protocol yields."""

    score: TrialScore
    per_query: PerQuery
    seconds: float


@torch.no_grad()
def evaluate_features(
    splits: Mapping[int, Features] | Features,
    protocols: Sequence[Protocol],
    *,
    dataset: str | None = None,
    draw: str | Sequence[str] | None = "seeded",
    distance: str = "cosine",
    permutations: PermutationsLike | None = None,
    rerank: str = "none",
    query_mode: str = "all",
    device: str = "cpu",
    distances: DistanceFunction | Mapping[int, DistanceFunction] | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    allow_incomplete: bool = False,
    progress: Progress = silent,
) -> list[Evaluation]:
    """Evaluate features under protocols of one data set; one `Evaluation` per protocol and draw, in their order.

    ``splits`` maps split numbers to the features of that split's test images (RegDB; the metrics are averaged), or
    is one `Features`, of split ``meta["trial"]`` if it says so and else 1. ``dataset`` defaults to
    ``meta["dataset"]``, then to the protocols' own. ``draw``, one or several, which share their work, is ignored by
    protocols without draws; ``official`` needs ``permutations``. ``distances`` replaces ``distance``, one for all
    splits or one for each. Metrics are computed in float64 on ``device``, in chunks of about ``chunk_bytes``, and do
    not depend on the order of the features' rows.

    A gallery with fewer identities than a rank has the CMC stay at its last value. A query whose identity has no
    reachable gallery image is left out of every metric and counted in a note. Raises `UsageError` for unusable
    features, missing permutations and, unless ``allow_incomplete``, for images missing from a real data set.
    """
    by_split = _by_split(splits)
    own = distances if isinstance(distances, Mapping) else dict.fromkeys(by_split, distances)
    first = next(iter(own.values()))
    settings = Settings(distance, first, rerank, query_mode, device, chunk_bytes)
    known = _dataset_of(by_split, protocols, dataset)
    version = str(next(iter(by_split.values())).meta.get("dataset_version", ""))
    asked = [draw] if draw is None or isinstance(draw, str) else draw
    cases = [
        (protocol, how) for protocol in protocols for how in dict.fromkeys(protocol.resolve_draw(one) for one in asked)
    ]
    outcomes: list[list[TrialOutcome]] = [[] for _ in cases]
    notes: list[str] = []
    for split, features in by_split.items():
        check_features(features, f"features of split {split}" if len(by_split) > 1 else "features")
        images = identify(features, known)
        notes += _incomplete(differences(images, known), allow_incomplete)
        of_split = replace(settings, own=own[split])
        drawn = [
            Case(protocol, how, draw_trials(protocol, images, how, permutations, split)) for protocol, how in cases
        ]
        mirrored = _mirrored(protocols, features, images, of_split)
        for members in _sharing(protocol for protocol, _ in cases):
            group = [drawn[member] for member in members]
            scored = _evaluate_group(group, features, images, of_split, mirrored, progress)
            for member, found in zip(members, scored, strict=True):
                outcomes[member] += found
    evaluations = []
    for (protocol, how), trial_outcomes in zip(cases, outcomes, strict=True):
        counts = _count_differences(protocol, trial_outcomes)
        # A twin of another scale has other counts by design, and reported counts prove nothing.
        more = [] if known.synthetic else counts
        if not protocol.expected.reported_by:
            more = _incomplete(more, allow_incomplete)
        permuted = permutations.sha256 if how == "official" and permutations is not None else ""
        evaluations.append(
            Evaluation(
                protocol=protocol.name,
                protocol_version=protocol.version,
                dataset=known.name,
                fingerprint=protocol.fingerprint(known.name, how, permuted, version),
                draw=how,
                distance=distance if first is None else first.name,
                rerank=rerank,
                query_mode=query_mode,
                complete=not counts and not notes,
                notes=(*dict.fromkeys([*notes, *more, *_unreachable(trial_outcomes)]),),
                matching_seconds=sum(outcome.seconds for outcome in trial_outcomes),
                **summary([one.score for one in trial_outcomes], [one.per_query for one in trial_outcomes]),
            )
        )
    return evaluations


def _by_split(splits: Mapping[int, Features] | Features) -> dict[int, Features]:
    if isinstance(splits, Features):
        trial = splits.meta.get("trial")
        return {trial if isinstance(trial, int) else 1: splits}
    if not splits:
        raise UsageError("there are no features to evaluate.")
    return dict(sorted(splits.items()))


def _dataset_of(by_split: Mapping[int, Features], protocols: Sequence[Protocol], dataset: str | None) -> Dataset:
    if not protocols:
        raise UsageError("there is no protocol to evaluate; name one with --protocol.")
    named = {str(features.meta["dataset"]) for features in by_split.values() if "dataset" in features.meta}
    if len(named) > 1:
        raise UsageError(f"the features come from different data sets: {', '.join(sorted(named))}.")
    known = get_dataset(dataset or next(iter(named), protocols[0].dataset))
    for protocol in protocols:
        if protocol.layout != known.layout:
            raise UsageError(
                f"protocol {protocol.name} is for {protocol.layout}, but the features are of {known.name}; "
                "choose protocols of one data set."
            )
        if len(by_split) > 1 and protocol.draws != ("none",):
            raise UsageError(
                f"protocol {protocol.name} takes the features of one split, not {len(by_split)}; "
                "only RegDB has several splits."
            )
        outside = [split for split in by_split if split not in range(1, protocol.trials + 1)]
        if outside and protocol.draws == ("none",):
            raise UsageError(f"{known.name} has no split {outside[0]}; it has splits 1 to {protocol.trials}.")
    return known


def _incomplete(sentences: Sequence[str], allowed: bool) -> list[str]:
    """The sentences as notes, or a refusal."""
    if sentences and not allowed:
        raise UsageError(
            f"{sentences[0]}; complete the features file, name its data set with --dataset if it is another, "
            "or evaluate what is there, unranked, with --allow-incomplete."
        )
    return list(sentences)


def _sharing(protocols: Iterable[Protocol]) -> list[list[int]]:
    """Places of the protocols that can rank together: same queries, skip rule and CMC rule."""
    groups: dict[object, list[int]] = defaultdict(list)
    for place, protocol in enumerate(protocols):
        groups[protocol.query, protocol.gallery.modality, protocol.skip, protocol.cmc].append(place)
    return list(groups.values())


def _mirrored(
    protocols: Sequence[Protocol], features: Features, images: Images, settings: Settings
) -> dict[tuple[Side, Side], Product]:
    """By query and gallery, what protocols share that ask what the other answers.

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


def _evaluate_group(
    group: Sequence[Case],
    features: Features,
    images: Images,
    settings: Settings,
    mirrored: Mapping[tuple[Side, Side], Product],
    progress: Progress,
) -> list[list[TrialOutcome]]:
    """Trial outcomes per case of one group of `_sharing`."""
    rules = group[0].protocol
    trials = [trial for case in group for trial in case.trials]
    if settings.per_trial:
        scored = []
        with progress("ranking trials", len(trials)) as advance:
            for trial in trials:
                scored += _rank(rules, [trial], trial.query, trial.gallery, features, images, settings, silent)
                advance(1)
    else:
        query = images.ordered(np.unique(np.concatenate([trial.query for trial in trials])))
        candidates = np.unique(np.concatenate([trial.gallery for trial in trials]))
        # Every trial's gallery agrees with its order up to images of one folder: see `vibench.evaluation.ranking`.
        camera_first = np.array([case.draw == "official" for case in group for _ in case.trials])
        gallery = images.ordered(candidates, camera_first[0])
        sides = {(case.protocol.query, case.protocol.gallery) for case in group}
        product = mirrored.get(sides.pop()) if len(sides) == 1 else None
        tie_order = _tie_order(images, gallery, camera_first, settings.device)
        scored = _rank(rules, trials, query, gallery, features, images, settings, progress, product, tie_order)
    taken = iter(scored)
    return [[next(taken) for _ in case.trials] for case in group]


def _rank(
    rules: Protocol,
    trials: Sequence[Trial],
    query: np.ndarray,
    gallery: np.ndarray,
    features: Features,
    images: Images,
    settings: Settings,
    progress: Progress,
    product: Product | None = None,
    tie_order: TieOrder | None = None,
) -> list[TrialOutcome]:
    """Rank the rows ``query`` against the rows ``gallery``, of which each trial has a part, in chunks of queries."""
    started = time.perf_counter()
    drawn = np.stack([np.isin(gallery, trial.gallery) for trial in trials], axis=1)
    askers, candidates = _sought(images, query, settings.device), _sought(images, gallery, settings.device)
    ranker = Ranker(candidates, torch.from_numpy(drawn).to(settings.device), rules.skip, rules.cmc, tie_order)
    skipped = None
    if settings.own is not None and settings.own.takes_skipped:
        skipped = skipped_pairs(rules, askers.cameras, candidates.cameras)
    if product is None:
        asked, answers = feature_rows(features, query, settings), feature_rows(features, gallery, settings)
        product = Product(scorer(asked, answers, settings, skipped), seconds=0.0)
    chunk = max(1, settings.chunk_bytes // ranker.bytes_per_query())
    parts = []
    with progress("ranking queries", len(query)) as advance:
        for start in range(0, len(query), chunk):
            part = slice(start, min(start + chunk, len(query)))
            scores = product.scores(part)
            if not torch.stack(scores.aminmax()).isfinite().all():
                raise VibenchError("the distances hold NaN or infinite values; check the scale of the features.")
            parts.append(ranker.rank(scores, askers[part]))
            advance(part.stop - part.start)
    ap, inp, first_hit, camera_ap, camera_first_hit = (
        torch.cat([getattr(part, name) for part in parts]).cpu().numpy()
        for name in ("ap", "inp", "first_hit", "camera_ap", "camera_first_hit")
    )
    cameras = ranker.cameras.cpu().numpy()
    seconds = (time.perf_counter() - started + product.seconds) / len(trials)
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
        outcomes.append(TrialOutcome(trial_score(rules, trial, per_query, names), per_query, seconds))
    return outcomes


def _tie_order(images: Images, gallery: np.ndarray, camera_first: np.ndarray, device: str) -> TieOrder | None:
    """For the trials whose draw orders the gallery otherwise than that of the first; ``camera_first`` (T,) bool."""
    trials = np.flatnonzero(camera_first != camera_first[0])
    if len(trials) == 0:
        return None
    place = np.empty(len(images.pids), dtype=np.int64)
    place[gallery] = np.arange(len(gallery))
    columns = place[images.ordered(gallery, camera_first=not camera_first[0])]
    return TieOrder(torch.from_numpy(trials).to(device), torch.from_numpy(columns).to(device))


def _sought(images: Images, rows: np.ndarray, device: str) -> Sought:
    return Sought(
        torch.from_numpy(images.pids[rows]).to(device),
        torch.from_numpy(images.cameras[rows]).to(device),
    )


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


def _count_differences(protocol: Protocol, outcomes: Sequence[TrialOutcome]) -> list[str]:
    """Where counts are not those of the complete data set, one sentence each."""
    sentences = []
    for name in ("queries", "valid_queries", "gallery"):
        expected = getattr(protocol.expected, name)
        odd = [score for score in (outcome.score for outcome in outcomes) if getattr(score, name) != expected]
        if expected is not None and odd:
            source = f" (reported by {protocol.expected.reported_by})" if protocol.expected.reported_by else ""
            what = {"queries": "queries", "valid_queries": "valid queries", "gallery": "gallery images"}[name]
            sentences.append(
                f"trial {odd[0].trial} of protocol {protocol.name} has {getattr(odd[0], name)} {what}, "
                f"the complete data set {expected}{source}"
            )
    return sentences


def _unreachable(outcomes: Sequence[TrialOutcome]) -> list[str]:
    """Notes on queries that no metric counts."""
    worst = max((outcome.score for outcome in outcomes), key=lambda score: score.queries - score.valid_queries)
    missed = worst.queries - worst.valid_queries
    if not missed:
        return []
    return [f"{missed} of {worst.queries} queries have no reachable match"]
