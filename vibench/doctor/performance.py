"""Features are evaluated, and the score compared with what is plausible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from vibench.datasets.registry import Dataset
from vibench.doctor.diagnosis import Diagnosis, Finding
from vibench.doctor.values import UNIT, lengths
from vibench.errors import UsageError, VibenchError, cited
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features
from vibench.evaluation.result import Evaluation
from vibench.leaderboard.published import load_published
from vibench.protocols import Protocol
from vibench.runtime.progress import Progress, silent

_PERFECT = 0.9995
"""Rank-1 that rounds to 100.0 %."""
_ABOVE = 0.05
"""Above the best printed number by more than this, a score is surprising."""
_FEW = 50
"""Identities below which a perfect score is no surprise."""
_CHANCE = 2.0
"""Times chance that features of a trained network reach easily."""
_APART = 0.01
"""Of rank-1: whether the distance matters."""
_LEAK_GAP = 0.1
_LEAK_SHUFFLES = 4000
_LARGEST_ROWS = 200_000

LEAKS = (
    "look for the usual leaks: test identities in training, a RegDB checkpoint of another split, the true image among "
    "the gallery's, labels in the features, a best epoch chosen by this score"
)


@dataclass(frozen=True)
class Measured:
    """What evaluating features under one protocol came to; all but ``evaluation`` in the first trial alone."""

    rules: Protocol
    evaluation: Evaluation
    euclidean: Evaluation | None
    shuffled: Evaluation
    """With the rows of each modality exchanged at random: chance."""


def measure(
    features: Features, dataset: Dataset, protocols: Sequence[Protocol], split: int, progress: Progress = silent
) -> tuple[list[Measured], str]:
    """The scores of sound features under those protocols that can be evaluated, or why none can."""
    measured, reason = [], ""
    if len(features.features) > _LARGEST_ROWS:
        return [], f"they have {len(features.features)} rows; evaluate them with 'vibench eval'"
    length = lengths(features.features)
    unit = bool(np.allclose(length[length > 0], 1.0, atol=UNIT))
    mixed = _shuffled(features)
    for rules in protocols:
        try:
            plain = _evaluated(features, dataset, rules, split, "cosine", progress)
            # One trial tells as much of these.
            once = replace(rules, trials=1) if rules.shots else rules
            chance = _evaluated(mixed, dataset, once, split, "cosine", progress)
            other = None if unit else _evaluated(features, dataset, once, split, "euclidean", progress)
        except VibenchError as error:  # numbers of a scale whose distances are none, too
            reason = str(error)
            continue
        measured.append(Measured(rules, plain, other, chance))
    return measured, reason


def _evaluated(
    features: Features, dataset: Dataset, rules: Protocol, split: int, distance: str, progress: Progress
) -> Evaluation:
    return evaluate_features(
        {split if rules.draws == ("none",) else 1: features},
        [rules],
        dataset=dataset.name,
        distance=distance,
        allow_incomplete=True,
        progress=progress,
    )[0]


def _shuffled(features: Features) -> Features:
    order = np.random.default_rng(0).permutation(len(features.features))
    return replace(features, features=features.features[order], extras={})


def show_scores(measured: Sequence[Measured], diagnosis: Diagnosis, synthetic: bool) -> None:
    """The scores as facts. A twin has other counts than the real data set by design."""
    for one in measured:
        mean = one.evaluation.mean
        partly = "" if one.evaluation.complete or synthetic else ", of what is there"
        diagnosis.note(
            f"under {one.rules.name}",
            f"rank-1 {mean['r1']:.2%}, mAP {mean['map']:.2%} (cosine, {one.evaluation.draw} draw{partly})"
            if one.evaluation.draw != "none"
            else f"rank-1 {mean['r1']:.2%}, mAP {mean['map']:.2%} (cosine{partly})",
        )


def distances_differ(measured: Sequence[Measured]) -> list[Finding]:
    """Features whose lengths decide on the score."""
    for one in measured:
        if one.euclidean is None:
            continue
        first = one.evaluation.trials[0]
        cosine, euclidean = first.r1, one.euclidean.trials[0].r1
        # Few queries leave rank-1 uncertain by itself.
        if abs(cosine - euclidean) > max(_APART, 3 * (cosine * (1 - cosine) / first.valid_queries) ** 0.5):
            return [
                Finding(
                    "doubtful",
                    "features are not normalised, and it matters",
                    f"rank-1 under {one.rules.name} is {cosine:.2%} by cosine, {euclidean:.2%} by Euclidean distance",
                    "find out by which of them the method was trained and reported, and evaluate with --distance "
                    "cosine or --distance euclidean accordingly",
                )
            ]
    return []


def chance(measured: Sequence[Measured]) -> list[Finding]:
    """Scores that rows in any order would have as well."""
    for one in measured:
        found, shuffled = one.evaluation, one.shuffled
        people = len({int(pid) for outcome in found.per_query for pid in outcome.pid})
        if people < 10 or any(found.mean[m] > _CHANCE * shuffled.mean[m] for m in ("map", "r1")):
            continue
        return [
            Finding(
                "doubtful",
                "no better than chance",
                f"mAP under {one.rules.name} is {found.mean['map']:.2%}, and {shuffled.mean['map']:.2%} with the rows "
                "exchanged at random",
                "see whether names stand in the order of the rows (a loader that shuffles), and whether the network "
                "was trained and its weights were loaded",
            )
        ]
    return []


def too_good(score: float, mean_ap: float, rules: Protocol, people: int, synthetic: bool, where: str) -> list[Finding]:
    """A perfect score, or one far above every printed one."""
    if score >= _PERFECT:
        few = people < _FEW
        return [
            Finding(
                "note" if few else "wrong",
                "a perfect score",
                f"rank-1 {score:.2%}, mAP {mean_ap:.2%} under {rules.name}{where}, with {people} identities",
                "so few people are easily told apart; nothing need be wrong" if few else LEAKS,
            )
        ]
    # Of corrupted images too few methods print a number for the best to mean anything.
    if synthetic or people < _FEW or rules.corruption is not None:
        return []
    best = best_printed(rules.name)
    above = [
        f"{shown} {value:.2%} where the best printed is {best[metric][0]:.2%} ({best[metric][1]})"
        for metric, shown, value in (("r1", "rank-1", score), ("map", "mAP", mean_ap))
        if metric in best and value > min(best[metric][0] + _ABOVE, _PERFECT)
    ]
    if not above:
        return []
    return [
        Finding("doubtful", "a score above every printed one", f"under {rules.name}{where}: {'; '.join(above)}", LEAKS)
    ]


@lru_cache(maxsize=64)
def best_printed(protocol: str) -> dict[str, tuple[float, str]]:
    """By metric (``r1``, ``map``) the best printed score and whose it is; empty where none is known."""
    try:
        published = load_published()
    except UsageError:
        return {}
    best: dict[str, tuple[float, str]] = {}
    for row in published.results:
        for metric in ("r1", "map"):
            if row.protocol == protocol and row.values.get(metric):
                value = float(row.values[metric]) / 100
                if value > best.get(metric, (0.0, ""))[0]:
                    best[metric] = value, row.label
    return best


def perfect_scores(measured: Sequence[Measured], dataset: Dataset) -> list[Finding]:
    found: list[Finding] = []
    for one in measured:
        mean = one.evaluation.mean
        people = len({int(pid) for outcome in one.evaluation.per_query for pid in outcome.pid})
        found += too_good(mean["r1"], mean["map"], one.rules, people, dataset.synthetic, "")
    return found[:1]


def known_better(measured: Sequence[Measured], training: dict[int, set[int]], claimed: int | None) -> list[Finding]:
    """A split of RegDB whose training identities are found far better than the others: the model was trained on it.

    ``training`` are the training identities of every split.
    """
    for one in measured:
        outcome = one.evaluation.per_query[0]
        valid = outcome.first_hit > 0
        people = np.unique(outcome.pid[valid])
        means = np.array([float(np.mean(outcome.ap[valid & (outcome.pid == pid)])) for pid in people])
        gaps = {}
        for split, pids in training.items():
            inside = np.isin(people, list(pids))
            if min(inside.sum(), (~inside).sum()) >= 5:
                gaps[split] = (float(means[inside].mean() - means[~inside].mean()), inside)
        if not gaps:
            continue
        split = max(gaps, key=lambda number: gaps[number][0])
        gap, inside = gaps[split]
        if gap < _LEAK_GAP or not _beyond_chance(means, gap, int(inside.sum()), len(gaps)):
            continue
        return [
            Finding(
                "wrong",
                "a RegDB model of another split",
                f"mAP under {one.rules.name} is {means[inside].mean():.2%} for the {int(inside.sum())} identities that "
                f"are training identities of split {split} (such as {cited(people[inside].tolist(), 3)}) and "
                f"{means[~inside].mean():.2%} for the other {int((~inside).sum())}",
                f"the model was probably trained on split {split}: evaluate it on the test images of that split"
                + (f", and train another for split {claimed}" if claimed else ""),
            )
        ]
    return []


def _beyond_chance(values: np.ndarray, gap: float, size: int, tried: int) -> bool:
    """Whether so large a difference hardly comes of dealing the values into two at random, ``tried`` times."""
    random = np.random.default_rng(0)
    total, count = values.sum(), len(values)
    sums = np.array([values[random.permutation(count)[:size]].sum() for _ in range(_LEAK_SHUFFLES)])
    gaps = sums / size - (total - sums) / (count - size)
    # Of the normal distribution that they follow, because so few cannot show so small a chance.
    return gap > gaps.mean() + 3.5 * gaps.std() and tried * float((gaps >= gap).mean()) < 0.01
