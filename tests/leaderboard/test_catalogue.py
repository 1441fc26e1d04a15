"""What boards know of registered methods agrees with the networks and with the published files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.records.made import make_record
from vibench.leaderboard.catalogue import registered_methods
from vibench.leaderboard.published import load_published

CATALOGUE = registered_methods()


@pytest.mark.parametrize("method", ["paenet", "pose"])
def test_extra_labels_are_what_the_network_needs(method: str) -> None:
    import torch

    from vibench.methods.recipe import load_recipe
    from vibench.methods.registry import build_method

    for variant in ("", *CATALOGUE.methods[method].variants):
        with torch.device("meta"):
            needs = build_method(load_recipe(method, variant), num_classes=2).needs
        assert CATALOGUE.extra_labels(method, variant) == ("+".join(sorted(needs)) or "none"), variant


def test_methods_that_nobody_knows() -> None:
    assert CATALOGUE.extra_labels("mine", "") == ""
    assert CATALOGUE.extra_labels("ddag", "renamed") == ""
    assert CATALOGUE.printed_names("ddag", "renamed") == ()
    assert CATALOGUE.printed_name(make_record("mine")) == ""


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (make_record("agw"), "agw"),
        (make_record("baseline"), "ddag/b"),
        (make_record("ddag", variant="b-p"), "ddag/b-p"),
        (make_record("pose"), "pose-all"),
        (replace(make_record("pose"), feature="id"), "pose-id"),
        (replace(make_record("pose"), feature="heatmap"), ""),
        (make_record("cm-ssft"), "cm-ssft"),
        (make_record("cm-ssft", query_mode="single"), "cm-ssft-single-query"),
        (make_record("agw", query_mode="single"), "agw"),
        (make_record("paenet", variant="gt"), ""),
    ],
)
def test_the_printed_row_that_a_record_measures_again(record: object, name: str) -> None:
    assert CATALOGUE.printed_name(record) == name  # type: ignore[arg-type]


def test_recipes_name_rows_that_are_printed() -> None:
    published = load_published()
    printed = {row.method for row in published.results}
    printed |= {f"{row.method}/{row.variant}" for row in published.ablations}
    for method, file in CATALOGUE.methods.items():
        for variant in ("", *file.variants):
            assert set(CATALOGUE.printed_names(method, variant)) <= printed


def test_what_is_proven_of_printed_rows() -> None:
    proven = CATALOGUE.proven()
    assert proven["agw"] == ("parity proven", "weights import and evaluate")
    assert proven["paenet"][0] == "parity proven of the variant official"
    assert proven["cal"] == proven["cm-ssft"] == ()
    assert "agw-pae-aal/plus-pae-aal" in proven and "nfs" not in proven
