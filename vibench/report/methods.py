"""What the page says of one method: paper, code, parity, variants, and every board that it was measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vibench.errors import UsageError
from vibench.leaderboard.catalogue import registered_methods
from vibench.leaderboard.cost import COSTS, cost_of
from vibench.methods.parity import Parity, read_parity
from vibench.methods.recipe_file import RecipeFile
from vibench.report.frames import Line, identities


@dataclass(frozen=True)
class MethodPart:
    """One method."""

    name: str
    id: str
    """On the page."""
    file: RecipeFile | None
    """None for a method that is not registered here."""
    parity: Parity | None
    """None where no authors' code was compared."""
    measured: tuple[Line, ...]

    def costs(self, line: Line) -> str:
        """What a row has cost, in words."""
        kinds = (kind for kind in COSTS if kind.name in ("train-time", "parameters", "flops"))
        known = ((kind, cost_of(line.row, kind)) for kind in kinds)
        return ", ".join(f"{kind.heading}: {value:,.{kind.digits}f}" for kind, value in known if value is not None)


def method_parts(lines: Sequence[Line]) -> list[MethodPart]:
    """All registered methods, and those that records of trained or imported models name."""
    files = registered_methods().methods
    measured: dict[str, list[Line]] = {}
    for line in lines:
        if line.row.source in ("trained", "imported"):
            measured.setdefault(line.row.method, []).append(line)
    names = sorted({*files, *measured})
    return [
        MethodPart(name, key, files.get(name), _parity(files.get(name)), tuple(measured.get(name, ())))
        for name, key in zip(names, identities(names), strict=True)
    ]


def _parity(file: RecipeFile | None) -> Parity | None:
    try:
        return read_parity(file.path.parent) if file else None
    except UsageError:
        # A method of one's own, whose file is wrong, has its say in 'vibench methods'.
        return None
