"""Protocols: the exact rules of an evaluation, read from one TOML file each.

A protocol says which images ask, which answer, how galleries are drawn, which gallery images a query skips and how
the CMC counts. Whatever could change a score is in the file, and its fingerprint covers it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from vibench.corruption import Corruption, parse_corruptions
from vibench.errors import UsageError, suggestion
from vibench.files.digests import canonical_json, sha256_text
from vibench.files.shipped import protocols_folder
from vibench.files.toml import parse_table, read_toml

LARGEST_COUNT = 1000
"""Above the numbers of trials, of shots and of cameras: each trial is a ranking of all queries."""
REPORTED_RANKS = (1, 5, 10, 20)
"""The ranks of the metrics r1, r5, r10, r20, which every protocol reports."""

HEADLINE_PROTOCOLS = {
    "sysu-mm01": "sysu-all",
    "regdb": "regdb-v2t",
    "llcm": "llcm-v2i",
    "hitsz-vcm": "hitsz-v2i",
    "buptcampus": "bupt-v2i",
}
"""The protocol that papers give first, by data set layout."""


@dataclass(frozen=True)
class Side:
    """The images that ask, or the images that answer."""

    modality: Literal["visible", "infrared"]
    cameras: tuple[int, ...]
    """In ascending order."""
    drawn: bool = False
    """True: each trial draws ``shots`` images per identity and camera. False: all images, in every trial."""

    def __post_init__(self) -> None:
        if any(not 0 <= camera < LARGEST_COUNT for camera in self.cameras):
            raise ValueError(f"'cameras' must be camera numbers of up to three digits, not {list(self.cameras)}.")
        if not self.cameras or list(self.cameras) != sorted(set(self.cameras)):
            raise ValueError(
                f"'cameras' must be ascending camera numbers without repetition, not {list(self.cameras)}."
            )


@dataclass(frozen=True)
class Skip:
    """Gallery images that do not exist for a query."""

    identities: Literal["any", "same"] = "any"
    """``any``: whoever is on the gallery image; ``same``: only images of the query's own identity."""
    cameras: tuple[tuple[int, int], ...] = ()
    """Pairs (query camera, gallery camera)."""


@dataclass(frozen=True)
class Expected:
    """Counts on the complete data set; None where they are not known."""

    queries: int | None = None
    valid_queries: int | None = None
    gallery: int | None = None
    reported_by: str = ""
    """Where unverified counts come from; empty for counts that hold for certain."""


@dataclass(frozen=True)
class Protocol:
    """One protocol file."""

    name: str
    version: int
    """Rises with every change that could change a score."""
    title: str
    dataset: Literal["sysu-mm01", "regdb", "llcm", "hitsz-vcm", "buptcampus"]
    """The data set whose layout and rules it is for; its twin has the same."""
    description: str
    """What it measures, in prose; paragraphs are separated by an empty line."""
    changelog: tuple[str, ...]
    """One line per version."""
    shots: int
    """Images drawn per identity and camera of the drawn side; 0 where nothing is drawn."""
    trials: int
    draws: tuple[Literal["seeded", "official", "none"], ...]
    """How galleries may be drawn; the first is the default."""
    cmc: Literal["unique", "standard"]
    """``unique`` counts each identity of the ranked list once, ``standard`` every image."""
    query: Side
    gallery: Side
    ranks: tuple[int, ...] = REPORTED_RANKS
    skip: Skip = field(default_factory=Skip)
    expected: Expected = field(default_factory=Expected)
    corruption: Corruption | None = None
    """What happens to the test images; None: they are as they are."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", self.name):
            raise ValueError("'name' must be letters, digits, '.', '_' and '-': records lie in a folder of that name.")
        if self.version < 1 or self.trials < 1:
            raise ValueError("'version' and 'trials' must be at least 1.")
        if self.trials >= LARGEST_COUNT or not 0 <= self.shots < LARGEST_COUNT:
            raise ValueError(f"'trials' and 'shots' must be below {LARGEST_COUNT}.")
        if len(self.changelog) != self.version:
            raise ValueError(f"'changelog' must have one line per version, {self.version}, not {len(self.changelog)}.")
        if self.ranks != REPORTED_RANKS:
            raise ValueError(f"'ranks' must be {list(REPORTED_RANKS)}, the ranks of a record's metrics.")
        if self.query.modality == self.gallery.modality:
            raise ValueError(f"[query] and [gallery] must differ in 'modality', not both be {self.query.modality}.")
        drawn = self.query.drawn or self.gallery.drawn
        if self.query.drawn and self.gallery.drawn:
            raise ValueError("at most one of [query] and [gallery] may have 'drawn = true'.")
        if drawn != (self.shots > 0) or drawn == ("none" in self.draws) or not self.draws:
            raise ValueError(
                "a side with 'drawn = true' needs 'shots' above 0 and 'draws' of 'seeded' or 'official'; "
                "without one, 'shots' must be 0 and 'draws' ['none']."
            )
        if "official" in self.draws and self.dataset != "sysu-mm01":
            raise ValueError("'draws' may name 'official' for sysu-mm01 only, which has permutations by its authors.")
        if self.corruption is not None:
            self.corruption.check()

    @property
    def layout(self) -> str:
        """The data set layout it is for: ``sysu-mm01`` | ``regdb`` | ``llcm`` | ``hitsz-vcm`` | ``buptcampus``."""
        return self.dataset

    @property
    def search(self) -> str:
        """``all`` | ``indoor`` on SYSU-MM01, the direction such as ``visible to infrared`` elsewhere."""
        if self.layout == "sysu-mm01":
            return "all" if len(self.gallery.cameras) > 2 else "indoor"
        return f"{self.query.modality} to {self.gallery.modality}"

    def resolve_draw(self, draw: str | None) -> str:
        """The draw that a request for ``draw`` means here: the default for None, ``none`` where nothing is drawn.

        Raises `UsageError` for a draw that the protocol does not allow.
        """
        if draw is None or self.draws == ("none",):
            return self.draws[0]
        if draw not in self.draws:
            raise UsageError(
                f"protocol {self.name} has no draw '{draw}'{suggestion(draw, list(self.draws))}; "
                f"it allows {' and '.join(self.draws)}."
            )
        return draw

    def fingerprint(self, dataset: str, draw: str, permutations_sha256: str = "", dataset_version: str = "") -> str:
        """SHA-256 of the canonical JSON of all that defines a score: only equal fingerprints are comparable.

        ``dataset`` and ``dataset_version`` name the images (a twin's version tells its scale and seed),
        ``permutations_sha256`` the official draws used. Title, description and changelog do not count.
        """
        definition = {
            "protocol": self.name,
            "version": self.version,
            "dataset": dataset,
            "dataset_version": dataset_version,
            "query": _side(self.query),
            "gallery": _side(self.gallery),
            "skip": {"identities": self.skip.identities, "cameras": sorted(map(list, self.skip.cameras))},
            "shots": self.shots,
            "trials": self.trials,
            "cmc": self.cmc,
            "ranks": list(self.ranks),
            "draw": self.resolve_draw(draw),
            "permutations": permutations_sha256,
            # Clean images are no rule that a fingerprint would name.
            **({} if self.corruption is None else {"corruption": asdict(self.corruption)}),
        }
        return sha256_text(canonical_json(definition))


def _side(side: Side) -> dict[str, object]:
    return {"modality": side.modality, "cameras": list(side.cameras), "drawn": side.drawn}


def protocol_names() -> tuple[str, ...]:
    """Names of the protocols that ship with vibench, data set after data set, each in alphabetical order."""
    prefixes = ("sysu", "regdb", "llcm", "hitsz", "bupt")

    def place(name: str) -> tuple[int, str]:
        prefix = name.partition("-")[0]
        return prefixes.index(prefix) if prefix in prefixes else len(prefixes), name

    return tuple(sorted((path.stem for path in protocols_folder().glob("*.toml")), key=place))


def load_protocol(name: str | Path) -> Protocol:
    """The protocol of that name, or of the TOML file at that path.

    Raises `UsageError` for an unknown name and, naming file, key and expectation, for a malformed file.
    """
    text = str(name)
    if text.endswith(".toml"):
        return _read(Path(name), text)
    return _shipped(text)


@lru_cache
def _shipped(name: str) -> Protocol:
    """Of that name; read once, because nobody changes the files of vibench while it runs."""
    if name not in protocol_names():
        raise UsageError(
            f"unknown protocol '{name}'{suggestion(name, protocol_names())}; "
            f"there are {', '.join(protocol_names())}, and paths to files that end in .toml."
        )
    protocol = _read(protocols_folder() / f"{name}.toml", f"protocols/{name}.toml")
    if protocol.name != name:
        raise UsageError(f"protocols/{name}.toml: 'name' must be '{name}' like the file, not '{protocol.name}'.")
    return protocol


def require_clean(protocol: Protocol, request: str) -> None:
    """`UsageError` where a protocol that corrupts images by its own rules is to do it by a request too."""
    if protocol.corruption is not None:
        raise UsageError(
            f"--corrupt {request}: protocol {protocol.name} corrupts images by its own rules; leave --corrupt out, or "
            "name a protocol of clean images."
        )


def corrupted(
    protocols: Sequence[Protocol], request: str | None = None, modality: str | None = None
) -> list[tuple[Protocol, ...]]:
    """The protocols in groups that share one corruption, each to be evaluated on images of its own.

    A ``request`` (`vibench.corruption.parse_corruptions`) makes a group of all of them per corruption that it means.
    Without one they keep their own, clean ones first. Raises `UsageError` for a request that cannot be met.
    """
    asked = parse_corruptions(request, modality)
    if asked:
        for protocol in protocols:
            require_clean(protocol, str(request))
        return [tuple(replace(protocol, corruption=corruption) for protocol in protocols) for corruption in asked]
    own = sorted({protocol.corruption for protocol in protocols}, key=lambda one: "" if one is None else one.label)
    return [tuple(protocol for protocol in protocols if protocol.corruption == corruption) for corruption in own]


def _read(path: Path, where: str) -> Protocol:
    return parse_table(Protocol, read_toml(path), where)
