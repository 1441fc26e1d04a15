"""Recomputation accepts what an evaluation wrote and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.records.made import make_per_query, make_record
from tests.records.scored import scored_record
from vibench.evaluation.result import METRICS, PerQuery
from vibench.records.recomputation import disagreements, recompute
from vibench.records.record_json import from_json, record_dict, to_json
from vibench.records.store import record_path, write_record

OLD = Path(__file__).parent / "old_records"


def test_true_records_agree(tmp_path: Path) -> None:
    for seed in range(3):
        write_record(tmp_path, *scored_record("agw", seed))
    done = recompute(tmp_path)
    # Per trial six metrics and two counts, over trials six means and deviations, and the CMC with its length.
    assert (done.records, done.figures, done.problems) == (3, 3 * (2 * 8 + 12 + 1 + 6), ())


@pytest.mark.parametrize("folder", sorted(path.name for path in OLD.iterdir() if path.is_dir()))
def test_records_of_earlier_versions_agree(folder: str) -> None:
    done = recompute(OLD / folder)
    assert done.records and done.figures > 60 and done.problems == ()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("place", ["trials", "mean", "std"])
def test_every_figure_is_checked(metric: str, place: str) -> None:
    record, outcomes = scored_record("agw", 0)
    content = record_dict(record)
    before = disagreements(record, outcomes)[1]
    table = content["trials"][1] if place == "trials" else content[place]
    # Too little for the check of means that every reading makes.
    table[metric] += 1e-10 if table[metric] < 0.5 else -1e-10
    differing, agreeing = disagreements(from_json(json.dumps(content)), outcomes)
    assert len(differing) == 1 and metric in differing[0]
    assert agreeing == before - 1


def test_curve_and_counts_are_checked() -> None:
    record, outcomes = scored_record("agw", 0)
    bent = replace(record, cmc=(record.cmc[0] - 1e-11, *record.cmc[1:]))
    assert "CMC at 1 " in disagreements(bent, outcomes)[0][0]
    assert "length of the CMC" in disagreements(replace(record, cmc=record.cmc[:-1]), outcomes)[0][0]
    fewer = replace(record, trials=(replace(record.trials[0], valid_queries=1), record.trials[1]))
    assert "valid_queries of trial 0" in disagreements(fewer, outcomes)[0][0]


def test_rounding_is_no_disagreement() -> None:
    record, outcomes = scored_record("agw", 0)
    rounded = replace(record, std={metric: value + 1e-14 for metric, value in record.std.items()})
    assert disagreements(rounded, outcomes)[0] == []


def altered(outcome: PerQuery, **changes: object) -> PerQuery:
    """With single entries replaced, such as ``ap=(3, 2.0)``."""
    arrays = {}
    for name, (at, value) in changes.items():  # type: ignore[misc]
        arrays[name] = getattr(outcome, name).copy()
        arrays[name][at] = value
    return replace(outcome, **arrays)


def test_impossible_outcomes_are_reported() -> None:
    record, (first, second) = scored_record("agw", 0)
    for change, words in (
        ({"ap": (0, np.nan)}, "ap and first_hit disagree"),
        ({"inp": (0, np.inf)}, "inp outside"),
        ({"ap": (0, -0.5)}, "ap outside"),
        ({"first_hit": (0, -3)}, "negative rank"),
        ({"first_hit": (slice(None), 0)}, "no valid query"),
    ):
        (said,), agreeing = disagreements(record, (first, altered(second, **change)))
        assert words in said and "trial 1" in said and agreeing == 0


def test_what_is_missing_damaged_or_wrong_is_named_once(tmp_path: Path) -> None:
    write_record(tmp_path, *scored_record("good", 0))
    wrong = write_record(tmp_path, make_record("invented"), (make_per_query(0), make_per_query(1)))
    lonely = write_record(tmp_path, *scored_record("lonely", 1))
    lonely.with_suffix(".npz").unlink()
    broken = write_record(tmp_path, *scored_record("broken", 2))
    content = bytearray(broken.with_suffix(".npz").read_bytes())
    content[100:110] = b"0123456789"
    broken.with_suffix(".npz").write_bytes(content)
    swapped, _ = scored_record("swapped", 3)
    path = record_path(tmp_path, swapped)
    path.write_text(to_json(swapped))
    path.with_suffix(".npz").write_bytes(wrong.with_suffix(".npz").read_bytes())
    (wrong.parent / "cut-0123456789ab.json").write_text("{")
    done = recompute(tmp_path)
    assert done.records == 5
    named = sorted(Path(problem.partition(": ")[0]).stem for problem in done.problems)
    assert named == sorted([wrong.stem, lonely.stem, broken.stem, path.stem, "cut-0123456789ab"])


def test_an_empty_store_has_nothing_wrong(tmp_path: Path) -> None:
    assert recompute(tmp_path).problems == ()
