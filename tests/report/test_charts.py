"""Every chart: inside its frame, every number on a mark that names its record, one and the same text again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibench.report.charts.ablation import Bar, VariantBars, ablation_chart
from vibench.report.charts.cameras import CameraColumns, CameraRow, CameraScore, cameras_chart
from vibench.report.charts.chart import Chart, Subject
from vibench.report.charts.cmc import Curve, cmc_chart
from vibench.report.charts.cost import CostAxis, CostPoint, cost_chart
from vibench.report.charts.training import LossCurve, training_chart
from vibench.report.charts.trials import Strip, Trial, trials_chart
from vibench.report.drawing import Circle, Drawing, Line, Mark, Polygon, Shape, Text, text_width
from vibench.report.svg import to_svg

AXIS = CostAxis("training", "seconds of training", 0)
NAMES = st.text(min_size=1, max_size=40)
PERCENT = st.floats(0.0, 100.0)


def _flat(shapes: Sequence[Shape]) -> Iterator[Line | Polygon | Circle | Text]:
    for shape in shapes:
        if isinstance(shape, Mark):
            yield from shape.shapes
        else:
            yield shape


def _marks(chart: Chart) -> list[Mark]:
    return [shape for shape in chart.drawing.shapes if isinstance(shape, Mark)]


def _outside(drawing: Drawing) -> list[object]:
    found: list[object] = []
    for shape in _flat(drawing.shapes):
        if isinstance(shape, Circle):
            (x, y), r = shape.centre, shape.radius
            corners = [(x - r, y - r), (x + r, y + r)]
        elif isinstance(shape, Text):
            (x, y), wide = shape.at, text_width(shape.text, shape.size)
            before = {"start": 0.0, "middle": 0.5, "end": 1.0}[shape.anchor] * wide
            corners = (
                [(x, y - wide + before), (x, y + before)]
                if shape.upwards
                else [(x - before, y), (x - before + wide, y)]
            )
        else:
            corners = list(shape.points)
        if not all(-1 <= x <= drawing.width + 1 and -1 <= y <= drawing.height + 1 for x, y in corners):
            found.append(shape)
    return found


def _subject(name: str, number: int) -> Subject:
    return Subject(name, (f"{number:012x}",))


@st.composite
def _charts(draw: Callable) -> Chart:  # type: ignore[type-arg]
    names = draw(st.lists(NAMES, min_size=1, max_size=30))
    scores = draw(st.lists(PERCENT, min_size=len(names), max_size=len(names)))
    subjects = [_subject(name, number) for number, name in enumerate(names)]
    rows = list(zip(subjects, scores, strict=True))
    kind = draw(st.sampled_from(["cmc", "cost", "trials", "cameras", "ablation", "training"]))
    if kind == "cmc":
        length = draw(st.integers(2, 50))
        return cmc_chart(
            [Curve(subject, tuple(sorted([score, *[100.0] * (length - 1)]))) for subject, score in rows], "t"
        )
    if kind == "cost":
        costs = draw(st.lists(st.floats(0.0, 1e9), min_size=len(rows), max_size=len(rows)))
        groups = draw(st.lists(st.sampled_from(["none", "gallery", "a"]), min_size=len(rows), max_size=len(rows)))
        points = [CostPoint(s, g, c, r1, c > 5) for (s, r1), c, g in zip(rows, costs, groups, strict=True)]
        return cost_chart(points, AXIS, "t")
    if kind == "trials":
        count = draw(st.integers(1, 10))
        return trials_chart([Strip(s, (Trial(s.records[0], "trial 0", r1),) * count) for s, r1 in rows], "t")
    if kind == "cameras":
        labels = ("camera",) * draw(st.integers(1, 9))
        matrix = [CameraRow(subject, (CameraScore(r1, r1),) * len(labels)) for subject, r1 in rows]
        return cameras_chart(matrix, CameraColumns("cameras", "query camera", labels, ""), "t")
    if kind == "ablation":
        return ablation_chart(
            [VariantBars(s.label, Bar(s, r1, 1.0), Bar(s, r1, shown="1.0")) for s, r1 in rows], "m", "t"
        )
    return training_chart([LossCurve(s, (0, 1), (r1, 0.5)) for s, r1 in rows[:8]], "d", "t")


@settings(deadline=None)
@given(_charts())
def test_nothing_leaves_the_frame_and_every_mark_names_a_record(chart: Chart) -> None:
    assert _outside(chart.drawing) == []
    assert to_svg(chart.drawing, "a") == to_svg(chart.drawing, "a")
    assert "nan" not in to_svg(chart.drawing, "a").split("<desc")[0].lower() or "nan" in chart.drawing.title
    values = [mark for mark in _marks(chart) if any(word in mark.says for word in ("%", "loss"))]
    assert all(mark.records or mark.says.endswith("%") for mark in values)
    assert all(len(row.cells) == len(chart.header) - 1 for row in chart.rows)
    assert chart.rows and chart.drawing.title and chart.drawing.description


def test_cmc_draws_the_mean_curve_and_says_what_it_leaves_out() -> None:
    curves = [Curve(_subject(f"m{number}", number), (90.0 - number, 95.0, 99.0)) for number in range(10)]
    chart = cmc_chart(curves, "board")
    lines = [mark for mark in _marks(chart) if "at rank 1" in mark.says]
    assert len(lines) == 8 and chart.note == "Drawn are the 8 best by rank-1 of 10 ranked rows."
    assert lines[0].says == "m0: 90.00 % at rank 1 (record 000000000000)" and lines[0].records == ("000000000000",)
    assert chart.header == ("method", "rank 1") and chart.rows[0].cells == ("90.00",)
    (line,) = lines[0].shapes
    assert isinstance(line, Line) and len(line.points) == 3
    heights = [y for _, y in line.points]
    assert heights == sorted(heights, reverse=True), "higher scores are drawn higher"


def test_cost_rings_the_front_of_each_group_alone() -> None:
    points = [
        CostPoint(_subject("cheap", 1), "none", 10.0, 40.0, True),
        CostPoint(_subject("dear", 2), "none", 20.0, 60.0, True),
        CostPoint(_subject("beaten", 3), "none", 20.0, 50.0, False),
        CostPoint(_subject("helped", 4), "gallery", 30.0, 45.0, True),
    ]
    chart = cost_chart(points, AXIS, "board")
    assert {row.subject.label: row.cells[-1] for row in chart.rows} == {
        "cheap": "yes", "dear": "yes", "beaten": "no", "helped": "yes"
    }  # fmt: skip
    assert chart.drawing.description.endswith(": cheap, dear, helped")
    spoken = [mark.says for mark in _marks(chart) if mark.says.startswith("beaten: ")]
    assert spoken == ["beaten: 50.00 % at 20, seconds of training (record 000000000003)"]


def test_cameras_show_what_is_missing() -> None:
    rows = [CameraRow(_subject("a", 1), (CameraScore(50.0, 40.0), None))]
    chart = cameras_chart(rows, CameraColumns("cameras", "query camera", ("camera 3", "camera 6"), "A note."), "board")
    assert chart.header == ("method", "camera 3, rank-1", "camera 6, rank-1", "camera 3, mAP", "camera 6, mAP")
    assert chart.rows[0].cells == ("50.00", "–", "40.00", "–")
    assert chart.note == "A note."


def test_trials_have_a_box_only_where_there_are_enough() -> None:
    def boxes(count: int) -> int:
        trials = tuple(Trial("r", f"trial {number}", 50.0 + number) for number in range(count))
        return sum(
            "half of the trials" in mark.says for mark in _marks(trials_chart([Strip(_subject("a", 1), trials)], "b"))
        )

    assert (boxes(4), boxes(5)) == (0, 1)
    chart = trials_chart([Strip(_subject("a", 1), tuple(Trial("r", "t", float(v)) for v in (1, 2, 3, 4, 5)))], "b")
    assert chart.rows[0].cells == ("5", "1.00", "2.00", "3.00", "4.00", "5.00")


def test_ablation_puts_the_printed_number_beside_the_measured_one() -> None:
    printed = Bar(Subject("B", origin="ddag-eccv2020 Table 1"), 48.18, shown="48.18")
    measured = Bar(_subject("ddag b", 1), 40.0, 1.5)
    chart = ablation_chart([VariantBars("b", measured, printed)], "ddag", "ddag")
    assert [row.cells for row in chart.rows] == [("measured", "40.00 ± 1.50"), ("printed", "48.18")]
    assert "B: printed 48.18 % (ddag-eccv2020 Table 1)" in [mark.says for mark in _marks(chart)]


def test_training_draws_one_epoch_as_a_point() -> None:
    chart = training_chart([LossCurve(Subject("run"), (0,), (3.0,))], "d", "data")
    (mark,) = [mark for mark in _marks(chart) if "total loss" in mark.says]
    assert isinstance(mark.shapes[0], Circle)


@pytest.mark.parametrize("bad", ["<script>", '" onload="x', "]]><b>"])
def test_labels_are_escaped(bad: str) -> None:
    assert bad not in to_svg(cmc_chart([Curve(Subject(bad, ("r",)), (1.0, 2.0))], bad).drawing, "a")
