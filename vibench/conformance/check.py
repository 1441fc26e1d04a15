"""All checks of a method: its contract first, then the way from images to a record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vibench.conformance.contract import check_contract
from vibench.conformance.finding import Finding
from vibench.conformance.pipeline import check_pipeline
from vibench.runtime.progress import Progress, silent


def check_method(
    name: str,
    variant: str | None = None,
    overrides: Sequence[str] = (),
    device: str = "auto",
    progress: Progress = silent,
) -> Iterator[Finding]:
    """Yield what the checks of a method find.

    The contract is tried on every variant, or on ``variant`` alone, and on the CPU; the rest on ``device`` with the
    default variant, or with ``variant``, and only if the contract is kept.
    """
    contract = check_contract(name, () if variant is None else (variant,), overrides, progress)
    yield from contract
    if all(finding.passed for finding in contract):
        yield from check_pipeline(name, variant or "", overrides, device, progress)
