"""Whatever lies in the records folder, the boards are rendered: sound records are on them, the rest is reported."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.leaderboard.records import make_per_query, make_record
from vibench.leaderboard.board import build_boards
from vibench.leaderboard.record import Record, record_dict, to_json
from vibench.leaderboard.render import write_boards
from vibench.leaderboard.store import LARGEST_RECORD, read_records, record_path, write_record

OUTCOMES = (make_per_query(0), make_per_query(1))
ODD = st.sampled_from(
    [
        float("nan"),
        float("inf"),
        -0.0,
        1e308,
        5e-324,
        10**400,
        -(10**30),
        2**53 + 1,
        True,
        "",
        "\x00",
        "\u202e",
        "a" * 9999,
    ]
    + ["../..", "index.md", "NaN", "\ud800", [[]] * 99, {"": {"": {}}}, "[bold]", "|", "\x1b[31m"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | ODD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


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


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(PLACES), JSON), min_size=1, max_size=3), st.booleans())
def test_a_record_with_any_values_anywhere(changes: list[tuple[tuple[Any, ...], Any]], named_well: bool) -> None:
    content = json.loads(json.dumps(SOUND))
    for place, value in changes:
        inner = content
        for key in place[:-1]:
            fits = isinstance(inner, dict) and key in inner or isinstance(inner, list) and isinstance(key, int)
            inner = inner[key] if fits and (isinstance(inner, dict) or key < len(inner)) else {}
        if isinstance(inner, dict) or (isinstance(inner, list) and place[-1] < len(inner)):
            inner[place[-1]] = value
    text = json.dumps(content)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept = write_record(folder, make_record("kept"), OUTCOMES)
        odd = kept.with_name("odd-0123456789ab.json")
        odd.write_text(text)
        if named_well:
            # With the name that its content asks for, where it has one, the record is even read.
            _, problems = read_records(folder)
            asked = [problem.partition("has the id ")[2][:12] for problem in problems if "has the id " in problem]
            if asked:
                odd.rename(kept.with_name(f"odd-{asked[0]}.json"))
        records, problems = rendered(folder)
        assert make_record("kept") in records
        assert len(records) == 2 or problems


@settings(max_examples=60, deadline=None)
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
