"""Text for LaTeX: whatever it holds, it is set as it stands."""

from __future__ import annotations

_COMMANDS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    **{letter: f"\\{letter}" for letter in "{}$&#_%"},
    # Not in the fonts that every LaTeX has by default.
    "–": "--",
    "†": r"\textdagger{}",
    "±": r"\textpm{}",
    "−": r"\textminus{}",
    "λ": r"\(\lambda\)",
    "→": r"\(\rightarrow\)",
}


def escaped(text: str) -> str:
    """Text as it stands, whatever of it means something in LaTeX; what ends a line becomes a space."""
    return "".join(_COMMANDS.get(letter, letter) for letter in " ".join(text.split()))
