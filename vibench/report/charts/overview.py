"""Charts over all boards: methods by protocols, and accuracy over the years."""

from __future__ import annotations

import altair as alt

from vibench.report.charts.theme import FRAME, picked, tip, zoom


def overview_chart() -> alt.LayerChart:
    """Rank-1 of methods (rows) under protocols (columns), the best method on top; slanted text holds no rank.

    Columns: name, protocol, r1, r1_text, ranked, rank, source, records.
    """
    base = alt.Chart(FRAME).encode(
        alt.X("protocol:N", title=None, axis=alt.Axis(orient="top", labelAngle=-40, labelLimit=260)),
        alt.Y("name:N", title=None, sort=alt.EncodingSortField("r1", "max", "descending")),
        tooltip=tip("name", "protocol", "r1_text", "rank", "source"),
    )
    cells = base.mark_rect().encode(alt.Color("r1:Q", scale=alt.Scale(range="heatmap"), legend=None))
    style = alt.ExprRef("datum.ranked ? 'normal' : 'italic'")
    text = base.mark_text(fontSize=10, fontStyle=style).encode(alt.Text("r1:Q", format=".1f"))
    return alt.layer(cells, text).properties(width="container", height=alt.Step(17))


def timeline_chart(protocols: tuple[str, ...]) -> alt.LayerChart:
    """Rank-1 over the years under a protocol that is chosen, with the staircase of the state of the art.

    Columns: protocol, year, r1, r1_text, name, information, source, best (beats all years before), label, records.
    """
    first = "sysu-all" if "sysu-all" in protocols else protocols[0]
    menu = alt.binding_select(options=list(protocols), name="protocol ")
    choice = alt.param(name="protocol", bind=menu, value=first)
    pick, opacity = picked("information")
    x = alt.X(
        "year:Q",
        title="year",
        axis=alt.Axis(format="d", tickMinStep=1),
        scale=alt.Scale(padding=30, zero=False, nice=False),
    )
    y = alt.Y("r1:Q", title="rank-1 (%)", scale=alt.Scale(zero=False, padding=16, nice=False))
    legend = alt.Legend(orient="bottom", columns=2)
    colour = alt.Color("information:N", title="test-time information", legend=legend)
    base = alt.Chart(FRAME).encode(x, y)
    tooltip = tip("name", "year", "r1_text", "information", "source")
    shape = alt.Shape("information:N", title="test-time information", legend=legend)
    points = base.mark_point(filled=True, size=45).encode(colour, opacity, shape, tooltip=tooltip)
    stairs = base.transform_filter("datum.best").mark_line(interpolate="step-after", strokeDash=[4, 3])
    labels = base.mark_text(align="right", dx=-5, dy=-7).encode(alt.Text("label:N"))
    return (
        alt.layer(stairs, points.add_params(pick, zoom()), labels)
        .add_params(choice)
        .transform_filter("datum.protocol == protocol")
        .properties(width="container", height=340)
    )
