"""``parity.toml``: that it speaks of the references there are, and the table that is made of all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.methods.built_in import BUILT_IN
from tests.methods.steps.reference import REFERENCES, read_reference
from vibench.errors import UsageError
from vibench.methods.parity import Parity, deviation_list, parity_table, read_parity
from vibench.methods.registry import method_entry


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


@pytest.mark.parametrize(("what", "made"), [("parity", parity_table), ("deviations", deviation_list)])
def test_the_methods_read_me_holds_what_is_stated(what: str, made: Callable[[], str]) -> None:
    text = (REPOSITORY / "vibench" / "methods" / "README.md").read_text(encoding="utf-8")
    held = text.partition(f"<!-- {what} -->")[2].partition(f"<!-- /{what} -->")[0]
    assert made().strip() and held.strip() == made().strip(), (
        f"write what vibench.methods.parity.{made.__name__}() returns"
    )


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    assert read_parity(tmp_path) is None
    (tmp_path / "parity.toml").write_text('repository = "x"\ncommit = "y"\nsteps = {}\n')
    with pytest.raises(UsageError, match=r"parity\.toml: the key 'checkpoint' is missing"):
        read_parity(tmp_path)
