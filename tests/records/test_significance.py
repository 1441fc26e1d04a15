"""Bootstrap, sign flips and Holm against slow explicit loops, their invariants, and their rates on simulated data."""

from __future__ import annotations

import itertools
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.records.flips import sign_flip_p
from vibench.records import significance
from vibench.records.significance import (
    ClusterSums,
    Resampling,
    bootstrap,
    bootstraps,
    cluster_sums,
    holm,
    percentile_interval,
    sign_flip_ps,
    welch_margin,
)

Paired = tuple[list[np.ndarray], list[np.ndarray]]


@st.composite
def paired(draw: st.DrawFn) -> Paired:
    """Differences with NaN and cluster labels of one to three trials of different queries."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    identities = draw(st.integers(1, 6))
    differences, clusters = [], []
    for _ in range(draw(st.integers(1, 3))):
        count = draw(st.integers(1, 12))
        values = generator.choice([-0.5, -0.25, 0.0, 0.1, 1.0], count)
        values[generator.random(count) < draw(st.sampled_from([0.0, 0.3]))] = np.nan
        values[0] = 0.25
        differences.append(values)
        clusters.append(generator.integers(0, identities, count) * 7 - 3)
    return differences, clusters


def figure_by_loops(differences: list[np.ndarray], clusters: list[np.ndarray], drawn: list[int]) -> float:
    """The figure where the people ``drawn`` ask, one as often as it was drawn."""
    trials = []
    for values, labels in zip(differences, clusters, strict=True):
        answers = [
            value for person in drawn for value, label in zip(values, labels, strict=True) if label == person
        ]  # fmt: skip
        answers = [value for value in answers if not np.isnan(value)]
        if answers:
            trials.append(sum(answers) / len(answers))
    return sum(trials) / len(trials)


def people(data: Paired) -> list[int]:
    return sorted(
        {
            int(label)
            for values, labels in zip(*data, strict=True)
            for value, label in zip(values, labels, strict=True)
            if not np.isnan(value)
        }
    )


@given(paired())
def test_figure_equals_loops(data: Paired) -> None:
    sums = cluster_sums(*data)
    assert sums.difference == pytest.approx(figure_by_loops(*data, people(data)), abs=1e-12)
    assert sums.contributions.sum() == pytest.approx(sums.difference, abs=1e-12)


@given(paired())
def test_bootstrap_equals_loops(data: Paired) -> None:
    known = people(data)
    times = np.random.default_rng(5).multinomial(len(known), np.full(len(known), 1 / len(known)), size=20)
    expected = [
        figure_by_loops(*data, [person for person, often in zip(known, row, strict=True) for _ in range(often)])
        for row in times
    ]
    np.testing.assert_allclose(bootstrap(cluster_sums(*data), 20, seed=5), expected, rtol=0, atol=1e-12)


@given(st.lists(st.sampled_from([-0.3, -0.1, 0.0, 0.1, 0.2, 0.7]), min_size=1, max_size=8))
def test_exact_sign_flips_equal_loops(contributions: list[float]) -> None:
    observed = abs(sum(contributions))
    flipped = [
        abs(sum(sign * part for sign, part in zip(signs, contributions, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(contributions))
    ]
    expected = sum(value >= observed - 1e-9 for value in flipped) / len(flipped)
    assert sign_flip_p(np.array(contributions), 256) == expected


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_drawn_sign_flips_equal_loops(seed: int) -> None:
    contributions = np.random.default_rng(seed).standard_normal(20) + 0.2
    flips = np.random.default_rng(seed).integers(0, 2, size=(200, 20), dtype=np.int8)
    extreme = sum(
        abs(sum(-part if flip else part for flip, part in zip(row, contributions, strict=True)))
        >= abs(contributions.sum()) - 1e-12
        for row in flips
    )
    assert sign_flip_p(contributions, 200, seed) == (1 + extreme) / 201


def test_drawn_sign_flips_approach_the_exact_ones() -> None:
    contributions = np.random.default_rng(3).standard_normal(12) + 0.4
    exact = sign_flip_p(contributions, 2**12)
    assert sign_flip_p(contributions, 2**12 - 1) == pytest.approx(exact, abs=0.03)


def test_no_difference_is_certain_to_be_reached() -> None:
    assert sign_flip_p(np.zeros(5)) == 1.0
    assert sign_flip_p(np.zeros(50), 100) == 1.0
    # Never 0, however clear.
    assert sign_flip_p(np.ones(50), 999) == 1 / 1000


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([4, 30]))
def test_many_figures_of_one_draw_equal_one_by_one(seed: int, people: int) -> None:
    generator = np.random.default_rng(seed)
    labels = [np.append(np.arange(people), generator.integers(0, people, 20)) for _ in range(2)]
    values = [[generator.choice([0.0, 0.5, 1.0], len(part)) for part in labels] for _ in range(3)]
    sides = [cluster_sums(of_side, labels) for of_side in values]
    pairs = list(itertools.combinations(range(3), 2))
    figures, p_values = bootstraps(sides, 60, seed), sign_flip_ps(
        np.stack([side.contributions for side in sides]), pairs, 60, seed
    )  # fmt: skip
    for (one, other), p in zip(pairs, p_values, strict=True):
        difference = cluster_sums([a - b for a, b in zip(values[one], values[other], strict=True)], labels)
        assert p == sign_flip_p(difference.contributions, 60, seed)
        np.testing.assert_allclose(figures[one] - figures[other], bootstrap(difference, 60, seed), rtol=0, atol=1e-12)


@pytest.mark.parametrize("pairs", [1, 3, 378, 5000])
def test_flips_suffice_for_the_correction(pairs: int) -> None:
    resampling = Resampling(resamples=400)
    least = 1 / (1 + resampling.flips(pairs))
    assert holm([least] * pairs)[0] <= 0.1 * (1 - resampling.level) or pairs == 1
    assert resampling.flips(pairs) >= 400


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_what_its_steps_reject(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for rank, place in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
            if (len(p_values) - rank) * p_values[place] > level:
                break
            rejected.add(place)
        assert rejected == {place for place, value in enumerate(adjusted) if value <= level}
    assert all(0 <= raw <= value <= 1 for raw, value in zip(p_values, adjusted, strict=True))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(paired())
def test_swapping_the_methods_changes_the_sign_alone(data: Paired) -> None:
    one, other = cluster_sums(*data), cluster_sums([-values for values in data[0]], data[1])
    assert other.difference == -one.difference
    lower, upper = percentile_interval(bootstrap(one, 50))
    assert percentile_interval(bootstrap(other, 50)) == pytest.approx((-upper, -lower), abs=1e-12)
    assert sign_flip_p(other.contributions, 50) == sign_flip_p(one.contributions, 50)


@given(paired(), st.integers(0, 2**32 - 1))
def test_order_of_queries_and_names_of_people_are_irrelevant(data: Paired, seed: int) -> None:
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(len(values)) for values in data[0]]
    # Larger names in the same order.
    other = cluster_sums(
        [values[order] for values, order in zip(data[0], orders, strict=True)],
        [labels[order] * 10 + 3 for labels, order in zip(data[1], orders, strict=True)],
    )
    one = cluster_sums(*data)
    np.testing.assert_allclose(bootstrap(other, 30), bootstrap(one, 30), rtol=0, atol=1e-12)
    assert sign_flip_p(other.contributions, 30) == sign_flip_p(one.contributions, 30)


@given(paired(), st.floats(0.01, 100))
def test_scale_changes_the_figures_alone(data: Paired, scale: float) -> None:
    one, other = cluster_sums(*data), cluster_sums([values * scale for values in data[0]], data[1])
    np.testing.assert_allclose(bootstrap(other, 30), bootstrap(one, 30) * scale, rtol=1e-9, atol=1e-12 * scale)
    assert sign_flip_p(other.contributions, 30) == sign_flip_p(one.contributions, 30)


@given(paired())
def test_queries_of_an_invalid_person_change_nothing(data: Paired) -> None:
    differences = [np.append(values, np.nan) for values in data[0]]
    clusters = [np.append(labels, 999) for labels in data[1]]
    one, other = cluster_sums(*data), cluster_sums(differences, clusters)
    np.testing.assert_array_equal(one.sums, other.sums)
    np.testing.assert_array_equal(one.counts, other.counts)


def test_without_a_valid_query_there_is_no_figure() -> None:
    with pytest.raises(ValueError, match="no query"):
        cluster_sums([np.array([np.nan])], [np.array([1])])


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    sums = cluster_sums([generator.standard_normal(200)], [generator.integers(0, 30, 200)])
    figures, p = bootstrap(sums, 100), sign_flip_p(sums.contributions, 100)
    monkeypatch.setattr(significance, "CHUNK_BYTES", 4096)
    np.testing.assert_array_equal(bootstrap(sums, 100), figures)
    assert sign_flip_p(sums.contributions, 100) == p


def simulated(generator: np.random.Generator, effect: float) -> ClusterSums:
    """Forty people of two to twenty queries each; what a person adds varies more than what a query adds."""
    sizes = generator.integers(2, 21, 40)
    labels = np.repeat(np.arange(40), sizes)
    values = effect + 0.1 * generator.standard_normal(40)[labels] + 0.05 * generator.standard_normal(len(labels))
    return cluster_sums([values], [labels])


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    generator = np.random.default_rng(1)
    covered = by_query = 0
    for repetition in range(300):
        sizes = generator.integers(2, 21, 40)
        labels = np.repeat(np.arange(40), sizes)
        values = 0.02 + 0.1 * generator.standard_normal(40)[labels] + 0.05 * generator.standard_normal(len(labels))
        lower, upper = percentile_interval(bootstrap(cluster_sums([values], [labels]), 300, repetition))
        covered += lower <= 0.02 <= upper
        # As if every query were another person's.
        lower, upper = percentile_interval(bootstrap(cluster_sums([values], [np.arange(len(values))]), 300, repetition))
        by_query += lower <= 0.02 <= upper
    assert 0.90 <= covered / 300 <= 0.98
    assert by_query / 300 < 0.75


def test_no_effect_is_found_as_seldom_as_the_level_says_and_a_large_one_mostly() -> None:
    generator = np.random.default_rng(2)
    null = [sign_flip_p(simulated(generator, 0.0).contributions, 300, seed) for seed in range(400)]
    assert 0.02 <= np.mean(np.array(null) <= 0.05) <= 0.08
    assert 0.15 <= np.mean(np.array(null) <= 0.2) <= 0.25
    real = [sign_flip_p(simulated(generator, 0.07).contributions, 300, seed) for seed in range(100)]
    assert np.mean(np.array(real) <= 0.05) > 0.9


def test_welch_margin() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    first, second = [0.50, 0.52, 0.55], [0.40, 0.44, 0.41, 0.43]
    margin = welch_margin(first, second)
    assert margin is not None
    # The difference that lies just at the margin has a p of just the level.
    shifted = np.array(second) - np.mean(second) + np.mean(first) - margin
    assert scipy_stats.ttest_ind(first, shifted, equal_var=False).pvalue == pytest.approx(0.05)
    assert welch_margin([0.5], second) is None
    assert welch_margin([0.5, 0.5], [0.5, 0.5]) == 0.0


def test_the_real_test_set_takes_seconds_and_little_memory() -> None:
    generator = np.random.default_rng(0)
    labels = [np.sort(generator.integers(0, 96, 3803))] * 10
    tracemalloc.start()
    started = time.perf_counter()
    sums = cluster_sums([generator.standard_normal(3803) for _ in range(10)], labels)
    bootstrap(sums)
    sign_flip_p(sums.contributions)
    seconds, peak = time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 10 and peak < 100 << 20


def test_the_interval_of_a_resampling_heeds_all_that_it_says() -> None:
    generator = np.random.default_rng(0)
    sums = ClusterSums(generator.random((20, 2)) - 0.5, np.ones((20, 2)))
    given = Resampling(resamples=300, seed=5, level=0.8)
    assert given.interval(sums) == percentile_interval(bootstrap(sums, 300, 5), 0.8)
    others = (Resampling(200, 5, 0.8), Resampling(300, 6, 0.8), Resampling(300, 5, 0.9))
    assert given.interval(sums) not in [other.interval(sums) for other in others]
