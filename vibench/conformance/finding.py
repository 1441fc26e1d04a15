"""What a check has found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vibench.errors import VibenchError, describe_exception


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    title: str
    """What was checked."""
    outcome: Literal["passed", "failed", "not reached"]
    text: str = ""
    """What was measured, or what is wrong and how to put it right."""

    @property
    def passed(self) -> bool:
        """Whether the check was made and all is well."""
        return self.outcome == "passed"


class BrokenContract(Exception):
    """A method does not do what it must; the text says what is wrong, and what to do."""


def attempt(title: str, check: Callable[[], str], folder: Path) -> Finding:
    """Make one check of the method whose code lies in ``folder``: ``check`` returns what it measured, or raises."""
    try:
        return Finding(title, "passed", check())
    except (BrokenContract, VibenchError) as problem:
        return Finding(title, "failed", str(problem))
    except Exception as error:
        # A method's own code may raise anything.
        return Finding(title, "failed", f"it raises {describe_exception(error, folder)}.")
