"""The page's script: clicks that sort and unfold, in Node against a small stand-in for the document."""

from __future__ import annotations

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.records.made import make_record
from tests.report.scenes import cost, put, seeded
from vibench.report.write import render_report

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="running the page's script needs node on the PATH")


class _Tree(HTMLParser):
    """The page as nested dictionaries."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root: dict[str, Any] = {"tag": "", "attributes": {}, "children": []}
        self._open = [self.root]
        self.feed(text)
        self.close()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = {"tag": tag, "attributes": {name: value or "" for name, value in attrs}, "children": []}
        self._open[-1]["children"].append(node)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag != "meta":
            self._open.append(self._open[-1]["children"][-1])

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1]["children"].append(data)


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of one board: three seeds of one method, two other methods, and one that is helped in testing."""
    folder = tmp_path_factory.mktemp("report")
    put(
        folder,
        *(seeded("Fold", seed, r1) for seed, r1 in ((0, 0.5), (1, 0.6), (2, 0.4))),
        make_record("best", 0.7, 0.1, **cost(90.0)),
        make_record("m10", 0.3, 0.3, **cost(100.0)),
        make_record("m9", 0.2, 0.2),
        make_record("helped", 0.6, rerank="k-reciprocal"),
    )
    return render_report(folder, folder / "report.html").html


def _states(html: str, *clicks: str) -> list[dict[str, Any]]:
    script = html.rsplit("<script>", 1)[1].split("</script>")[0]
    job = {"tree": _Tree(html).root, "script": script, "clicks": clicks}
    driver = Path(__file__).with_name("dom.js")
    done = subprocess.run([str(NODE), str(driver)], input=json.dumps(job), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    states: list[dict[str, Any]] = json.loads(done.stdout)
    return states


def test_seeds_are_folded_at_first_and_unfold_on_a_click(html: str) -> None:
    folded, unfolded, again = _states(html, "3 seeds", "3 seeds")
    heading = "", "best", "Fold 3 seeds", "m10", "m9"
    assert folded["rows"][0] == list(heading)
    assert folded["expanded"] == ["false"] and unfolded["expanded"] == ["true"]
    assert unfolded["rows"][0] == [*heading[:3], "Fold, seed 0", "Fold, seed 1", "Fold, seed 2", *heading[3:]]
    assert again == folded


def test_a_column_of_scores_sorts_best_first_then_worst_then_by_rank(html: str) -> None:
    start, best, worst, back = _states(html, "mAP", "mAP", "mAP")
    assert best["rows"][0] == ["", "Fold 3 seeds", "m10", "m9", "best"]
    assert worst["rows"][0] == ["", "best", "m9", "m10", "Fold 3 seeds"]
    assert back["rows"] == start["rows"]
    assert best["sorted"] == [["mAP", "descending"]] and worst["sorted"] == [["mAP", "ascending"]]
    assert back["sorted"] == [] and "sorted by mAP, descending" in best["status"]


def test_what_was_not_measured_comes_last_in_either_direction(html: str) -> None:
    _, cheap, dear = _states(html, "training s", "training s")
    assert cheap["rows"][0] == ["", "Fold 3 seeds", "best", "m10", "m9"]
    assert dear["rows"][0] == ["", "m10", "best", "Fold 3 seeds", "m9"]


def test_names_sort_as_people_count_and_sections_stay_apart(html: str) -> None:
    _, names = _states(html, "method")
    assert names["rows"][0] == ["", "best", "Fold 3 seeds", "m9", "m10"]
    assert len(names["rows"]) == 2 and names["rows"][1][1].startswith("helped")
    assert names["sorted"] == [["method", "ascending"]]


def test_unfolded_seeds_travel_with_their_row(html: str) -> None:
    *_, last = _states(html, "3 seeds", "mAP", "mAP")
    assert last["rows"][0][-4:] == ["Fold 3 seeds", "Fold, seed 0", "Fold, seed 1", "Fold, seed 2"]
