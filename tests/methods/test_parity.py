"""``parity.toml``: that it speaks of the references there are, and the table that is made of all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.methods.built_in import BUILT_IN
from tests.methods.steps.reference import REFERENCES, read_reference
from vibench.errors import UsageError
from vibench.methods.parity import Parity, parity_table, read_parity
from vibench.methods.registry import method_entry

BEGIN, END = "<!-- parity -->\n", "<!-- /parity -->"


def stated() -> dict[str, Parity]:
    """By method."""
    found = {method: read_parity(method_entry(method).folder) for method in BUILT_IN}
    return {method: parity for method, parity in found.items() if parity is not None}


def test_methods_without_an_official_training_code_state_nothing() -> None:
    assert set(BUILT_IN) - set(stated()) == {"baseline", "cal", "cm-ssft"}


def test_every_reference_is_stated_once_and_as_it_was_made() -> None:
    names = []
    for method, parity in stated().items():
        for name, compared in parity.steps.items():
            names.append(name)
            setup = read_reference(name).setup
            assert setup["method"] == method
            assert setup["source"].split(", ")[0] == f"{parity.repository} at {parity.commit}"
            assert (setup["script"], setup["variant"]) == (compared.script, compared.variant)
            assert setup["dataset"] == compared.dataset
            assert tuple(step["epoch"] for step in setup["steps"]) == compared.epochs
            assert bool(setup["zero"] or any("dropout" in each for each in setup["overrides"])) == (
                "dropout" in compared.note
            )
    assert sorted(names) == sorted(REFERENCES)


def test_the_table_has_a_row_for_every_reference() -> None:
    head, rule, *rows = parity_table().splitlines()
    assert head.startswith("| method | official code | steps | losses |") and rule.startswith("| --- |")
    assert len(rows) == len(REFERENCES)
    assert {row.count("|") for row in (head, rule, *rows)} == {9}
    (row,) = (row for row in rows if row.startswith("| `hct`, variant `global` |"))
    repository = "hijune6/Hetero-center-triplet-loss-for-VT-Re-ID"
    commit = stated()["hct"].commit
    assert f"| [{repository}](https://github.com/{repository}/tree/{commit}) | 3 on regdb |" in row


def test_the_methods_read_me_holds_the_table() -> None:
    path = REPOSITORY / "vibench" / "methods" / "README.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if BEGIN not in text:
        pytest.skip(f"{path.name} of the methods has no place for the table")
    table = text.partition(BEGIN)[2].partition(END)[0]
    assert table.strip() == parity_table().strip(), "write what vibench.methods.parity.parity_table() returns"


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    assert read_parity(tmp_path) is None
    (tmp_path / "parity.toml").write_text('repository = "x"\ncommit = "y"\nsteps = {}\n')
    with pytest.raises(UsageError, match=r"parity\.toml: the key 'checkpoint' is missing"):
        read_parity(tmp_path)
