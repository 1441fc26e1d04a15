"""From a leaderboards folder to the page on disk, and its charts as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vibench.errors import UsageError
from vibench.files import write_text
from vibench.leaderboard.board import build_boards
from vibench.leaderboard.consensus import published_rows
from vibench.leaderboard.published import Published
from vibench.leaderboard.store import read_records
from vibench.progress import Progress, silent
from vibench.report.ablations import ablation_charts
from vibench.report.board_charts import board_charts
from vibench.report.charts.chart import Chart
from vibench.report.entries import entry_sections
from vibench.report.outcomes import read_outcomes
from vibench.report.page import BoardPart, to_html
from vibench.report.png import have_matplotlib, write_png
from vibench.report.runs import training_charts


@dataclass(frozen=True)
class Report:
    """What was written."""

    page: Path
    boards: int
    records: int
    pictures: tuple[Path, ...] | None
    """One PNG per chart; None where matplotlib is not installed."""
    problems: tuple[str, ...]
    """A sentence per file that could not be read."""


def write_report(
    leaderboards: Path,
    page: Path,
    *,
    published: Published | None = None,
    runs: Path | None = None,
    progress: Progress = silent,
) -> Report:
    """Write the page of all records below ``leaderboards``, and its charts into ``<page without suffix>-charts/``.

    ``published`` adds the published numbers to the boards of real data, and ``runs`` the training curves of the run
    folders below it. Raises `UsageError` where ``page`` is a folder or ``runs`` is none.
    """
    if page.is_dir():
        raise UsageError(f"{page}: is a folder; name the file of the page, such as {page / 'report.html'}.")
    if runs is not None and not runs.is_dir():
        raise UsageError(f"{runs}: is no folder of training runs; name one with --runs.")
    records, problems = read_records(leaderboards)
    outcomes, unread = read_outcomes(leaderboards, records, page)
    boards = build_boards(records, published_rows(published) if published else ())
    parts = []
    for board in boards:
        sections = entry_sections(board, outcomes)
        charts = (*board_charts(board, sections), *ablation_charts(board, sections, published))
        parts.append(BoardPart(board, sections, charts))
    training, unreadable = training_charts(runs, outcomes) if runs else ([], [])
    write_text(page, to_html(parts, training, outcomes))
    named = [(f"{part.board.dataset}-{part.board.name}-{chart.name}", chart) for part in parts for chart in part.charts]
    named += [(chart.name, chart) for chart in training]
    pictures = _write_pictures(page.with_name(f"{page.stem}-charts"), named, progress)
    missing = {problem.partition(":")[0] for problem in problems}
    unread = [problem for problem in unread if problem.partition(":")[0] not in missing]
    return Report(page, len(boards), len(outcomes), pictures, (*problems, *unread, *unreadable))


def _write_pictures(folder: Path, charts: Sequence[tuple[str, Chart]], progress: Progress) -> tuple[Path, ...] | None:
    if not have_matplotlib():
        return None
    with progress("drawing charts", len(charts)) as advance:
        for name, chart in charts:
            write_png(folder / f"{name}.png", chart.drawing)
            advance(1)
    return tuple(folder / f"{name}.png" for name, _ in charts)
