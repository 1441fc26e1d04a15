"""Packed columns are the columns again once they are unpacked, and never longer."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from vibench.files.packing import packed


@given(st.lists(st.sampled_from(["", "a", "a run of a long name", "1"]) | st.sampled_from([None, 1, 0.5]), max_size=20))
def test_unpacked_they_are_the_columns(column: list[object]) -> None:
    found = packed({"one": column})["one"]
    again = [found["texts"][row] for row in found["rows"]] if isinstance(found, dict) else found
    assert again == column


def test_texts_that_return_are_written_once() -> None:
    column = ["a run of a long name", "another"] * 50
    found = packed({"run": column, "epoch": list(range(100))})
    assert found == {"run": {"texts": column[:2], "rows": [0, 1] * 50}, "epoch": list(range(100))}
    assert len(json.dumps(found["run"])) < 0.25 * len(json.dumps(column))
    assert packed({"name": ["a", "b", "c"]}) == {"name": ["a", "b", "c"]}
