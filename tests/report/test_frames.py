"""From boards and records to the frames of the charts."""

from __future__ import annotations

import re
import statistics
from dataclasses import replace
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import pytest

from tests.records.made import make_record
from tests.report.scenes import REAL, cost, put, seeded
from vibench.corruption import Corruption, parse_corruptions
from vibench.files.digests import sha256_text
from vibench.files.writing import write_json
from vibench.leaderboard.ablations import ablation_boards
from vibench.leaderboard.board import Board, build_boards
from vibench.leaderboard.consensus import ablation_rows, published_rows
from vibench.leaderboard.published import load_published
from vibench.leaderboard.rank import plain
from vibench.records.outcomes import Outcome, read_outcomes
from vibench.records.schema import Record, RunInfo
from vibench.records.store import record_path
from vibench.report.charts import form
from vibench.report.figures import overview_figures
from vibench.report.frames import (
    CURVE_RANKS,
    MOST_CURVES,
    Line,
    ablation_frame,
    board_lines,
    cameras_frame,
    cmc_frame,
    cost_frames,
    identities,
    labelled,
    measured_lines,
    scores_frame,
    severity_frame,
    timeline_frame,
    titles,
    training_frames,
)
from vibench.runtime.environment import Environment
from vibench.training.curves import read_curves


def outcomes_of(folder: Path, *records: Record) -> dict[str, Outcome]:
    put(folder, *records)
    found, problems = read_outcomes({record_path(folder, one): one for one in records})
    assert not problems
    return found


def lines_of(folder: Path, *records: Record) -> tuple[Board, list[Line]]:
    outcomes = outcomes_of(folder, *records)
    (board,) = build_boards(records, [])
    return board, board_lines(board, outcomes)


def test_runs_that_differ_in_their_seed_are_one_line(tmp_path: Path) -> None:
    runs = [seeded("agw", seed, r1) for seed, r1 in ((2, 0.6), (0, 0.5), (1, 0.4))]
    _, (first, second) = lines_of(tmp_path, *runs, make_record("baseline", 0.52))
    assert (first.name, first.rank) == ("baseline", plain(1)), "0.505 in the mean ranks behind 0.525"
    assert (second.name, second.rank) == ("agw", plain(2))
    assert [line.row.run.seed for line in second.folded] == [0, 1, 2]
    assert second.records == f"{runs[1].id} {runs[2].id} {runs[0].id}"
    deviation = second.row.scores["r1"].deviation
    assert deviation == pytest.approx(statistics.stdev([50.5, 40.5, 60.5]))


@pytest.mark.parametrize("change", [{"variant": "b"}, {"rerank": "k-reciprocal"}, {"query_mode": "single"}])
def test_runs_that_differ_in_more_are_not(tmp_path: Path, change: dict[str, str]) -> None:
    _, lines = lines_of(tmp_path, seeded("agw", 0, 0.5), seeded("agw", 1, 0.6, **change))
    assert [(line.folded, len(line.outcomes)) for line in lines] == [((), 1), ((), 1)]
    assert len({line.name for line in lines}) == 2


def test_only_ranked_rows_are_drawn_best_first(tmp_path: Path) -> None:
    leak = make_record("leak", 0.9, leaking=True)
    _, lines = lines_of(tmp_path, make_record("agw", 0.4), leak, make_record("helped", 0.6, rerank="k-reciprocal"))
    assert [line.row.method for line in measured_lines(lines)] == ["helped", "agw"]
    assert list(dict.fromkeys(cmc_frame(lines)["name"])) == ["helped (re-ranked k-reciprocal)", "agw"]
    frame = scores_frame(lines).set_index("name")
    assert not frame.loc["leak", "ranked"] and frame.loc["leak", "rank"] == "none: leaking"


def test_curves_are_means_over_seeds_of_the_best_methods(tmp_path: Path) -> None:
    cmc = np.linspace(0.2, 1.0, 2 * CURVE_RANKS)
    records = [seeded("agw", seed, 0.9, cmc=tuple(cmc * factor)) for seed, factor in ((0, 1.0), (1, 0.5))]
    others = [make_record(f"m{number}", 0.01 * number) for number in range(MOST_CURVES)]
    frame = cmc_frame(lines_of(tmp_path, *records, *others)[1])
    assert frame["name"].nunique() == MOST_CURVES and "m0" not in set(frame["name"])
    agw = frame[frame["name"] == "agw"]
    assert agw["rank"].tolist() == list(range(1, CURVE_RANKS + 1))
    np.testing.assert_allclose(agw["share"], 75.0 * cmc[:CURVE_RANKS], atol=1e-3)
    assert set(agw["records"]) == {f"{records[0].id} {records[1].id}"}


def test_costs_have_a_frame_per_device_and_a_front_per_kind_of_information(tmp_path: Path) -> None:
    records = [
        make_record("cheap", 0.4, **cost(10.0)),
        make_record("dear", 0.6, **cost(20.0)),
        make_record("beaten", 0.5, **cost(20.5)),
        make_record("helped", 0.45, rerank="k-reciprocal", **cost(30.0)),
        make_record("elsewhere", 0.3, **cost(600.0, "GPU B")),
    ]
    board, lines = lines_of(tmp_path, *records)
    found = {(one.kind.name, one.device): one for one in cost_frames(lines, board)}
    assert set(found) == {("train-time", "GPU A"), ("latency", "GPU A")}, "one row alone is no comparison"
    one = found["train-time", "GPU A"]
    assert dict(zip(one.frame["name"], one.frame["front"], strict=True)) == {
        "dear": True, "beaten": False, "helped (re-ranked k-reciprocal)": True, "cheap": True
    }  # fmt: skip
    assert not one.logarithmic and one.frame["cost"].max() == 30.0


def test_cameras_are_columns_and_a_single_one_is_none(tmp_path: Path) -> None:
    _, lines = lines_of(tmp_path, make_record("agw"), make_record("hct", 0.4))
    frame = cameras_frame(lines)
    assert list(dict.fromkeys(frame["camera"])) == ["camera 3", "camera 6"]
    assert frame["place"].tolist() == [0, 1, 0, 1]
    for at, camera in enumerate((3, 6)):
        assert (frame["r1"].iat[at], frame["map"].iat[at]) == pytest.approx(lines[0].outcomes[0].cameras[camera])
    alone = [Line(one.board, one.section, one.rank, one.row, ()) for one in lines]
    assert cameras_frame(alone).empty


def test_the_staircase_leaves_out_what_is_helped_or_worse() -> None:
    published = load_published()
    boards = build_boards([], published_rows(published))
    lines = [line for board in boards for line in board_lines(board, {})]
    frame = timeline_frame(lines)
    unfit = {
        (line.board.protocol, line.row.method, line.row.scores["r1"].value)
        for line in lines
        if "r1" in line.row.scores and set(line.row.obstacles) - {"draw unknown"}
    }
    assert unfit and not unfit & {
        *frame.loc[frame["best"], ["protocol", "name", "r1"]].itertuples(index=False, name=None)
    }
    for protocol, part in frame.groupby("protocol"):
        stairs = part[part["best"]].sort_values("year")
        assert stairs["year"].is_unique and stairs["r1"].is_monotonic_increasing, protocol
        assert set(stairs["information"]) <= {"none", "unknown"}
        assert set(part.loc[part["label"] != "", "name"]) <= set(stairs["name"])
    assert not frame.duplicated(["protocol", "name", "r1", "year"]).any(), "rows of unknown draw stand on two boards"


def test_what_is_measured_again_stands_in_the_year_of_its_paper() -> None:
    published = load_published()
    record = make_record("agw", 0.48, **REAL)
    boards = build_boards([record], published_rows(published))
    links = {record.id: Outcome(record, Path(), {}, {}, None)}
    frame = timeline_frame([line for board in boards for line in board_lines(board, links)])
    years = frame[(frame["name"] == "agw") & (frame["protocol"] == "sysu-all")].groupby("source")["year"].unique()
    assert record.created[:4] == "2025" and years["trained"].tolist() == years["published"].tolist()


def test_labels_cover_neither_one_another_nor_points() -> None:
    frame = pd.DataFrame(
        {
            "name": ["best", "near", "far", "crowded"],
            "x": [9.0, 8.9, 1.0, 5.0],
            "r1": [90.0, 89.0, 20.0, 50.0],
            "chosen": True,
        }
    )
    crowd = pd.DataFrame({"name": "other", "x": [4.6], "r1": [53.0], "chosen": False})
    found = labelled(pd.concat([frame, crowd], ignore_index=True), "chosen", "x")
    assert found["label"].tolist() == ["best", "", "far", "", ""]
    assert found["side"].tolist()[:3] == ["right", "right", "left"]


def test_printed_variants_stand_beside_measured_ones() -> None:
    published = load_published()
    record = make_record("ddag", 0.5, **REAL, variant="b")
    boards = build_boards([record], [*published_rows(published), *ablation_rows(published)])
    (one,) = (
        found
        for found in ablation_boards(boards, published.papers)
        if (found.method, found.board.protocol, found.board.draw) == ("ddag", "sysu-all", "seeded")
    )
    frame = ablation_frame(one).set_index(["variant", "source"])
    assert frame.loc[("b", "printed"), "r1_text"] == "48.18"
    assert frame.loc[("b", "measured"), "records"] == record.id
    assert (frame["room"] > frame["high"]).all()


def test_titles_of_boards_differ() -> None:
    records = [make_record("a", protocol_version=version, fingerprint=f"{version}" * 32) for version in (98, 99)]
    boards = build_boards(records, [])
    found = titles(boards)
    assert len(found) == len(set(found.values())) == 2 and all(", rules 9" in title for title in found.values())


def _run(folder: Path, identity: str, log: str, seed: int = 0, method: str = "agw") -> None:
    folder.mkdir(parents=True)
    texts = {"method": method, "variant": "", "dataset_version": "tiny-s0-r1", "root": "data", "pretrained": "none"}
    more = {"precision": "fp32", "recipe_sha256": "ef" * 32, "created": "2025-01-31T12:00:00Z", "seed": seed}
    environment = vars(Environment(vibench="0.1.0"))
    write_json(
        folder / "run.json", {"id": identity, "dataset": "sysu-mm01-twin", **texts, **more, "environment": environment}
    )
    (folder / "log.csv").write_text(log)


def test_training_curves_carry_the_records_of_their_run(tmp_path: Path) -> None:
    record = make_record("agw", **cost(60.0))
    outcomes = outcomes_of(tmp_path, record)
    runs = tmp_path / "runs"
    _run(runs / "twin" / "agw-s0", "run-60", "epoch,lr,total,images_per_second\n0,0.1,3.5,9\n1,0.1,2.25,9\n")
    _run(runs / "twin" / "agw-s1", "run-of-nobody", "epoch,lr,total\n0,0.1,3.0\n", seed=1)
    _run(runs / "broken", "x", "epoch,lr,total\nzero,0.1,3.0\n")
    _run(runs / "empty", "y", "epoch,lr,total\n")
    (runs / "no-run").mkdir()
    (runs / "no-run" / "log.csv").write_text("a,b\n")
    curves, problems = read_curves(runs)
    frames = training_frames(curves, outcomes)
    (key,) = frames
    assert key == ("agw", "sysu-mm01-twin")
    assert frames[key][["run", "epoch", "total", "records"]].to_numpy().tolist() == [
        ["agw, seed 0", 0, 3.5, record.id],
        ["agw, seed 0", 1, 2.25, record.id],
        ["agw, seed 1", 0, 3.0, "run run-of-nobody"],
    ]
    assert len(problems) == 1 and "broken" in problems[0]


def test_runs_alike_are_named_by_their_folders(tmp_path: Path) -> None:
    log = "epoch,lr,total\n0,0.1,3.0\n"
    for name, method, seed in (("a", "agw", 0), ("b", "agw", 0), ("c", "agw", 1), ("d", "ddag", 0)):
        _run(tmp_path / name, name, log, seed, method)
    frames = training_frames(read_curves(tmp_path)[0], {})
    assert {key[0]: frame["run"].tolist() for key, frame in frames.items()} == {
        "agw": ["a", "b", "agw, seed 1"],
        "ddag": ["ddag, seed 0"],
    }


def test_ids_are_fit_for_files_and_none_is_given_twice() -> None:
    found = identities(["AGW", "agw", "<b>", "...", "b", ""])
    assert found[:2] == ["agw", "agw-1x"] and found[2:4] == ["b", "nameless"]
    assert len(set(found)) == 6 and all(re.fullmatch(r"[a-z0-9-]+", one) for one in found)
    assert identities(["A", "A-2X", "a"]) == ["a", "a-2x", "a-3x"]
    long = identities(["m" * 300, "m" * 301])
    assert len(set(long)) == 2 and all(len(one) < 160 for one in long)


def test_rows_of_one_name_are_told_apart(tmp_path: Path) -> None:
    runs = [RunInfo(id=text, seed=0, recipe_sha256=text * 32, epochs=9) for text in ("aa", "bb")]
    records = [make_record("agw", 0.5 + 0.1 * at, run=run) for at, run in enumerate(runs)]
    board, lines = lines_of(tmp_path, *records, make_record("ddag", 0.3))
    names = [f"agw [{records[1].id}]", f"agw [{records[0].id}]", "ddag"]
    assert [line.name for line in measured_lines(lines)] == names
    for frame in (cmc_frame(lines), cameras_frame(lines)):
        assert list(dict.fromkeys(frame["name"])) == names
    # Ids differ from board to board: over all of them, a method is its best row.
    assert scores_frame(lines)["name"].tolist() == ["agw", "ddag"]
    (one,) = ablation_boards([board], {})
    assert sorted(ablation_frame(one)["variant"]) == sorted(names[:2])


def test_curves_of_one_name_or_of_other_rules_are_told_apart(tmp_path: Path) -> None:
    mixed = parse_corruptions("mixed:1-2")
    older = [replace(one, version=99) for one in mixed]
    records = [
        replace(record, fingerprint=sha256_text(f"{one}"), run=replace(record.run, recipe_sha256=sha * 32))
        for r1, sha, corruptions in ((0.5, "aa", mixed), (0.4, "bb", mixed), (0.3, "aa", older))
        for one in corruptions
        for record in [corrupted("agw", r1, one, sha)]
    ]
    frame = severity_frame(all_lines(tmp_path, *records))
    curves = [part["r1"].round(1).tolist() for _, part in frame.groupby("name", sort=False)]
    assert curves == [[50.5, 50.5], [40.5, 40.5], [30.5, 30.5]]
    assert frame["name"].tolist()[::2] == [f"agw [{record.id}]" for record in records[::2]]


def corrupted(method: str, r1: float, corruption: Corruption | None, checkpoint: str = "aa") -> Record:
    run = RunInfo(id=method, seed=0, recipe_sha256="ef" * 32, checkpoint_sha256=checkpoint * 32, epochs=9)
    fingerprint = sha256_text("" if corruption is None else corruption.label)
    return make_record(method, r1, run=run, corruption=corruption, fingerprint=fingerprint)


def all_lines(folder: Path, *records: Record) -> list[Line]:
    outcomes = outcomes_of(folder, *records)
    return [line for board in build_boards(records, []) for line in board_lines(board, outcomes)]


def test_a_curve_begins_with_the_same_model_on_clean_images(tmp_path: Path) -> None:
    mixed, both = parse_corruptions("mixed:1-3"), parse_corruptions("fog:4-5", "both")
    records = [
        corrupted("agw", 0.6, None),
        *(corrupted("agw", 0.5 - 0.1 * at, one) for at, one in enumerate(mixed)),
        # Its clean record is of another training.
        corrupted("ddag", 0.9, None, "bb"),
        *(corrupted("ddag", 0.7, one, "cc") for one in mixed[:2]),
        *(corrupted("agw", 0.2, one) for one in both),
        # One point is no curve, and a drawn severity no point.
        corrupted("deen", 0.5, mixed[0]),
        corrupted("agw", 0.3, parse_corruptions("mixed")[0]),
    ]
    frame = severity_frame(all_lines(tmp_path, *records))
    curves = {
        key: dict(zip(part["severity"], part["r1"].round(1), strict=True))
        for key, part in frame.groupby(["setting", "name"], sort=False)
    }
    where = "sysu-all on sysu-mm01-twin tiny-s0-r1"
    assert curves == {
        (f"{where}: fog, visible and infrared images", "agw"): {0: 60.5, 4: 20.5, 5: 20.5},
        (f"{where}: mixed, visible images", "ddag"): {1: 70.5, 2: 70.5},
        (f"{where}: mixed, visible images", "agw"): {0: 60.5, 1: 50.5, 2: 40.5, 3: 30.5},
    }
    figures = {figure.id: figure for figure in overview_figures(all_lines(tmp_path, *records))}
    assert figures["severity"].columns["setting"][0].endswith("fog, visible and infrared images")
    alt.Chart.from_dict(form(figures["severity"].chart, *figures["severity"].arguments))
    # Charts of clean scores hold none of corrupted ones.
    shown = figures["overview-synthetic-twins"].frame
    assert dict(zip(shown["name"], shown["r1"].round(1), strict=True)) == {"agw": 60.5, "ddag": 90.5}
