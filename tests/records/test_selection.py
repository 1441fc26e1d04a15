"""What a user types means exactly one thing, or the message says what it could mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.records.made import make_record
from tests.records.scored import scored_record
from vibench.corruption import parse_corruptions
from vibench.errors import UsageError
from vibench.protocols import load_protocol
from vibench.records.schema import Record, RunInfo
from vibench.records.selection import Wanted, select, wanted_corruption
from vibench.records.store import write_record


def stored(*records: Record) -> dict[Path, Record]:
    return {Path(f"{record.label}-{record.id}.json"): record for record in records}


def run(method: str, seed: int | None = 0, **changes: Any) -> Record:
    about = {"epochs": changes.pop("epochs", 60)}
    return make_record(method, run=RunInfo(seed=seed, **about), **changes)


def chosen(name: str, records: dict[Path, Record], **wanted: Any) -> list[Record]:
    return list(select(name, records, Wanted(**wanted)).records.values())


def test_label_means_all_its_seeds() -> None:
    seeds = [run("agw", seed) for seed in range(3)]
    records = stored(*seeds, run("agw", 0, variant="no-nl"), run("ddag"))
    assert chosen("agw", records) == seeds
    assert select("agw", records, Wanted()).name == "agw"


def test_variant_by_colon_or_as_boards_write_it() -> None:
    one, other = run("ddag", variant="b"), run("ddag", variant="b-p")
    records = stored(one, other)
    assert chosen("ddag:b-p", records) == chosen("ddag-b-p", records) == [other]
    assert chosen("ddag:b", records) == [one]
    with pytest.raises(UsageError, match="several variants; name one of ddag:b, ddag:b-p"):
        chosen("ddag", records)
    # The only variant needs no name.
    assert chosen("ddag", stored(other)) == [other]


def test_id_and_its_unique_beginning() -> None:
    one, other = run("agw", 0), run("agw", 1)
    records = stored(one, other)
    assert chosen(one.id, records) == chosen(one.id[:6].upper(), records) == [one]
    with pytest.raises(UsageError, match="no record id and no method"):
        chosen("", records)
    same = [run("x", seed) for seed in range(40)]
    doubled = next(a.id[0] for a in same for b in same if a is not b and a.id[0] == b.id[0])
    with pytest.raises(UsageError, match="type more of one"):
        chosen(doubled, stored(*same))


def test_path_of_a_record_anywhere(tmp_path: Path) -> None:
    record, outcomes = scored_record("agw", 0)
    path = write_record(tmp_path, record, outcomes)
    assert chosen(str(path), {}) == [record]
    with pytest.raises(UsageError, match="cannot be read"):
        chosen(str(tmp_path / "none.json"), {})


def test_commas_join_runs() -> None:
    one, other = run("agw", 0, epochs=60), run("agw", 1, epochs=80)
    records = stored(one, other)
    runs = select(f"{one.id},{other.id[:8]}", records, Wanted())
    assert (runs.name, list(runs.records.values())) == ("agw", [one, other])
    with pytest.raises(UsageError, match="twice"):
        select(f"{one.id},{one.id[:8]}", records, Wanted())


def test_unknown_name_lists_and_suggests() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'agw'.*records of agw, ddag:b"):
        chosen("aggw", stored(run("agw"), run("ddag", variant="b")))
    with pytest.raises(UsageError, match="no method"):
        chosen("agw", {})


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"protocol": "sysu-indoor"}, "--protocol"),
        ({"draw": "official"}, "--draw"),
        ({"dataset": "sysu-mm01"}, "--dataset"),
    ],
)
def test_what_an_option_can_choose(changes: dict[str, str], option: str) -> None:
    one, other = run("agw", 0), run("agw", 1, **changes)
    records = stored(one, other)
    with pytest.raises(UsageError, match=f"choose with {option}.*{one.id}.*{other.id}"):
        chosen("agw", records)
    assert chosen("agw", records, **changes) == [other]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 4}, "epochs"),
        ({"distance": "euclidean"}, "distance"),
        ({"source": "imported"}, "source"),
        ({"fingerprint": "00" * 32}, "fingerprint"),
        ({"trial_count": 3}, "trials"),
    ],
)
def test_runs_that_differ_in_more_than_the_seed(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"differ in {words}.*by id"):
        chosen("agw", stored(run("agw", 0), run("agw", 1, **changes)))


def test_other_ways_of_ranking_are_asked_for() -> None:
    plain, ranked = run("agw", 0), run("agw", 0, rerank="k-reciprocal")
    records = stored(plain, ranked)
    assert chosen("agw", records) == [plain]
    assert chosen("agw", records, rerank="k-reciprocal") == [ranked]
    with pytest.raises(UsageError, match="none of its 2 records is of query mode single"):
        chosen("agw", records, query_mode="single")


def test_a_seed_counts_once() -> None:
    with pytest.raises(UsageError, match="two records of seed 3"):
        chosen("agw", stored(run("agw", 3, r1=0.5), run("agw", 3, r1=0.6)))
    # Features need not say their seed.
    assert len(chosen("net", stored(run("net", None, r1=0.5), run("net", None, r1=0.6)))) == 2


def test_a_label_means_clean_images_unless_a_corruption_is_named() -> None:
    fog, *rain = (*parse_corruptions("fog"), *parse_corruptions("rain:1-2"))
    clean, *others = (run("agw", corruption=one, fingerprint=f"{at}" * 64) for at, one in enumerate((None, fog, *rain)))
    records = stored(clean, *others)
    assert chosen("agw", records) == [clean]
    assert chosen("agw", records, corruption=rain[1]) == [others[2]]
    with pytest.raises(UsageError, match="corrupted by snow, visible images"):
        chosen("agw", records, corruption=parse_corruptions("snow")[0])
    # Ids mean what they are of.
    assert chosen(others[0].id, records) == [others[0]]


def test_the_corruption_of_a_comparison_is_asked_for_or_the_protocol_s_own() -> None:
    scripted = load_protocol("sysu-all-c-as-scripted").corruption
    assert wanted_corruption("", None, None) is None and wanted_corruption("sysu-all", None, None) is None
    assert wanted_corruption("sysu-all-c-as-scripted", None, None) == scripted
    assert wanted_corruption("sysu-all", "mixed", "visible") == scripted
    with pytest.raises(UsageError, match="means 3 boards; name one, such as occlusion:1"):
        wanted_corruption("sysu-all", "occlusion:1-3", "visible")
    with pytest.raises(UsageError, match="by its own rules"):
        wanted_corruption("sysu-all-c-as-scripted", "fog", "visible")
