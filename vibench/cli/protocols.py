"""``vibench protocols``: the protocols that ship, or one explained in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vibench.corruption import CorruptionRules
    from vibench.protocols import Protocol, Side

UNKNOWN = "?"
UNVERIFIED = "*"
CORRUPTION = "corruption"
"""In place of a protocol's name: the rules by which test images are corrupted."""


def protocols(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A protocol's name, or the path of a TOML file.")
    ] = None,
) -> None:
    """List the evaluation protocols, or explain one in full: what it measures, every rule, its fingerprints.

    Example: vibench protocols sysu-indoor

    Example: vibench protocols corruption
    """
    from vibench.protocols import load_protocol, protocol_names

    if name == CORRUPTION:
        _explain_corruption()
    elif name is None:
        _list([load_protocol(known) for known in protocol_names()])
    else:
        _explain(load_protocol(name))


def _list(known: list[Protocol]) -> None:
    from rich.table import Table

    from vibench.cli.console import out

    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    # A name that is cut short cannot be typed.
    table.add_column("protocol", min_width=max(len(protocol.name) for protocol in known))
    for column in ("query", "shot", "draws"):
        table.add_column(column)
    for column in ("trials", "queries", "gallery"):
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
        "Of the queries first those with a match within reach. In full: vibench protocols NAME; what --corrupt does to "
        f"images: vibench protocols {CORRUPTION}"
    )


def _explain(protocol: Protocol) -> None:
    from rich.markup import escape
    from rich.table import Table

    from vibench.cli.console import out

    _print_prose(protocol)
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
        **({} if protocol.corruption is None else {"corrupted": protocol.corruption.label}),
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
    _print_changes(protocol.changelog)


def _explain_corruption() -> None:
    from rich.markup import escape
    from rich.table import Table

    from vibench.cli.console import out
    from vibench.corruption import corruption_rules

    rules = corruption_rules()
    _print_prose(rules)
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("visible types", escape(", ".join(rules.visible)))
    table.add_row("infrared types", escape(", ".join(rules.infrared)))
    table.add_row("severities", f"1 to {rules.severities}")
    for kind, severities in rules.alone.items():
        table.add_row(f"severities of {kind}", f"1 to {severities}")
    table.add_row("seed", str(rules.seed))
    out.print(table)
    _print_changes(rules.changelog)


def _print_prose(rules: Protocol | CorruptionRules) -> None:
    from rich.markup import escape

    from vibench.cli.console import out

    out.print(f"[bold]{rules.name}[/] version {rules.version}: {escape(rules.title)}\n")
    for paragraph in rules.description.strip().split("\n\n"):
        out.print(escape(" ".join(paragraph.split())) + "\n")


def _print_changes(changelog: Sequence[str]) -> None:
    from rich.markup import escape
    from rich.padding import Padding

    from vibench.cli.console import out

    out.print("\n[bold]Changes[/], by version")
    for line in changelog:
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
