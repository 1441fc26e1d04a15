"""Two methods head to head: the average precision of every query, and thumbnails of those that differ most."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from vibench.errors import UsageError
from vibench.leaderboard.board import Board
from vibench.report.frames import Line, measured_lines
from vibench.report.outcomes import Queries

MOST_METHODS = 40
"""The best of a board; every one adds a number per query to the page."""
MOST_THUMBNAILS = 500
_ENDS = 5
"""Queries that a pair of methods shows of either side."""
_HEIGHT = 64


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
            thumbnails = _thumbnails(_most_apart(precisions), board, lines, first, images / board.dataset)
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


def _thumbnails(
    wanted: Sequence[int], board: Board, lines: Sequence[Line], queries: Queries, root: Path
) -> dict[int, str]:
    from PIL import Image

    from vibench.datasets.index import test_rows
    from vibench.datasets.registry import get_dataset
    from vibench.evaluation.draws import draw_trials
    from vibench.evaluation.images import images_of
    from vibench.protocols import load_protocol

    if not root.is_dir():
        raise UsageError(f"there is no folder {root}")
    dataset, protocol = get_dataset(board.dataset), load_protocol(board.protocol)
    if dataset.version(root) != board.dataset_version:
        raise UsageError(f"{root} is {dataset.version(root)}, the records are of {board.dataset_version}")
    split = measured_lines(lines)[0].outcomes[0].record.trials[0].trial if dataset.trials > 1 else None
    images = images_of(test_rows(dataset.index(root, split)))
    # Galleries are drawn, the queries of all trials are the same: the default draw will do.
    trial = draw_trials(protocol, images, protocol.resolve_draw(None), split=split or 1)[0]
    rows = images.ordered(trial.query)
    if not queries.same(images.pids[rows], images.cameras[rows]):
        raise UsageError(f"the images in {root} are not the queries of the records")
    assert images.paths is not None
    found, files = {}, dataset.files(root)
    for query in sorted(wanted):
        name = str(images.paths[rows[query]])
        with Image.open(root / files.get(name, name)) as image:
            small = image.convert("RGB")
            small.thumbnail((_HEIGHT, _HEIGHT))
            content = io.BytesIO()
            small.save(content, "JPEG", quality=80)
        found[query] = f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
    return found
