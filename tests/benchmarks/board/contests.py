"""Which evaluations of a board are set against which: methods against their baselines, and the steps in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.board.rows import BASELINES
from vibench.methods.registry import method_entry
from vibench.records.schema import Record


@dataclass(frozen=True)
class Ranking:
    """One evaluation of every run of a variant."""

    name: str
    """``METHOD`` or ``METHOD:VARIANT``."""
    query_mode: str = "all"
    attributes: str = ""
    """Where the attributes of test images are from; ``pred`` where it is empty, for a method that takes any."""
    feature: str = ""

    @property
    def label(self) -> str:
        """As a table names it."""
        modes = (self.query_mode if self.query_mode != "all" else "", self.attributes, self.feature)
        return ", ".join([self.name, *(mode for mode in modes if mode)])

    def of(self, stored: Mapping[Path, Record]) -> dict[Path, Record]:
        """Its records among those of a folder."""
        sources = (self.attributes,) if self.attributes else ("", "pred")
        method, _, variant = self.name.partition(":")
        # A method's default variant may have a name, as those of `baseline` have.
        variant = method_entry(method).recipe_file.resolve_variant(variant)
        return {
            path: record
            for path, record in stored.items()
            if (record.method, record.variant) == (method, variant)
            and (record.query_mode, record.feature) == (self.query_mode, self.feature)
            and record.test_attributes in sources
        }


@dataclass(frozen=True)
class Contest:
    """Two rankings of the same queries."""

    first: Ranking
    second: Ranking
    headline: bool = False
    """Whether it is a method, as it is, against its own baseline."""


def _steps(second: str, *firsts: Ranking) -> tuple[Contest, ...]:
    return tuple(Contest(first, Ranking(second)) for first in firsts)


_BETWEEN = (
    *_steps("cm-ssft:shl", Ranking("cm-ssft", query_mode="single"), Ranking("cm-ssft:shl-spl-moa-pa-re")),
    *_steps("cm-ssft:shl", Ranking("cm-ssft:shl-spl")),
    *_steps("cm-ssft:shl-spl", Ranking("cm-ssft:shl-spl-moa")),
    *_steps("cm-ssft:shl-spl-moa", Ranking("cm-ssft:shl-spl-moa-pa")),
    *_steps("cm-ssft:shl-spl-moa-pa", Ranking("cm-ssft:shl-spl-moa-pa-re")),
    *_steps("cm-ssft:shl-spl-moa-pa-re", Ranking("cm-ssft"), Ranking("cm-ssft", query_mode="single")),
    Contest(Ranking("cm-ssft"), Ranking("cm-ssft", query_mode="single")),
    *_steps("cal:baseline", Ranking("cal:tca")),
    *_steps("cal:tca", Ranking("cal:kd1"), Ranking("cal:kd2"), Ranking("cal")),
    *_steps("mmd", *(Ranking("paenet", attributes=source) for source in ("const", "shuffle", "gt"))),
    *_steps("mmd", Ranking("paenet:pae"), Ranking("paenet:pae", attributes="gt"), Ranking("paenet:aal")),
    *_steps("pose:baseline", Ranking("pose", feature="id"), Ranking("pose:peb"), Ranking("pose:peb-pose")),
    *_steps("pose:peb-pose", Ranking("pose")),
    *_steps("baseline", Ranking("ddag:b-p"), Ranking("ddag:b-g")),
)

CONTESTS = (
    *(Contest(Ranking(name), Ranking(baseline), headline=True) for name, baseline in BASELINES.items()),
    *_BETWEEN,
)
