"""Numbered footnotes of a board in Markdown: contradictions between papers, and audit findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from vibench.leaderboard.audits import Audit
from vibench.leaderboard.published import Conflict


def escaped(text: str) -> str:
    """Text as it stands, whatever of it means something in Markdown."""
    return re.sub(r"([|*_`<>\\])", r"\\\1", text)


class Footnotes:
    """Numbers footnotes as they first appear: contradictions [1], [2] ..., audit findings [A1], [A2] ..."""

    def __init__(self) -> None:
        self._conflicts: dict[tuple[object, ...], list[Conflict]] = {}
        self._audits: dict[Audit, int] = {}

    def conflict_marks(self, conflicts: Iterable[Conflict]) -> list[str]:
        """The marks of contradictions; those of one kind and cause share a number."""
        marks = []
        for conflict in conflicts:
            key = (conflict.methods, conflict.kind, conflict.protocols)
            found = self._conflicts.setdefault(key, [])
            if conflict not in found:
                found.append(conflict)
            marks.append(f"[{list(self._conflicts).index(key) + 1}]")
        return list(dict.fromkeys(marks))

    def audit_marks(self, audits: Iterable[Audit]) -> list[str]:
        """Kind and number of each finding."""
        return [f"{audit.kind} [A{self._audits.setdefault(audit, len(self._audits) + 1)}]" for audit in audits]

    def markdown(self) -> list[str]:
        """Headings and lists of all footnotes that were marked."""
        parts = []
        if self._audits:
            notes = [
                f"- [A{number}] {escaped(', '.join(audit.methods))}, {audit.kind}, {audit.severity}: "
                f"{escaped(audit_sentence(audit))}"
                for audit, number in self._audits.items()
            ]
            parts += ["## What is wrong or unfair with printed numbers", "\n".join(notes)]
        if self._conflicts:
            notes = [f"- [{at}] {_conflicts(found)}" for at, found in enumerate(self._conflicts.values(), start=1)]
            parts += ["## Where papers contradict each other", "\n".join(notes)]
        return parts


def audit_sentence(audit: Audit) -> str:
    """What was found, and by what evidence."""
    return f"{audit.finding}. Evidence: {audit.evidence}."


def conflict_values(conflict: Conflict) -> str:
    """What stands against what, with the places."""
    against = f" against {conflict.value_b} ({conflict.source_b})" if conflict.value_b else ""
    return f"{' / '.join(conflict.metrics) or 'label'} {conflict.value_a} ({conflict.source_a}){against}"


def _conflicts(conflicts: Sequence[Conflict]) -> str:
    first = conflicts[0]
    values = "; ".join(conflict_values(found) for found in conflicts)
    comments = dict.fromkeys(found.comment for found in conflicts)
    return escaped(f"{', '.join(first.methods)}, {first.kind}: {values}. {'; '.join(comments)}.")
