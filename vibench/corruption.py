"""Which test images are corrupted, how, and how strongly: the rules, without a pixel.

The rules are ``protocols/corruption/rules.toml``. They follow the corruption benchmark for re-identification (Chen,
Wang and Zheng, Benchmarks for Corruption Invariant Person Re-identification, NeurIPS 2021; visible types and
severities: Zoky-2020/CIL-CrossModal ``corruption.py``) and its infrared form (Josi et al., Multimodal Data Augmentation
for Visual-Infrared Person ReID with Corrupted Data, WACV workshops 2023; art2611/MREiD-UCD-CCD
``corruption/Corruption_transform.py``), except that nothing is left to chance.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from vibench.errors import UsageError, suggestion
from vibench.files.digests import canonical_json
from vibench.files.shipped import protocols_folder
from vibench.files.toml import parse_table, read_toml
from vibench.modality import MODALITIES

MIXED, CURVE = "mixed", "curve"
NONE = "none"
"""The type that leaves an image as it is."""
_REQUEST = re.compile(r"([^:]*)(?::([0-9])(?:-([0-9]))?)?")


@dataclass(frozen=True)
class CorruptionRules:
    """The rules file."""

    name: str
    version: int
    """Rises with every change that could change a pixel."""
    title: str
    description: str
    changelog: tuple[str, ...]
    """One line per version."""
    seed: int
    visible: tuple[str, ...]
    """The types that a visible image may get in ``mixed``; an order that draws depend on."""
    infrared: tuple[str, ...]
    severities: int
    """Of each of these types, from 1."""
    alone: dict[str, int]
    """Types that are no part of ``mixed``, with their severities."""

    def types(self, modality: str) -> tuple[str, ...]:
        """The types of ``mixed`` for a modality."""
        return self.visible if modality == "visible" else self.infrared

    def severities_of(self, kind: str) -> int:
        """The largest severity of a type, or of ``mixed``."""
        return self.alone.get(kind, self.severities)


@dataclass(frozen=True)
class ImageCorruption:
    """What happens to one image."""

    kind: str
    """One of the types."""
    severity: int
    seed: int
    """Of its random numbers, below 2^32."""
    other: int = 0
    """Which of the images of other people occludes it: this number, modulo how many there are."""


@dataclass(frozen=True)
class Corruption:
    """What happens to the test images of an evaluation; part of its fingerprint."""

    kind: str
    """``mixed``, or one type for all images."""
    modalities: tuple[Literal["visible", "infrared"], ...]
    """Whose images are corrupted, visible before infrared."""
    version: int
    """Of the rules."""
    seed: int = 0
    severity: int | None = None
    """None: drawn for each image."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z-]{0,39}", self.kind):
            raise ValueError(f"'kind' must be {MIXED} or a type of small letters and hyphens, not {self.kind!r}.")
        if self.modalities not in (("visible",), ("infrared",), ("visible", "infrared")):
            raise ValueError(f"'modalities' must be visible, infrared or both in this order, not {self.modalities}.")
        if self.version < 1 or not 0 <= self.seed < 2**64:
            raise ValueError("'version' must be at least 1 and 'seed' from 0 to 2^64 - 1.")
        if self.severity is not None and not 1 <= self.severity <= 9:
            raise ValueError(f"'severity' must be a number from 1 to 9, not {self.severity}.")

    @property
    def request(self) -> str:
        """As it is asked for: ``mixed``, ``rain:3``."""
        return self.kind if self.severity is None else f"{self.kind}:{self.severity}"

    @property
    def label(self) -> str:
        """The request, and whose images: ``mixed:3, visible images``."""
        return f"{self.request}, {' and '.join(self.modalities)} images"

    @property
    def slug(self) -> str:
        """The same for names of files: ``mixed-3-visible``."""
        return "-".join((self.request.replace(":", "-"), "both" if len(self.modalities) > 1 else self.modalities[0]))

    def of_image(self, name: str, modality: str) -> ImageCorruption:
        """What happens to the image ``name``, a path relative to the data set's folder with ``/`` between its parts.

        SHA-256 of the JSON text ``[seed, name]`` decides: bytes 0 to 7 the type, 8 to 15 the severity, 16 to 19 the
        random numbers, 20 to 27 who occludes; big-endian, modulo the number of choices. So an image of ``mixed:3`` has
        the type and the random numbers that it has in ``mixed``. The modality must be one of `modalities`.
        """
        rules = corruption_rules()
        digest = hashlib.sha256(canonical_json([self.seed, name]).encode()).digest()
        types = rules.types(modality) if self.kind == MIXED else (self.kind,)
        kind = types[int.from_bytes(digest[:8], "big") % len(types)]
        drawn = 1 + int.from_bytes(digest[8:16], "big") % rules.severities_of(kind)
        seed, other = int.from_bytes(digest[16:20], "big"), int.from_bytes(digest[20:28], "big")
        return ImageCorruption(kind, self.severity or drawn, seed, other)

    def check(self) -> None:
        """`ValueError` unless today's rules know this corruption."""
        rules = corruption_rules()
        if self.version != rules.version:
            raise ValueError(f"is of version {self.version} of the corruption rules, and vibench has {rules.version}.")
        for modality in self.modalities:
            known = (MIXED, *rules.types(modality), *rules.alone)
            if self.kind not in known or self.kind == NONE:
                raise ValueError(f"'{self.kind}' is no corruption of {modality} images.")
        if self.severity is not None and self.severity > rules.severities_of(self.kind):
            raise ValueError(f"{self.kind} has the severities 1 to {rules.severities_of(self.kind)}.")


@cache
def corruption_rules() -> CorruptionRules:
    """The rules that ship with vibench."""
    path = protocols_folder() / "corruption" / "rules.toml"
    return parse_table(CorruptionRules, read_toml(path), "protocols/corruption/rules.toml")


def parse_corruptions(request: str | None, modality: str | None = None) -> tuple[Corruption, ...]:
    """The corruptions that ``--corrupt`` and ``--corrupt-modality`` ask for, one record each; none without a request.

    ``request`` is ``mixed``, ``curve`` (``mixed:1-5``), or a type, with ``:3`` for one severity and ``:1-5`` for
    several; ``modality`` is ``visible`` (also None), ``infrared`` or ``both``. Raises `UsageError`.
    """
    if request is None:
        if modality is not None:
            raise UsageError(f"--corrupt-modality {modality}: says whose images --corrupt concerns; name that as well.")
        return ()
    modality = "visible" if modality is None else modality
    chosen = {"visible": MODALITIES[:1], "infrared": MODALITIES[1:], "both": MODALITIES}
    if modality not in chosen:
        raise UsageError(
            f"--corrupt-modality {modality}: is none of visible, infrared and both{suggestion(modality, list(chosen))}."
        )
    rules = corruption_rules()
    match = _REQUEST.fullmatch(f"{MIXED}:1-{rules.severities}" if request == CURVE else request)
    kind = "" if match is None else match[1].replace("_", "-")
    types = sorted({*rules.visible, *rules.infrared, *rules.alone} - {NONE})
    if match is None or kind not in (MIXED, *types):
        raise UsageError(
            f"--corrupt {request}: is none of {MIXED}, {CURVE} and the types, with :3 or :1-5 behind them for "
            f"severities{suggestion(kind or request, [MIXED, CURVE, *types])}; the types are {', '.join(types)}."
        )
    first, last = match[2], match[3] or match[2]
    wanted = [None] if first is None else list(range(int(first), int(last) + 1))
    plain = Corruption(kind, chosen[modality], rules.version, rules.seed)  # type: ignore[arg-type]
    try:
        if not wanted or wanted[0] == 0:
            raise ValueError(f"severities are counted from 1 to {rules.severities_of(kind)}, the smaller one first.")
        found = tuple(replace(plain, severity=severity) for severity in wanted)
        for one in found:
            one.check()
    except ValueError as error:
        raise UsageError(f"--corrupt {request}: {error}") from None
    return found
