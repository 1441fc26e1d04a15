"""Whatever lies in the records folder, the boards are rendered: sound records are on them, the rest is reported."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.records.made import make_per_query, make_record
from vibench.leaderboard.board import build_boards
from vibench.leaderboard.render import write_boards
from vibench.records.record_json import record_dict, to_json
from vibench.records.schema import Record
from vibench.records.store import LARGEST_RECORD, read_records, record_path, write_record

OUTCOMES = (make_per_query(0), make_per_query(1))
TEXTS = ["", "\x00", "\u202e", "a" * 9999, "../..", "index.md", "NaN", "\ud800", "[bold]", "|", "\x1b[31m", "=1+1"]
NUMBERS = [float("nan"), float("inf"), -0.0, 1e308, 5e-324, 10**400, -(10**30), 2**53 + 1, 2**63]
ODD = st.sampled_from([*TEXTS, *NUMBERS, True, [[]] * 99, {"": {"": {}}}])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | ODD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
LIKE: dict[type, st.SearchStrategy[Any]] = {
    str: st.sampled_from(TEXTS) | st.text(max_size=8),
    bool: st.booleans(),
    int: st.integers() | st.sampled_from(NUMBERS[-4:]),
    float: st.floats(0, 1) | st.sampled_from(NUMBERS),
    type(None): st.integers(0) | st.floats(0) | st.sampled_from(NUMBERS),
    list: st.lists(st.text(max_size=8), max_size=4) | st.lists(st.floats(0, 1), max_size=4),
    dict: st.just({}),
}


def places(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value that another value could take."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([prefix] if prefix else []), *(place for key, item in inner for place in places(item, (*prefix, key)))]


SOUND = json.loads(to_json(make_record()))
PLACES = places(SOUND)


def rendered(folder: Path) -> tuple[list[Record], list[str]]:
    """What ``vibench leaderboard`` does with a folder."""
    records, problems = read_records(folder)
    for problem in problems:
        assert "\n" not in problem and len(problem) < 1000
    write_boards(folder, build_boards(records, []))
    return records, problems


def value_at(content: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        content = content[key]
    return content


@st.composite
def changed_records(draw: st.DrawFn) -> Any:
    """A sound record with another value at one to three places, mostly of the type that belongs there."""
    content = json.loads(json.dumps(SOUND))
    for place in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=3, unique=True)):
        # A place inside one that was changed before is gone.
        with contextlib.suppress(KeyError, IndexError, TypeError):
            like = LIKE[type(value_at(content, place))]
            value_at(content, place[:-1])[place[-1]] = draw(JSON if draw(st.integers(0, 3)) == 0 else like)
    return content


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(changed_records())
def test_a_record_with_any_values_anywhere(content: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        kept = write_record(Path(name), make_record("kept"), OUTCOMES)
        odd = kept.with_name("odd-0123456789ab.json")
        odd.write_text(json.dumps(content))
        # Under the name that its content asks for, a record that makes sense is even read.
        asked = re.search("has the id ([0-9a-f]{12})", " ".join(read_records(Path(name))[1]))
        if asked:
            odd.rename(kept.with_name(f"odd-{asked[1]}.json"))
        records, problems = rendered(Path(name))
        assert make_record("kept") in records
        assert len(records) == (2 if asked else 1)
        assert len(problems) == 1  # what is read lacks its outcomes


@settings(max_examples=60)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_a_file_of_any_bytes(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        kept = write_record(Path(name), make_record("kept"), OUTCOMES)
        (kept.with_name("odd.json")).write_bytes(content)
        records, problems = rendered(Path(name))
        assert records == [make_record("kept")] and len(problems) == 1


def test_a_record_cut_anywhere(tmp_path: Path) -> None:
    kept = write_record(tmp_path, make_record("kept"), OUTCOMES)
    text = to_json(make_record("cut")).encode()
    path = record_path(tmp_path, make_record("cut"))
    # Without its last newline a record is whole.
    for length in range(0, len(text) - 1, 97):
        path.write_bytes(text[:length])
        records, problems = read_records(tmp_path)
        assert records == [make_record("kept")] and len(problems) == 1
    assert kept.is_file()


@pytest.mark.parametrize("depth", [50, 300, 450, 700, 990, 3000, 200_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_any_depth(tmp_path: Path, depth: int, brackets: str) -> None:
    kept = write_record(tmp_path, make_record("kept"), OUTCOMES)
    inner = "[" * depth + "]" * depth if brackets == "[]" else '{"a": ' * depth + "1" + "}" * depth
    for number, key in enumerate(("notes", "mean", "run", "unknown", "trials")):
        content = {**record_dict(make_record("deep")), key: "HERE"}
        kept.with_name(f"deep{number}.json").write_text(json.dumps(content).replace('"HERE"', inner))
    records, problems = rendered(tmp_path)
    assert records == [make_record("kept")] and len(problems) == 5


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    kept = write_record(tmp_path, make_record("kept"), OUTCOMES)
    folder = kept.parent
    os.mkfifo(folder / "pipe.json")
    (folder / "circle.json").symlink_to(folder / "circle.json")
    (folder / "up").symlink_to(tmp_path)
    with (folder / "huge.json").open("wb") as handle:
        handle.truncate(LARGEST_RECORD + 1)
    (folder / os.fsdecode(b"\xff.json")).write_text("{}")
    records, problems = rendered(tmp_path)
    assert records == [make_record("kept")]
    assert len(problems) == 4


def test_a_copy_of_a_record_counts_once(tmp_path: Path) -> None:
    kept = write_record(tmp_path, make_record("kept"), OUTCOMES)
    copy = tmp_path / "records" / "zzz" / kept.name
    copy.parent.mkdir()
    copy.write_text(kept.read_text())
    records, problems = rendered(tmp_path)
    assert records == [make_record("kept")]
    assert len(problems) == 1 and str(copy) in problems[0] and str(kept) in problems[0]


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("no folder")
    records, problems = rendered(tmp_path)
    assert records == [] and len(problems) == 1
