"""Which queries are shown: named ones, random ones, the best and the worst."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vibench.errors import UsageError, suggestion
from vibench.evaluation.draws import Trial
from vibench.evaluation.images import Images
from vibench.protocols import Protocol
from vibench.runtime.randomness import generator
from vibench.visualize.request import SELECTIONS

CHOSEN = "chosen"
"""The group of queries named by their paths."""


def select_queries(
    wanted: Sequence[str],
    named: dict[str, int],
    queries: np.ndarray,
    pids: np.ndarray,
    precisions: np.ndarray,
    count: int,
    seed: int,
) -> dict[str, list[int]]:
    """Rows of queries by group, in the order wanted: members of `SELECTIONS`, ``count`` each, and `CHOSEN`.

    ``named`` are the rows of the other words (`named_queries`), ``queries`` (Q,) all rows to select from, ``pids`` (Q,)
    whom they show and ``precisions`` (Q,) their average precision. A query without true match, of precision NaN, is
    never selected; of equal ones the first are. The best and the worst show everybody once before anybody twice.
    """
    groups: dict[str, list[int]] = {}
    for word in wanted:
        if word in SELECTIONS:
            groups[word] = _selected(word, queries, pids, precisions, count, seed)
        else:
            groups.setdefault(CHOSEN, []).append(named[word])
    return groups


def named_queries(wanted: Sequence[str], protocol: Protocol, images: Images, trial: Trial) -> dict[str, int]:
    """The rows of the queries that are wanted by their path; `UsageError` for a word that is no query of the trial."""
    assert images.paths is not None
    rows = {str(images.paths[row]): int(row) for row in trial.query}
    found = {}
    for word in wanted:
        if word in SELECTIONS:
            continue
        if word not in rows:
            raise UsageError(f"--queries {word}: {_why_not(word, protocol, images, list(rows))}.")
        found[word] = rows[word]
    return found


def _selected(
    selection: str, queries: np.ndarray, pids: np.ndarray, precisions: np.ndarray, count: int, seed: int
) -> list[int]:
    valid = np.flatnonzero(~np.isnan(precisions))
    if selection == "random":
        places = np.sort(generator(seed, "pictured queries").permutation(valid)[:count])
    else:
        sign = -1.0 if selection == "best" else 1.0
        ordered = valid[np.argsort(sign * precisions[valid], kind="stable")]
        times = pd.Series(pids[ordered]).groupby(pids[ordered]).cumcount().to_numpy()
        places = ordered[np.sort(np.argsort(times, kind="stable")[:count])]
    return [int(row) for row in queries[places]]


def _why_not(word: str, protocol: Protocol, images: Images, names: list[str]) -> str:
    near = suggestion(word, names)
    if images.paths is not None and word in images.paths:
        side = protocol.query
        cameras = ", ".join(map(str, side.cameras))
        return (
            f"is a test image but no query of {protocol.name}, whose queries are {side.modality} images of camera "
            f"{cameras}{near}"
        )
    return (
        f"is neither {', '.join(SELECTIONS)} nor a query image of {protocol.name}"
        f"{near or suggestion(word, SELECTIONS)}; name it relative to the data set's folder, such as {names[0]}"
    )
