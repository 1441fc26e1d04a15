"""Two methods head to head: the average precision of every query, and thumbnails of those that differ most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from vibench.errors import UsageError
from vibench.leaderboard.board import Board
from vibench.records.outcomes import Queries
from vibench.report.frames import Line, measured_lines
from vibench.visualize.thumbnails import query_images, thumbnail

MOST_METHODS = 40
"""The best of a board; every one adds a number per query to the page."""
MOST_THUMBNAILS = 500
_ENDS = 5
"""Queries that a pair of methods shows of either side."""


def duel(lines: Sequence[Line], board: Board, images: Path | None) -> tuple[dict[str, Any] | None, str]:
    """What the page compares the methods of a board by, None with fewer than two, and why it has no thumbnails.

    AP is in tenths of a percent, mean over seeds; methods that were asked other queries, or in another order, than the
    best are left out.
    """
    first: Queries | None = None
    found: dict[str, np.ndarray] = {}
    for line in measured_lines(lines):
        queries = [outcome.queries for outcome in line.outcomes if outcome.queries is not None]
        if len(queries) < len(line.outcomes):
            continue
        first = first or queries[0]
        if all(first.same(one.pid, one.camera) for one in queries) and len(found) < MOST_METHODS:
            found[line.name] = np.mean([one.ap for one in queries], axis=0)
    if first is None or len(found) < 2:
        return None, ""
    precisions = np.round(1000.0 * np.array(list(found.values())))
    problem, thumbnails = "", {}
    if images is not None:
        try:
            root = images / board.dataset
            asked = query_images(measured_lines(lines)[0].outcomes[0].record, root)
            if asked.paths is None or not first.same(asked.pids, asked.cameras):
                raise UsageError(f"the images in {root} are not the queries of the records")
            paths = asked.paths.tolist()
            thumbnails = {query: thumbnail(root / paths[query]) for query in sorted(_most_apart(precisions))}
        except (UsageError, OSError) as error:
            problem = f"no thumbnails for {board.dataset}, {board.protocol}: {error}"
    precision = [[None if np.isnan(ap) else int(ap) for ap in row] for row in precisions]
    labels = {"pid": first.pid.tolist(), "camera": first.camera.tolist()}
    return {"names": list(found), **labels, "ap": precision, "thumbnails": thumbnails}, problem


def _most_apart(precisions: np.ndarray) -> list[int]:
    """The queries that most pairs of methods show among their largest wins and losses; ``precisions`` is (M, Q)."""
    counts: Counter[int] = Counter()
    for one, other in combinations(precisions, 2):
        order = np.argsort(np.nan_to_num(one - other), kind="stable")
        counts.update([*order[:_ENDS].tolist(), *order[-_ENDS:].tolist()])
    return [query for query, _ in counts.most_common(MOST_THUMBNAILS)]
