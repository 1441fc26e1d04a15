"""``vibench protocols``: the protocols that ship, or one explained in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vibench.protocols import Protocol, Side

UNKNOWN = "?"
UNVERIFIED = "*"


def protocols(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A protocol's name, or the path of a TOML file.")
    ] = None,
) -> None:
    """List the evaluation protocols, or explain one in full: what it measures, every rule, its fingerprints.

    Example: vibench protocols sysu-indoor
    """
    from vibench.protocols import load_protocol, protocol_names

    if name is None:
        _list([load_protocol(known) for known in protocol_names()])
    else:
        _explain(load_protocol(name))


def _list(known: list[Protocol]) -> None:
    from rich.table import Table

    from vibench.cli.console import out

    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    # A name that is cut short cannot be typed.
    table.add_column("protocol", min_width=max(len(protocol.name) for protocol in known))
    for column in ("query", "shots", "draws"):
        table.add_column(column)
    for column in ("trials", "valid/queries", "gallery"):
        table.add_column(column, justify="right")
    for protocol in known:
        expected = protocol.expected
        mark = UNVERIFIED if expected.reported_by else ""
        queries = f"{_count(expected.valid_queries)}/{_count(expected.queries)}"
        table.add_row(
            protocol.name,
            protocol.query.modality,
            str(protocol.shots or "all"),
            "/".join(protocol.draws),
            str(protocol.trials),
            queries + (mark if expected.queries else ""),
            _count(expected.gallery) + (mark if expected.gallery else ""),
        )
    out.print(table)
    out.print(
        f"Counts are those of the complete data set: {UNKNOWN} where not known, {UNVERIFIED} where only reported. "
        "In full: vibench protocols NAME"
    )


def _explain(protocol: Protocol) -> None:
    from rich.markup import escape
    from rich.padding import Padding
    from rich.table import Table

    from vibench.cli.console import out

    out.print(f"[bold]{protocol.name}[/] version {protocol.version}: {escape(protocol.title)}\n")
    for paragraph in protocol.description.strip().split("\n\n"):
        out.print(escape(" ".join(paragraph.split())) + "\n")
    expected = protocol.expected
    reported = f" (reported by {expected.reported_by})" if expected.reported_by else ""
    rows = {
        "data set": protocol.dataset,
        "query": _side(protocol.query, protocol.shots),
        "gallery": _side(protocol.gallery, protocol.shots),
        "skipped": _skipped(protocol),
        "trials": str(protocol.trials),
        "draws": ", ".join([f"{protocol.draws[0]} (default)", *protocol.draws[1:]]),
        "CMC": {
            "unique": "unique identity: each identity of the ranked list counts once",
            "standard": "standard: every image of the ranked list counts",
        }[protocol.cmc],
        "ranks": ", ".join(map(str, protocol.ranks)),
        "expected queries": _count(expected.queries) + (reported if expected.queries else ""),
        "of which valid": _count(expected.valid_queries) + (reported if expected.valid_queries else ""),
        "expected gallery": _count(expected.gallery) + (reported if expected.gallery else ""),
    }
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for label, text in rows.items():
        table.add_row(label, escape(text))
    for draw in protocol.draws:
        if draw == "official":
            table.add_row("fingerprint, official", "depends on the permutations used; every record has it")
        else:
            table.add_row(f"fingerprint, {draw}", protocol.fingerprint(protocol.dataset, draw))
    out.print(table)
    out.print("\n[bold]Changes[/], by version")
    for line in protocol.changelog:
        out.print(Padding(escape(line), (0, 0, 0, 2)))


def _count(count: int | None) -> str:
    return UNKNOWN if count is None else str(count)


def _side(side: Side, shots: int) -> str:
    cameras = ", ".join(map(str, side.cameras))
    much = f"{shots} drawn per identity and camera" if side.drawn else "all images"
    return f"{side.modality}, camera{'s' if len(side.cameras) > 1 else ''} {cameras}: {much}"


def _skipped(protocol: Protocol) -> str:
    if not protocol.skip.cameras:
        return "nothing"
    if all(query == gallery for query, gallery in protocol.skip.cameras):
        pairs = "gallery images of the query's own camera number"
    else:
        pairs = " and ".join(
            f"gallery images of camera {gallery} for queries of camera {query}"
            for query, gallery in protocol.skip.cameras
        )
    whose = "whoever they show" if protocol.skip.identities == "any" else "if they show the query's own identity"
    return f"{pairs}, {whose}"
