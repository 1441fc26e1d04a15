"""What is to be pictured of a run, and what cannot be."""

from __future__ import annotations

from dataclasses import dataclass

from vibench.errors import UsageError, suggestion
from vibench.methods.base import Method
from vibench.methods.pictures import pictures_of
from vibench.pictures.embedding import has_tsne

WHAT = ("ranked", "cmc", "distances", "tsne", "gradcam", "parts")
"""What can be pictured: functions of `vibench.visualize.gallery.Gallery`."""
ALL = "all"
SELECTIONS = ("random", "best", "worst")
"""Queries drawn at random, those of the highest and those of the lowest average precision."""


@dataclass(frozen=True)
class PictureRequest:
    """What is to be pictured of a run."""

    what: str = ALL
    """One of `WHAT`, or `ALL`."""
    queries: tuple[str, ...] = SELECTIONS
    """Members of `SELECTIONS`, or names of query images; the pictures of pairs take the first group."""
    count: int = 5
    """Queries of each selection."""
    trial: int | None = None
    """The gallery draw whose ranked lists are shown, as the protocol numbers it; None: the first, and on data sets
    with several train/test splits that of the model."""
    seed: int = 0
    """Of random queries, and of what is left out where there is too much to show."""

    def __post_init__(self) -> None:
        if self.what not in (*WHAT, ALL):
            raise UsageError(
                f"--what {self.what}: there is no such picture{suggestion(self.what, (*WHAT, ALL))}; choose "
                f"{', '.join(WHAT)} or {ALL}."
            )
        if self.count < 1:
            raise UsageError(f"--count {self.count}: show at least 1 query.")
        if not self.queries:
            raise UsageError(f"--queries: name {', '.join(SELECTIONS)} or the paths of query images.")

    def check(self, method: Method) -> None:
        """Raise `UsageError` where the one picture that is asked for cannot be drawn of ``method``."""
        if self.what != ALL and (reason := left_out(method, self.what)):
            raise UsageError(f"--what {self.what}: {reason}.")


def left_out(method: Method, what: str) -> str:
    """Why `ALL` leaves a picture out; empty where it does not."""
    if what == "tsne" and not has_tsne():
        return "t-SNE needs scikit-learn, which is not installed: pip install 'vibench[tsne]'"
    if what == "parts" and not pictures_of(method):
        label = f"{method.name} {method.recipe.variant}".strip()
        return f"{label} has no pictures of its own"
    return ""
