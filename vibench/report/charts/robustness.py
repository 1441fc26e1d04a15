"""Accuracy on corrupted images."""

from __future__ import annotations

import altair as alt

from vibench.report.charts.theme import DASHES, FRAME, picked, tip, zoom


def severity_chart(settings: tuple[str, ...]) -> alt.LayerChart:
    """Rank-1 over the severity of a corruption, from clean images (0) on, in a setting that is chosen.

    Columns: setting, name, severity, r1, map, records; best method first.
    """
    menu = alt.binding_select(options=list(settings), name="images ")
    choice = alt.param(name="setting", bind=menu, value=settings[0])
    pick, opacity = picked("name")
    legend = alt.Legend(orient="bottom", columns=2, symbolType="stroke", symbolSize=300)
    lines = (
        alt.Chart(FRAME)
        .mark_line(point=alt.OverlayMarkDef(size=28))
        .encode(
            alt.X("severity:Q", title="severity (0: clean images)", axis=alt.Axis(tickMinStep=1, format="d")),
            alt.Y("r1:Q", title="rank-1 (%)", scale=alt.Scale(zero=False, padding=16)),
            alt.Color("name:N", title=None, sort=None, legend=legend),
            alt.StrokeDash("name:N", sort=None, scale=alt.Scale(range=DASHES)),
            opacity,
            tooltip=tip("name", "severity", r1=".2f", map=".2f"),
        )
    )
    return (
        alt.layer(lines.add_params(pick, zoom()))
        .add_params(choice)
        .transform_filter("datum.setting == setting")
        .properties(width="container", height=340)
    )
