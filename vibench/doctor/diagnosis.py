"""What the doctor says of a file or folder, and what it was told about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from vibench.errors import UsageError, one_line
from vibench.protocols import Protocol, load_protocol

Severity = Literal["wrong", "doubtful", "note"]
SEVERITIES: tuple[Severity, ...] = ("wrong", "doubtful", "note")

_LONGEST = 600
"""Characters of a text of a diagnosis, whatever it cites from a file."""
_V2T = r"v(is(ible)?)?(2|to)(t(hermal)?|i(r|nfrared)?|n(ir)?)|rgb(2|to)(ir|t)"
_T2V = r"(t(hermal)?|i(r|nfrared)?|n(ir)?)(2|to)(v(is(ible)?)?|rgb)"
_APART = r"(?:^|(?<=[^a-z])){}(?=[^a-z]|$)"
"""A mark that stands as a word of its own in a name."""
_DIRECTIONS = (("visible", re.compile(_APART.format(f"(?:{_V2T})"))), ("infrared", re.compile(_APART.format(_T2V))))


@dataclass(frozen=True)
class Finding:
    """One thing that looks wrong, or that a reader should know."""

    severity: Severity
    """``wrong``: figures that come of it are not what they seem; ``doubtful``: they may not be; ``note``: good to know.
    """
    what: str
    evidence: str
    remedy: str

    def __post_init__(self) -> None:
        for name in ("what", "evidence", "remedy"):
            object.__setattr__(self, name, one_line(getattr(self, name), _LONGEST))


@dataclass
class Diagnosis:
    """Of one file or folder."""

    path: str
    kind: str
    """What it is, such as ``features``."""
    facts: dict[str, str] = field(default_factory=dict)
    actions: list[str] = field(default_factory=list)
    """Commands that can be given with it, those first that come first."""
    findings: list[Finding] = field(default_factory=list)

    def note(self, name: str, value: object) -> None:
        """Keep a fact; an empty one is none."""
        if str(value):
            self.facts[name] = one_line(str(value), _LONGEST)

    def ordered(self) -> list[Finding]:
        """The findings, those first that are worst."""
        return sorted(self.findings, key=lambda finding: SEVERITIES.index(finding.severity))

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {
            "path": self.path,
            "kind": self.kind,
            "facts": self.facts,
            "actions": self.actions,
            "findings": [asdict(finding) for finding in self.ordered()],
        }


@dataclass(frozen=True)
class Claims:
    """What is said about a file, to be held against what is in it; None: nothing."""

    dataset: str | None = None
    root: Path | None = None
    """Folder of the data set."""
    protocol: str | None = None
    trial: int | None = None
    """The train/test split of RegDB."""
    draw: str | None = None
    perm: Path | None = None
    """File of the official draws."""
    gallery: Path | None = None
    """The gallery's features, where the file holds the queries alone."""
    names: tuple[Path, ...] = ()
    """Files that name the images of features that do not."""

    def __post_init__(self) -> None:
        if self.draw not in (None, "seeded", "official"):
            raise UsageError(f"--draw {self.draw}: a gallery is drawn seeded or official.")
        self.rules()

    def rules(self) -> Protocol | None:
        """The protocol that is named; `UsageError` for an unknown one."""
        return None if self.protocol is None else load_protocol(self.protocol)


def claimed_trial(path: Path, claims: Claims) -> tuple[int | None, str]:
    """The split of RegDB that the option or the file's name says, and which of them does."""
    if claims.trial is not None:
        return claims.trial, f"--trial {claims.trial}"
    found = re.search(r"(?:trial|split)[_-]?0*(\d{1,2})(?!\d)", path.name, re.IGNORECASE)
    return (int(found[1]), f"the name {path.name}") if found else (None, "")


def claimed_query(path: Path, rules: Protocol | None) -> tuple[str, str]:
    """The modality that queries are said to have, by the protocol or the file's name, and which says it; or empty."""
    if rules is not None:
        return rules.query.modality, f"protocol {rules.name}"
    said = [modality for modality, mark in _DIRECTIONS if mark.search(path.name.lower())]
    return (said[0], f"the name {path.name}") if len(said) == 1 else ("", "")


def shell(*words: object) -> str:
    """A command as it is typed."""
    import shlex

    return shlex.join(["vibench", *map(str, words)])


def options(*pairs: tuple[str, object]) -> Sequence[object]:
    """The words of those options that have a value."""
    return [word for name, value in pairs if value not in (None, "") for word in (name, value)]
