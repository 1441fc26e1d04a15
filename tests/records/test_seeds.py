"""Which records are runs of one experiment, and their mean and deviation."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.records.made import make_record, seeded_run
from vibench.records.schema import Record
from vibench.records.seeds import experiments


def _run(seed: int | None = 0, r1: float = 0.5, **changes: object) -> Record:
    return make_record(r1=r1, run=seeded_run(seed), **changes)


@given(st.lists(st.floats(0, 0.9), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_mean_and_deviation_do_not_depend_on_the_order(scores: list[float], random: object) -> None:
    records = [_run(seed, r1) for seed, r1 in enumerate(scores)]
    random.shuffle(records)  # type: ignore[attr-defined]
    (found,) = experiments(records)
    assert [record.run.seed for record in found.records] == list(range(len(scores)))
    means = [record.mean["r1"] for record in found.records]
    assert found.mean("r1") == pytest.approx(statistics.fmean(means))
    if len(scores) == 1:
        assert found.deviation("r1") is None
    else:
        assert found.deviation("r1") == pytest.approx(statistics.stdev(means), abs=1e-12)


@pytest.mark.parametrize(
    "other",
    [
        replace(_run(1), method="other"),
        replace(_run(1), variant="other"),
        replace(_run(1), feature="pooled"),
        replace(_run(1), query_mode="single"),
        replace(_run(1), rerank="k-reciprocal"),
        replace(_run(1), test_time_information="gallery"),
        replace(_run(1), test_attributes="pred"),
        replace(_run(1), leaking=True),
        replace(_run(1), source="imported"),
        _run(1, trial_count=1),
        replace(_run(1), run=seeded_run(1, recipe_sha256="00" * 32)),
        replace(_run(1), run=seeded_run(1, pretrained="imagenet")),
        replace(_run(1), run=seeded_run(1, epochs=3)),
        replace(_run(1), run=seeded_run(1, recipe_sha256="")),
        _run(None),
    ],
)
def test_records_that_differ_in_more_than_the_seed_stay_apart(other: Record) -> None:
    assert len(experiments([_run(0), other])) == 2


def test_records_without_recipe_are_never_put_together() -> None:
    assert len(experiments([make_record(r1=0.4, source="features"), make_record(r1=0.5, source="features")])) == 2


def test_hardware_and_date_do_not_keep_runs_apart() -> None:
    later = replace(_run(1), created="2026-01-01T00:00:00Z")
    assert len(experiments([_run(0), later])) == 1


def test_the_latest_record_of_a_seed_stands() -> None:
    first, second = _run(0, 0.3), replace(_run(0, 0.5), created="2026-01-01T00:00:00Z")
    (found,) = experiments([second, first, _run(1, 0.4)])
    assert [record.mean["r1"] for record in found.records] == pytest.approx([0.505, 0.405])
    assert found.superseded == (first,)
