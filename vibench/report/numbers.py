"""How numbers are written, the same everywhere on the page."""

from __future__ import annotations

ABSENT = "–"


def percent(value: float) -> str:
    """A score that is in percent already: ``54.50``."""
    return f"{value:.2f}"


def with_deviation(value: float, deviation: float | None) -> str:
    """A score in percent with its deviation, where it has one."""
    return percent(value) if deviation is None else f"{percent(value)} ± {percent(deviation)}"


def amount(value: float | str | None, digits: int) -> str:
    """A cost with a fixed number of decimals, a text as it is, and `ABSENT` for what was not measured."""
    if value is None:
        return ABSENT
    return value if isinstance(value, str) else f"{value:,.{digits}f}"


def tick(value: float) -> str:
    """A number at an axis, as short as it can be: ``0.5``, ``12``, ``20k``, ``3M``."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if sign == 'k' else size):g}{sign}"
    return f"{value:.6g}"
