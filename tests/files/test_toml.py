"""Strict TOML parsing: what is accepted, and the one sentence for everything that is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Optional

import pytest

from vibench.errors import UsageError
from vibench.files.toml import parse_table, read_toml


@dataclass(frozen=True)
class Side:
    modality: Literal["visible", "infrared"]
    cameras: tuple[int, ...] = ()


@dataclass(frozen=True)
class Rules:
    name: str
    query: Side
    trials: int = 10
    rate: float = 0.5
    flip: bool = False
    span: tuple[float, int] = (0.0, 1)
    weights: dict[str, float] = field(default_factory=dict)
    limit: float | None = None
    label: Optional[str] = None  # noqa: UP045 (the older spelling must work too)
    extra: dict[str, Side] = field(default_factory=dict)
    sides: tuple[Side, ...] = ()
    colour: int | tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise ValueError("'trials' must be at least 1")


QUERY = {"modality": "infrared"}


def test_reads_every_supported_type() -> None:
    table = {
        "name": "a",
        "query": {"modality": "infrared", "cameras": [3, 6]},
        "rate": 1,
        "flip": True,
        "span": [1, 2],
        "weights": {"identity": 1, "triplet": 0.5},
        "limit": 3,
        "label": "x",
        "extra": {"one": {"modality": "visible"}},
        "sides": [{"modality": "visible"}],
        "colour": [1, 2],
    }
    rules = parse_table(Rules, table, "f.toml")
    assert rules == Rules(
        name="a",
        query=Side("infrared", (3, 6)),
        rate=1.0,
        flip=True,
        span=(1.0, 2),
        weights={"identity": 1.0, "triplet": 0.5},
        limit=3.0,
        label="x",
        extra={"one": Side("visible")},
        sides=(Side("visible"),),
        colour=(1, 2),
    )
    assert parse_table(Rules, {"name": "a", "query": QUERY, "colour": 3}, "f.toml").colour == 3
    assert isinstance(rules.rate, float) and isinstance(rules.weights["identity"], float)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"name": "a", "query": QUERY, "trails": 3},
            r"^f.toml: unknown key 'trails' \(did you mean 'trials'\?\); .*\.$",
        ),
        ({"query": QUERY}, r"^f.toml: the key 'name' is missing and must be a text in quotes\.$"),
        ({"name": "a"}, r"'query' is missing and must be a table"),
        ({"name": 3, "query": QUERY}, r"'name' must be a text in quotes, not 3\.$"),
        ({"name": "a", "query": QUERY, "trials": True}, r"'trials' must be a whole number, not true"),
        ({"name": "a", "query": QUERY, "trials": 1.0}, r"'trials' must be a whole number, not 1.0"),
        ({"name": "a", "query": QUERY, "rate": "1"}, r"'rate' must be a number, not '1'"),
        ({"name": "a", "query": QUERY, "rate": True}, r"'rate' must be a number, not true"),
        ({"name": "a", "query": QUERY, "flip": 1}, r"'flip' must be true or false, not 1"),
        ({"name": "a", "query": 5}, r"'query' must be a table, not 5"),
        ({"name": "a", "query": QUERY, "span": [1.0]}, r"'span' must be a list of 2: a number, a whole number"),
        ({"name": "a", "query": QUERY, "weights": {"x": "y"}}, r"^f.toml: \[weights\]: 'x' must be a number, not 'y'"),
        (
            {"name": "a", "query": QUERY, "colour": [1, 2, 3]},
            r"^f.toml: 'colour' must be a whole number or a list of 2: a whole number, a whole number, not",
        ),
        ({"name": "a", "query": QUERY, "trials": 0}, r"^f.toml: 'trials' must be at least 1"),
        (
            {"name": "a", "query": {"modality": "infra-red"}},
            r"\[query\]: 'modality' must be one of 'visible', 'infrared', not 'infra-red' \(did you mean 'infrared'",
        ),
        (
            {"name": "a", "query": {"modality": "visible", "cameras": [1, "2"]}},
            r"^f.toml: \[query\]: 'cameras\[1\]' must be a whole number, not '2'",
        ),
        (
            {"name": "a", "query": QUERY, "extra": {"one": {"modality": "visible", "camera": [1]}}},
            r"^f.toml: \[extra.one\]: unknown key 'camera' \(did you mean 'cameras'",
        ),
    ],
)
def test_one_sentence_names_file_key_and_expectation(table: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_table(Rules, table, "f.toml")


def test_read_toml(tmp_path: Path) -> None:
    good = tmp_path / "good.toml"
    good.write_text("a = 1\n[b]\nc = 'é'\n", encoding="utf-8")
    assert read_toml(good) == {"a": 1, "b": {"c": "é"}}
    bad = tmp_path / "bad.toml"
    bad.write_text("a = = 1\n")
    with pytest.raises(UsageError, match=r"bad.toml: is not valid TOML \(.*line 1"):
        read_toml(bad)
    bad.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="UTF-8"):
        read_toml(bad)
    with pytest.raises(UsageError, match=r"absent.toml: cannot be read"):
        read_toml(tmp_path / "absent.toml")
