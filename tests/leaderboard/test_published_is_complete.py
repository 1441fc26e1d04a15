"""Nothing of the transcribed tables beside the checkout was lost on its way into the published files."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from vibench.files.shipped import published_folder
from vibench.leaderboard.method_facts import SUPERVISION

EXCHANGED = ("llcm-readme", "cafmnet-readme", "ifalnet-readme")
"""Sources whose visible-to-infrared rows on LLCM stand in the family of what their scripts measure."""
RECENT = {
    "sysu_all_ss": ("sysu-mm01", "all", ""),
    "sysu_indoor_ss": ("sysu-mm01", "indoor", ""),
    "regdb_v2i": ("regdb", "", "v2t"),
    "regdb_i2v": ("regdb", "", "t2v"),
    "llcm_v2i": ("llcm", "", "v2i"),
    "llcm_i2v": ("llcm", "", "i2v"),
}
SLUGS = {
    "cm-SSFT (single query)": "cm-ssft-single-query",
    "cm-SSFT (all queries)": "cm-ssft",
    "MMD-ReID": "mmd",
    "PAENet (+MMD)": "paenet",
}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def _own(name: str) -> list[dict[str, str]]:
    return _rows(published_folder() / name)


@pytest.fixture
def given(shared: Path) -> Path:
    return shared / "published"


def test_numbers_of_the_five_papers(given: Path) -> None:
    assert _own("results.csv")[:392] == _rows(given / "results.csv")
    assert (published_folder() / "ablations.csv").read_bytes() == (given / "ablations.csv").read_bytes()


def test_numbers_of_2023_to_2026(given: Path) -> None:
    papers = {row["source"]: row for row in _own("sources.csv")}
    own = [{**row, "note": ""} for row in _own("results.csv")]
    notes = [row["note"] for row in _own("results.csv")]
    for row in _rows(given / "2023-2026" / "results_2023_2026.csv"):
        exchanged = row["dataset"] == "llcm" and row["direction"] == "v2i" and row["source"] in EXCHANGED
        expected = {**row, "note": "", **({"direction": "v2i-as-scripted"} if exchanged else {})}
        at = own.index(expected)
        provenance, _, note = row["note"].partition("; ")
        assert notes[at] == note
        assert (row["method"] in papers[row["source"]]["own_methods"].split()) == (provenance == "primary")


def test_newer_headline_rows_have_one_home(given: Path) -> None:
    own = _own("results.csv")
    for row in _rows(given / "recent.csv"):
        method = SLUGS.get(row["method"], row["method"].lower())
        for setting, (dataset, search, direction) in RECENT.items():
            printed = {metric: row[f"{setting}_{metric}"] for metric in ("r1", "map") if row[f"{setting}_{metric}"]}
            assert not printed or any(
                (other["method"], other["dataset"], other["search"], other["direction"])
                == (method, dataset, search, direction)
                and other["shot"] != "multi"
                and all(other[metric] and float(other[metric]) == float(value) for metric, value in printed.items())
                for other in own
            ), (method, setting)


def test_contradictions(given: Path) -> None:
    own = _own("conflicts.csv")
    assert own[:80] == _rows(given / "conflicts.csv")
    told = [(row["metric"], row["value_a"], row["value_b"], row["kind"], row["comment"]) for row in own]
    for row in _rows(given / "2023-2026" / "conflicts_2023_2026.csv"):
        assert (row["metric"], row["value_a"], row["value_b"], row["kind"], row["comment"]) in told


def test_findings(given: Path) -> None:
    own = _own("audits.csv")
    for row in _rows(given / "2023-2026" / "audits_2023_2026.csv"):
        found = [other for other in own if other["kind"] == row["kind"] and other["evidence"] == row["evidence"]]
        found = [other for other in found if other["finding"].startswith(row["finding"])]
        named = {method for other in found for method in other["method"].split(" / ")}
        assert named >= set(row["method"].split(" / ")), row
        # Only what its section or board already keeps apart was made a note.
        apart = {"swapped-directions", "gallery-information", "re-ranking-disclosed", "text-at-test"}
        assert row["kind"] in apart or {other["severity"] for other in found} == {row["severity"]}


def test_what_is_known_of_methods(given: Path) -> None:
    rows: dict[str, list[dict[str, str]]] = {}
    for row in _own("methods.csv"):
        rows.setdefault(row["method"], []).append(row)
    for given_row in _rows(given / "2023-2026" / "methods.csv"):
        ours = rows[given_row["slug"]]
        cells = {cell for row in ours for cell in row.values()}
        words = " | ".join(cells)
        for column in (
            "backbone",
            "input",
            "pretrained",
            "extra",
            "code",
            "provenance",
            "checkpoints",
            "venue",
            "year",
        ):
            value = given_row[column]
            if value in ("", "unknown", "unverified") or given_row["slug"] in ("agw", "caj", "ddag", "lba"):
                # Of these four the runs of a data set's authors are told, beside what was known already.
                continue
            assert value in cells or value in words, (given_row["slug"], column, value)
        supervision = given_row["supervision"].partition(",")[0]
        assert any(kind.startswith(supervision) for kind in SUPERVISION if kind == ours[0]["supervision"])
