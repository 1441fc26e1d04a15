"""Charts of one board."""

from __future__ import annotations

from typing import Literal

import altair as alt
import pandas as pd

from vibench.report.charts.theme import DASHES, FRAME, HEIGHT, picked, tip, where, zoom


def cost_chart(heading: str, logarithmic: bool) -> alt.LayerChart:
    """Rank-1 against a cost, size as bubble; a staircase joins what nothing beats with equal test-time information.

    Columns: name, section, cost, r1, front, label, side (left | right: of the label, at its point), size and parameters
    (M, as a number and a text), records.
    """
    kind: Literal["log", "linear"] = "log" if logarithmic else "linear"
    pick, opacity = picked("section")
    legend = alt.Legend(orient="bottom", columns=2)
    base = alt.Chart(FRAME).encode(
        alt.X("cost:Q", title=heading, scale=alt.Scale(type=kind, zero=False, padding=24)),
        alt.Y("r1:Q", title="rank-1 (%)", scale=alt.Scale(zero=False, padding=20)),
    )
    colour = alt.Color("section:N", title="test-time information", legend=legend)
    shape = alt.Shape("section:N", title="test-time information", legend=legend)
    size = alt.Size("size:Q", legend=None, scale=alt.Scale(range=[40, 420]))
    points = base.mark_point(filled=True, stroke="black", strokeWidth=0.4).encode(
        colour,
        opacity,
        size,
        shape,
        tooltip=tip("name", "section", "parameters", r1=".2f", cost=",.4~g"),
    )
    front = base.transform_filter("datum.front").encode(alt.Detail("section:N"))
    stairs = front.mark_line(interpolate="step-after", strokeDash=[4, 3], opacity=0.7)
    side, away = alt.ExprRef("datum.side"), alt.ExprRef("datum.side == 'left' ? 12 : -12")
    labels = base.mark_text(align=side, dx=away, dy=-8, limit=130).encode(alt.Text("label:N"))
    return alt.layer(stairs, points.add_params(pick, zoom()), labels).properties(width="container", height=HEIGHT)


def cmc_chart() -> alt.Chart:
    """CMC curves. Columns: name, rank, share (percent), records; best method first."""
    pick, opacity = picked("name")
    legend = alt.Legend(orient="bottom", columns=2, symbolType="stroke", symbolSize=300)
    return (
        alt.Chart(FRAME)
        .mark_line(point=alt.OverlayMarkDef(size=14))
        .encode(
            alt.X("rank:Q", axis=alt.Axis(tickMinStep=1), scale=alt.Scale(nice=False)),
            alt.Y("share:Q", title="queries with a match up to this rank (%)", scale=alt.Scale(zero=False)),
            alt.Color("name:N", title=None, sort=None, legend=legend),
            alt.StrokeDash("name:N", sort=None, scale=alt.Scale(range=DASHES)),
            opacity,
            tooltip=tip("name", "rank", share=".2f"),
        )
        .add_params(pick, zoom())
        .properties(width="container", height=HEIGHT)
    )


def cameras_chart() -> alt.LayerChart:
    """Rank-1 of methods by query camera, and by pair of query and gallery camera.

    Columns: name, camera (as a column says it), place (its order), r1, map, records; best method first.
    """
    order = alt.EncodingSortField("place", "min")
    base = alt.Chart(FRAME).encode(
        alt.X("camera:N", title=None, sort=order, axis=alt.Axis(orient="top", labelAngle=-40, labelLimit=200)),
        alt.Y("name:N", title=None, sort=None),
        tooltip=tip("name", "camera", r1=".2f", map=".2f"),
    )
    cells = base.mark_rect().encode(alt.Color("r1:Q", scale=alt.Scale(range="heatmap"), legend=None))
    text = base.mark_text(fontSize=10).encode(alt.Text("r1:Q", format=".1f"))
    return alt.layer(cells, text).properties(width="container", height=alt.Step(17))


def trials_chart() -> alt.LayerChart:
    """Rank-1 of every trial of every method. Columns: name, trial, seed, r1, records; best method first."""
    base = alt.Chart(FRAME).encode(
        alt.X("r1:Q", title="rank-1 (%)", scale=alt.Scale(zero=False)), alt.Y("name:N", title=None, sort=None)
    )
    box = base.mark_boxplot(outliers=False, opacity=0.6, size=13)
    ticks = base.mark_tick(thickness=1, size=9, opacity=0.6).encode(tooltip=tip("name", "seed", "trial", r1=".2f"))
    return alt.layer(box, ticks.add_params(zoom("x"))).properties(width="container", height=alt.Step(17))


def duel_chart() -> alt.LayerChart:
    """Average precision of one method against another's, a point per query. Columns: a, b (percent), pid, camera."""
    scale = alt.Scale(domain=[0, 100], nice=False)
    brush = alt.selection_interval("brush")
    x = alt.X("a:Q", title="AP of the first (%)", scale=scale)
    y = alt.Y("b:Q", title="AP of the second (%)", scale=scale)
    colour = alt.Color("camera:N", title="query camera", legend=alt.Legend(orient="bottom"))
    tooltip = tip("pid", "camera", a=".1f", b=".1f")[:-1]
    points = (
        alt.Chart(FRAME)
        .mark_circle(size=28)
        .encode(x, y, colour, where({"param": "brush"}, 0.75, 0.12), tooltip=tooltip)
    )
    ends = alt.Chart(pd.DataFrame({"a": [0, 100], "b": [0, 100]}))
    diagonal = ends.mark_line(strokeDash=[4, 3], opacity=0.6).encode(alt.X("a:Q"), alt.Y("b:Q"))
    return alt.layer(diagonal, points.add_params(brush)).properties(width="container", height=380)
