"""Features in, scores out: draws the galleries of each protocol, ranks once for all trials, averages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from vibench.datasets.registry import Dataset, get_dataset
from vibench.distributed.world import ALONE, World
from vibench.errors import UsageError
from vibench.evaluation.distances import DistanceFunction
from vibench.evaluation.draws import PermutationsLike, draw_trials
from vibench.evaluation.features import Features, check_features
from vibench.evaluation.images import identify
from vibench.evaluation.metrics import summary
from vibench.evaluation.result import Evaluation
from vibench.evaluation.scorer import Settings, working_bytes
from vibench.evaluation.shared_ranking import Case, TrialOutcome, rank_cases
from vibench.protocols import Protocol
from vibench.runtime.progress import Progress, silent

COMPLETE_FEATURES = (
    "complete the features file, name its data set with --dataset if it is another, or evaluate what is there, "
    "unranked, with --allow-incomplete"
)
"""What to do where images are missing from features."""


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
    chunk_bytes: int | None = None,
    allow_incomplete: bool = False,
    remedy: str = COMPLETE_FEATURES,
    progress: Progress = silent,
    world: World = ALONE,
) -> list[Evaluation]:
    """Evaluate features under protocols of one data set; one `Evaluation` per protocol and draw, in their order.

    ``splits`` maps split numbers to the features of that split's test images (RegDB; the metrics are averaged), or
    is one `Features`, of split ``meta["trial"]`` if it says so and else 1. ``dataset`` defaults to
    ``meta["dataset"]``, then to the protocols' own. ``draw``, one or several, which share their work, is ignored by
    protocols without draws; ``official`` needs ``permutations``. ``distances`` replaces ``distance``, one for all
    splits or one for each. Metrics are those of scores in float64, computed on ``device`` in chunks of about
    ``chunk_bytes`` (by default an eighth of what is free, 256 MiB at most), and do not depend on the order of the
    features' rows. The processes of ``world`` share the queries and return the same.

    A gallery with fewer identities than a rank has the CMC stay at its last value. A query whose identity has no
    reachable gallery image is left out of every metric and counted in a note. Raises `UsageError` for unusable
    features, missing permutations and, unless ``allow_incomplete``, for images missing from a real data set, which
    ``remedy`` says where to complete, or how to allow it.
    """
    by_split = _by_split(splits)
    own = distances if isinstance(distances, Mapping) else dict.fromkeys(by_split, distances)
    first = next(iter(own.values()))
    settings = Settings(distance, first, rerank, query_mode, device, chunk_bytes or working_bytes(device), world)
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
        notes += _incomplete(_missing(features, known), allow_incomplete, remedy)
        of_split = replace(settings, own=own[split])
        drawn = [
            Case(protocol, how, draw_trials(protocol, images, how, permutations, split)) for protocol, how in cases
        ]
        for of_case, found in zip(outcomes, rank_cases(drawn, features, images, of_split, progress), strict=True):
            of_case += found
    evaluations = []
    for (protocol, how), trial_outcomes in zip(cases, outcomes, strict=True):
        counts = _count_differences(protocol, trial_outcomes)
        # A twin of another scale has other counts by design, and reported counts prove nothing.
        more = [] if known.synthetic else counts
        if not protocol.expected.reported_by:
            more = _incomplete(more, allow_incomplete, remedy)
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
                repaired=sum(outcome.repaired for outcome in trial_outcomes),
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


def _missing(features: Features, known: Dataset) -> tuple[str, ...]:
    if features.paths is None:
        return ()
    # Brings what labels alone do without.
    from vibench.datasets.testing import named_differences

    return named_differences(known, features.paths)


def _incomplete(sentences: Sequence[str], allowed: bool, remedy: str) -> list[str]:
    """The sentences as notes, or a refusal."""
    if sentences and not allowed:
        raise UsageError(f"{sentences[0]}; {remedy}.")
    return list(sentences)


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
