"""The charts of the page, a function each: a form whose data set ``frame`` is filled in afterwards.

Functions of `vibench.report.frames` make the data of the same name; ``records`` says where a mark comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import altair as alt
import pandas as pd
from altair.utils.schemapi import debug_mode

from vibench.report.theme import config

DASHES = ([1, 0], [7, 3], [2, 3], [9, 3, 2, 3], [12, 4])
"""As many as have no divisor in common with the colours, so that few lines look alike."""
_FRAME = alt.NamedData("frame")
_WIDE = "container"
_TITLES = {"r1": "rank-1 %", "r1_text": "rank-1 %", "map": "mAP %", "share": "share %", "parameters": "M parameters"}


def overview_chart() -> alt.LayerChart:
    """Rank-1 of methods (rows) under protocols (columns), the best method on top; slanted text holds no rank.

    Columns: name, protocol, r1, r1_text, ranked, rank, source, records.
    """
    protocols = alt.X("protocol:N", title=None, axis=_SLANTED)
    methods = alt.Y("name:N", title=None, sort=alt.EncodingSortField("r1", "max", "descending"))
    style = alt.ExprRef("datum.ranked ? 'normal' : 'italic'")
    return _cells(protocols, methods, tip("name", "protocol", "r1_text", "rank", "source"), style)


def cameras_chart() -> alt.LayerChart:
    """Rank-1 of methods by query camera, and by pair of query and gallery camera.

    Columns: name, camera (as a column says it), place (its order), r1, map, records; best method first.
    """
    cameras = alt.X("camera:N", title=None, sort=alt.EncodingSortField("place", "min"), axis=_SLANTED)
    return _cells(cameras, alt.Y("name:N", title=None, sort=None), tip("name", "camera", r1=".2f", map=".2f"), "normal")


def timeline_chart(protocols: tuple[str, ...]) -> alt.LayerChart:
    """Rank-1 over the years under a protocol that is chosen, with the staircase of the state of the art.

    Columns: protocol, year, r1, r1_text, name, information, source, best (beats all before), label, side, records.
    """
    first = "sysu-all" if "sysu-all" in protocols else protocols[0]
    axis, scale = alt.Axis(format="d", tickMinStep=1), alt.Scale(padding=30, zero=False, nice=False)
    tooltip = tip("name", "year", "r1_text", "information", "source")
    x = alt.X("year:Q", title="year", axis=axis, scale=scale)
    chart = _stairs("information", "best", "protocol", x, 45, tooltip)
    return _chosen(chart, "protocol", protocols, first, "protocol ")


def cost_chart(heading: str, logarithmic: bool) -> alt.LayerChart:
    """Rank-1 against a cost, size as bubble; a staircase joins what nothing beats with equal test-time information.

    Columns: name, information, cost, r1, front, label, side (left | right: of the label, at its point), size and
    parameters (M, as a number and a text), records.
    """
    scale = alt.Scale(type="log" if logarithmic else "linear", zero=False, padding=24)
    x = alt.X("cost:Q", title=heading, scale=scale)
    size = alt.Size("size:Q", legend=None, scale=alt.Scale(range=[40, 420]))
    tooltip = tip("name", "information", "parameters", r1=".2f", cost=",.4~g")
    return _stairs("information", "front", "information", x, size, tooltip)


def severity_chart(settings: tuple[str, ...]) -> alt.Chart:
    """Rank-1 over the severity of a corruption, from clean images (0) on, in a setting that is chosen.

    Columns: setting, name, severity, r1, map, records; best method first.
    """
    x = alt.X("severity:Q", title="severity (0: clean images)", axis=alt.Axis(tickMinStep=1, format="d"))
    y = alt.Y("r1:Q", title="rank-1 (%)", scale=alt.Scale(zero=False, padding=16))
    chart = _lines("name", x, y, tip("name", "severity", r1=".2f", map=".2f"))
    return _chosen(chart, "setting", settings, settings[0], "images ")


def cmc_chart() -> alt.Chart:
    """Cumulative matching characteristics. Columns: name, rank, share (percent), records; best method first."""
    x = alt.X("rank:Q", axis=alt.Axis(tickMinStep=1), scale=alt.Scale(nice=False))
    y = alt.Y("share:Q", title="queries with a match up to this rank (%)", scale=alt.Scale(zero=False))
    return _lines("name", x, y, tip("name", "rank", share=".2f"))


def training_chart() -> alt.Chart:
    """The weighted sum of the losses over the epochs. Columns: run, epoch, total, records."""
    x = alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1), scale=alt.Scale(zero=False))
    return _lines("run", x, alt.Y("total:Q", title="total loss"), tip("run", "epoch", total=".4f"))


def ablation_chart() -> alt.LayerChart:
    """The ladder of a method's variants, printed beside measured, in the order of the paper's table.

    Columns: variant, source (measured | printed), r1, r1_text, low, high (one deviation around r1), room (to the end of
    the axis), records.
    """
    base = alt.Chart(_FRAME).encode(
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
    return alt.layer(room, bars.add_params(pick), spread, text).properties(width=_WIDE, height=alt.Step(20))


def duel_chart() -> alt.LayerChart:
    """Average precision of one method against another's, a point per query. Columns: a, b (percent), pid, camera."""
    scale = alt.Scale(domain=[0, 100], nice=False)
    brush = alt.selection_interval("brush")
    x = alt.X("a:Q", title="AP of the first (%)", scale=scale)
    y = alt.Y("b:Q", title="AP of the second (%)", scale=scale)
    colour = alt.Color("camera:N", title="query camera", legend=alt.Legend(orient="bottom"))
    points = alt.Chart(_FRAME).mark_circle(size=28)
    shown = points.encode(x, y, colour, where("brush", 0.75, 0.12), tooltip=tip("pid", "camera", a=".1f", b=".1f")[:-1])
    ends = alt.Chart(pd.DataFrame({"a": [0, 100], "b": [0, 100]}))
    diagonal = ends.mark_line(strokeDash=[4, 3], opacity=0.6).encode(alt.X("a:Q"), alt.Y("b:Q"))
    return alt.layer(diagonal, shown.add_params(brush)).properties(width=_WIDE, height=380)


_SLANTED = alt.Axis(orient="top", labelAngle=-40, labelLimit=260)


def _cells(x: alt.X, y: alt.Y, tooltip: list[alt.Tooltip], style: Any) -> alt.LayerChart:
    """A table of rank-1, coloured."""
    base = alt.Chart(_FRAME).encode(x, y, tooltip=tooltip)
    cells = base.mark_rect().encode(alt.Color("r1:Q", scale=alt.Scale(range="heatmap"), legend=None))
    text = base.mark_text(fontSize=10, fontStyle=style).encode(alt.Text("r1:Q", format=".1f"))
    return alt.layer(cells, text).properties(width=_WIDE, height=alt.Step(17))


def _lines(field: str, x: alt.X, y: alt.Y, tooltip: list[alt.Tooltip]) -> alt.Chart:
    """Lines by ``field``, in its order."""
    pick, opacity = picked(field)
    legend = alt.Legend(orient="bottom", columns=2, title=None, symbolType="stroke", symbolSize=300)
    colour, dashes = alt.Color(f"{field}:N", sort=None, legend=legend), alt.Scale(range=DASHES)
    lines = alt.Chart(_FRAME).mark_line(point=alt.OverlayMarkDef(size=18))
    shown = lines.encode(x, y, colour, alt.StrokeDash(f"{field}:N", sort=None, scale=dashes), opacity, tooltip=tooltip)
    return shown.add_params(pick, zoom()).properties(width=_WIDE, height=300)


def _stairs(field: str, best: str, each: str, x: alt.X, size: Any, tooltip: list[alt.Tooltip]) -> alt.LayerChart:
    """Rank-1 as points by test-time information ``field``, labels, and a staircase of the ``best`` for ``each``."""
    pick, opacity = picked(field)
    legend, title = alt.Legend(orient="bottom", columns=2), "test-time information"
    colour, shape = (kind(f"{field}:N", title=title, legend=legend) for kind in (alt.Color, alt.Shape))
    base = alt.Chart(_FRAME).encode(x, alt.Y("r1:Q", title="rank-1 (%)", scale=alt.Scale(zero=False, padding=20)))
    points = base.mark_point(filled=True, stroke="black", strokeWidth=0.4)
    sized = alt.SizeValue(size) if isinstance(size, int) else size
    shown = points.encode(colour, shape, opacity, sized, tooltip=tooltip)
    joined = base.mark_line(interpolate="step-after", strokeDash=[4, 3], opacity=0.7)
    side, away = alt.ExprRef("datum.side"), alt.ExprRef("datum.side == 'left' ? 12 : -12")
    labels = base.mark_text(align=side, dx=away, dy=-8, limit=130).encode(alt.Text("label:N"))
    stairs = joined.transform_filter(f"datum.{best}").encode(alt.Detail(f"{each}:N"))
    return alt.layer(stairs, shown.add_params(pick, zoom()), labels).properties(width=_WIDE, height=320)


def _chosen(chart: Any, field: str, values: tuple[str, ...], first: str, name: str) -> Any:
    """The chart with a menu of the values of ``field``, one of which is shown."""
    choice = alt.param(name=field, bind=alt.binding_select(options=list(values), name=name), value=first)
    return chart.add_params(choice).transform_filter(f"datum.{field} == {field}")


def zoom() -> alt.Parameter:
    """Shift and the wheel zoom, dragging moves, a double click shows all again."""
    return alt.selection_interval("zoom", bind="scales", encodings=("x", "y"), zoom="wheel![event.shiftKey]")


def picked(field: str) -> tuple[alt.Parameter, alt.OpacityValue]:
    """A selection by clicking into the legend, and the opacity that follows it."""
    return alt.selection_point("pick", fields=[field], bind="legend"), where("pick", 1.0, 0.1)


def where(parameter: str, value: float, otherwise: float) -> alt.OpacityValue:
    """One opacity where a parameter holds, and another elsewhere."""
    return alt.OpacityValue(otherwise, condition={"param": parameter, "value": value})


def tip(*fields: str, **numbers: str) -> list[alt.Tooltip]:
    """What a mark says: texts, then numbers with their formats, ``r1=".2f"``; the record last."""
    texts = [alt.Tooltip(f"{name}:N", title=_TITLES.get(name, name)) for name in fields]
    formatted = [alt.Tooltip(f"{name}:Q", format=form, title=_TITLES.get(name, name)) for name, form in numbers.items()]
    return [*texts, *formatted, alt.Tooltip("records:N")]


@cache
def form(chart: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """The Vega-Lite specification of a chart function, whose data set ``frame`` is still to be filled in."""
    with debug_mode(False):
        # Tests validate every form; at each building that would take longer than all the rest.
        spec: dict[str, Any] = chart(*arguments).to_dict(validate=False)
    del spec["config"], spec["$schema"]
    return {**spec, "autosize": {"type": "fit-x", "contains": "padding"}}


def filled(spec: Mapping[str, Any], columns: Mapping[str, Sequence[Any]], palette: Mapping[str, str]) -> dict[str, Any]:
    """A form with its data by columns, as a file shows it: of fixed width, on the surface of a palette."""
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    own = {"config": {**config(palette), "background": palette["surface"]}, "width": 640, "padding": 8}
    return {**spec, **own, "datasets": {**spec.get("datasets", {}), "frame": rows}}
