"""How near a method trains to its authors' own code: ``parity.toml`` beside its recipe, absent where none was compared.

The figures are those of ``tests/methods/test_official_steps.py``, which fails where a measured one outgrows its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vibench.files.toml import parse_table, read_toml
from vibench.methods.registry import method_entries

FILE_NAME = "parity.toml"
KINDS = {
    "loss": "losses",
    "gradient": "gradients",
    "parameter": "parameters",
    "buffer": "batch-norm statistics",
    "rate": "learning rates",
}
"""What is compared, by its key in `Largest`."""


@dataclass(frozen=True)
class Largest:
    """The largest relative difference of each kind, vibench and official code both in float64."""

    loss: float
    """Of the losses."""
    gradient: float
    """Of the gradients: of their norms, and of their projections on a random direction."""
    parameter: float
    """Of the changes of the parameters since the start, projected likewise."""
    buffer: float
    """Of the changes of the batch-norm statistics, projected likewise."""
    rate: float
    """Of the learning rates of every epoch of the training."""


@dataclass(frozen=True)
class ComparedSteps:
    """A few optimiser steps from the same weights on the same batches."""

    script: str
    """The official script with its arguments."""
    dataset: str
    """Whose recipe vibench used."""
    epochs: tuple[int, ...]
    """The epoch of every step, from 0; epochs in between were counted, not trained."""
    largest: Largest
    note: str
    """What both codes were given for the comparison."""
    variant: str = ""
    """Of vibench's method."""

    @property
    def sentence(self) -> str:
        """How near the training is to the authors' code."""
        differences = ", ".join(f"{KINDS[kind]} {figure}" for kind, figure in figures(self.largest).items())
        steps = f"{len(self.epochs)} steps on {self.dataset}"
        return f"{self.script}: {steps}, largest relative differences in float64: {differences}"


@dataclass(frozen=True)
class Parity:
    """A ``parity.toml``."""

    repository: str
    """Address of the official code."""
    commit: str
    checkpoint: str
    """Which weights the official code keeps."""
    steps: dict[str, ComparedSteps]
    """By the name of their reference in ``tests/methods/steps``."""
    deviations: tuple[str, ...] = ()
    """What vibench does otherwise on purpose, a sentence each."""


def read_parity(folder: Path) -> Parity | None:
    """The ``parity.toml`` in a method's ``folder``, if there is one; `UsageError` where it is wrong."""
    path = folder / FILE_NAME
    return parse_table(Parity, read_toml(path), str(path)) if path.is_file() else None


def parity_table() -> str:
    """All compared steps of all methods as a Markdown table, one row each, with the largest differences."""
    rows = [("method", "official code", "steps", *KINDS.values()), ("---",) * (3 + len(KINDS))]
    for name, entry in method_entries().items():
        parity = read_parity(entry.folder)
        if parity is None:
            continue
        for compared in parity.steps.values():
            method = f"`{name}`, variant `{compared.variant}`" if compared.variant else f"`{name}`"
            repository = parity.repository.removeprefix("https://github.com/")
            code = f"[{repository}]({parity.repository}/tree/{parity.commit})"
            steps = f"{len(compared.epochs)} on {compared.dataset}"
            rows.append((method, code, steps, *figures(compared.largest).values()))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def deviation_list() -> str:
    """What vibench does otherwise than the official codes on purpose, as a Markdown list."""
    found = {name: read_parity(entry.folder) for name, entry in method_entries().items()}
    return "".join(
        f"- `{name}`: {' '.join(parity.deviations)}\n" for name, parity in found.items() if parity and parity.deviations
    )


def figures(largest: Largest) -> dict[str, str]:
    """The differences by kind as they are written, such as ``2e-10``."""
    return {kind: f"{getattr(largest, kind):.0e}".replace("e-0", "e-") for kind in KINDS}
