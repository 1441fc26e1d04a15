"""Charts of one method: its ablations and its training."""

from __future__ import annotations

import altair as alt

from vibench.report.charts.theme import DASHES, FRAME, HEIGHT, picked, tip, zoom


def ablation_chart() -> alt.LayerChart:
    """The ladder of a method's variants, printed beside measured, in the order of the paper's table.

    Columns: variant, source (measured | printed), r1, r1_text, low, high (one deviation around r1), room (to the end of
    the axis), records.
    """
    base = alt.Chart(FRAME).encode(
        alt.Y("variant:N", title=None, sort=None, axis=alt.Axis(labelLimit=190)),
        alt.YOffset("source:N", sort=["measured", "printed"]),
    )
    pick, opacity = picked("source")
    legend = alt.Legend(orient="bottom", title=None)
    colour = alt.Color("source:N", scale=alt.Scale(domain=["measured", "printed"]), legend=legend)
    bars = base.mark_bar().encode(
        alt.X("r1:Q", title="rank-1 (%)"), colour, opacity, tooltip=tip("variant", "source", "r1_text")
    )
    spread = base.mark_rule().encode(alt.X("low:Q"), alt.X2("high:Q"))
    text = base.mark_text(align="left", dx=4, fontSize=10).encode(alt.X("high:Q"), alt.Text("r1_text:N"))
    room = base.mark_point(opacity=0).encode(alt.X("room:Q"))
    return alt.layer(room, bars.add_params(pick), spread, text).properties(width="container", height=alt.Step(20))


def training_chart() -> alt.Chart:
    """The weighted sum of the losses over the epochs. Columns: run, epoch, total, records."""
    pick, opacity = picked("run")
    legend = alt.Legend(orient="bottom", columns=2, title=None, symbolType="stroke", symbolSize=300)
    return (
        alt.Chart(FRAME)
        .mark_line(point=alt.OverlayMarkDef(size=18))
        .encode(
            alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1), scale=alt.Scale(zero=False)),
            alt.Y("total:Q", title="total loss"),
            alt.Color("run:N", sort=None, legend=legend),
            alt.StrokeDash("run:N", sort=None, scale=alt.Scale(range=DASHES)),
            opacity,
            tooltip=tip("run", "epoch", total=".4f"),
        )
        .add_params(pick, zoom())
        .properties(width="container", height=HEIGHT)
    )
