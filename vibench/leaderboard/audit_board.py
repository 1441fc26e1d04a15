"""The board of audits: which kind of finding concerns which method, how grave it is, and where it is seen."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vibench.leaderboard.audits import SEVERITIES, Audit, by_severity
from vibench.leaderboard.footnotes import audit_sentence, escaped

if TYPE_CHECKING:
    from rich.console import RenderableType

NAME = "audits"
"""File name without suffix, in a leaderboards folder."""


def kinds_of(audits: Iterable[Audit]) -> dict[str, list[Audit]]:
    """The findings by kind, those of the gravest first, then those about most methods."""
    kinds: dict[str, list[Audit]] = {}
    for audit in by_severity(audits):
        kinds.setdefault(audit.kind, []).append(audit)

    def weight(kind: str) -> tuple[int, int, str]:
        return _gravest(kinds[kind]), -len({method for audit in kinds[kind] for method in audit.methods}), kind

    return {kind: kinds[kind] for kind in sorted(kinds, key=weight)}


def audits_csv(audits: Sequence[Audit]) -> str:
    """A row for each method, a column for each kind; cells hold the gravest severity, or nothing."""
    kinds = kinds_of(audits)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", *kinds])
    for method in sorted({method for audit in audits for method in audit.methods}):
        found = [[audit for audit in kinds[kind] if method in audit.methods] for kind in kinds]
        writer.writerow([method, *(SEVERITIES[_gravest(cell)] if cell else "" for cell in found)])
    return text.getvalue()


def audits_markdown(audits: Sequence[Audit]) -> str:
    """Kinds against methods, by severity; then every finding with its rows, and with repository, file and line."""
    from tabulate import tabulate

    kinds = kinds_of(audits)
    numbers = {
        id(audit): at for at, audit in enumerate((audit for found in kinds.values() for audit in found), start=1)
    }
    lines = []
    for kind, found in kinds.items():
        cells = []
        for severity in SEVERITIES:
            named = [
                f"{escaped(method)} [A{numbers[id(audit)]}](#a{numbers[id(audit)]})"
                for audit in found
                if audit.severity == severity
                for method in audit.methods
            ]
            cells.append(", ".join(named))
        lines.append([escaped(kind), *cells])
    methods = {method for audit in audits for method in audit.methods}
    about = (
        f"{len(audits)} findings of {len(kinds)} kinds about {len(methods)} methods. A major one: the number is not "
        "what it is called, and holds no rank. A minor one: it was got by a favour or a doubtful step, and ranks below "
        "every clean row of its section. A note: worth knowing, of no consequence for ranks. Of a method that is not "
        "here, nobody looked at the code, or nothing was seen. "
        f"As a table of methods against kinds: [{NAME}.csv]({NAME}.csv)."
    )
    parts = [
        "# Audits of printed numbers",
        about,
        tabulate(lines, ["kind", *SEVERITIES], tablefmt="pipe", disable_numparse=True),
    ]
    for kind, found in kinds.items():
        parts.append(f"## {kind}")
        parts += [
            f'<a id="a{numbers[id(audit)]}"></a>**[A{numbers[id(audit)]}]** {escaped(", ".join(audit.methods))}, '
            f"{audit.severity}, {escaped(rows_text(audit))}: {escaped(audit_sentence(audit))}"
            for audit in found
        ]
    return "\n\n".join(parts) + "\n"


def audit_list(audits: Iterable[Audit]) -> list[RenderableType]:
    """The board for a terminal: a heading for each kind, below it a paragraph for each finding, worst first."""
    from rich.text import Text

    paragraphs: list[RenderableType] = []
    for kind, found in kinds_of(audits).items():
        methods = dict.fromkeys(method for audit in found for method in audit.methods)
        paragraphs.append(Text.assemble((kind, "bold reverse"), f"  {', '.join(methods)}\n"))
        paragraphs += [
            Text.assemble(
                (f"{', '.join(audit.methods)} ({audit.severity}; {rows_text(audit)}): ", "bold"),
                f"{audit_sentence(audit)}\n",
            )
            for audit in found
        ]
    return paragraphs


def rows_text(audit: Audit) -> str:
    """Which printed rows a finding concerns, in few words."""
    if audit.none_read:
        return "no row of it here"
    rows = []
    for selector in audit.selectors:
        about = [] if selector.table in ("*", "results") else [selector.table]
        about += [selector.variant] if selector.variant else []
        about += [selector.protocol] if selector.protocol != "*" else ["all rows"]
        rows.append(" ".join(about) + (f" in {selector.source}" if selector.source else ""))
    return ", ".join(dict.fromkeys(rows))


def _gravest(audits: Iterable[Audit]) -> int:
    return min(SEVERITIES.index(audit.severity) for audit in audits)
