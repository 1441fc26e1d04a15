"""From a leaderboards folder to the page on disk, and its charts as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vibench.errors import UsageError
from vibench.files.places import keeping, require_folder, require_writable
from vibench.files.writing import write_text
from vibench.leaderboard.ablations import ablation_boards
from vibench.leaderboard.board import build_boards
from vibench.leaderboard.certainty import certainty_of
from vibench.leaderboard.consensus import ablation_rows, published_rows
from vibench.leaderboard.profiles import read_profile_tables
from vibench.leaderboard.published import Published
from vibench.records.store import find_records
from vibench.report.ablations import ablation_figure
from vibench.report.board_charts import board_charts
from vibench.report.charts.chart import Chart
from vibench.report.entries import entry_sections
from vibench.report.markup import Markup
from vibench.report.outcomes import read_outcomes
from vibench.report.page import BoardPart, to_html
from vibench.report.png import have_matplotlib, write_png
from vibench.report.profile_tables import profile_section
from vibench.report.runs import training_charts
from vibench.runtime.progress import Progress, silent


@dataclass(frozen=True)
class Rendered:
    """The page as a text, and what it shows."""

    html: str
    charts: tuple[tuple[str, Chart], ...]
    """Every chart of the page with a name of its own that is fit for a file."""
    boards: int
    records: int
    problems: tuple[str, ...]
    """A sentence per file that could not be read."""


@dataclass(frozen=True)
class Report:
    """What was written."""

    page: Path
    rendered: Rendered
    pictures: tuple[Path, ...] | None
    """One PNG per chart; None where matplotlib is not installed."""


def render_report(
    leaderboards: Path, page: Path, *, published: Published | None = None, runs: Path | None = None
) -> Rendered:
    """The page of all records and profiles below ``leaderboards``, as it is to lie at ``page``.

    ``published`` adds the published numbers to the boards of real data, and ``runs`` the training curves of the run
    folders below it. Raises `UsageError` where ``runs`` is no folder.
    """
    if runs is not None and not runs.is_dir():
        raise UsageError(f"{runs}: is no folder of training runs; name one with --runs.")
    records, problems = find_records(leaderboards)
    outcomes, unread = read_outcomes(records, page)
    printed = [*published_rows(published), *ablation_rows(published)] if published else []
    boards = build_boards(records.values(), printed, certainty=certainty_of(leaderboards, records))
    ablations = ablation_boards(boards, published.papers if published else {})
    parts = []
    for board in boards:
        sections = entry_sections(board, outcomes)
        figures = [ablation_figure(ablation) for ablation in ablations if ablation.board is board]
        charts = (*board_charts(board, sections), *(chart for chart in figures if chart is not None))
        parts.append(BoardPart(board, sections, charts))
    training, unreadable = training_charts(runs, outcomes) if runs else ([], [])
    profiles, unsound = read_profile_tables(leaderboards)
    named = [(f"{part.board.dataset}-{part.board.name}-{chart.name}", chart) for part in parts for chart in part.charts]
    # A missing per-query file has been reported with its record.
    reported = {problem.partition(":")[0] for problem in problems}
    unread = [problem for problem in unread if problem.partition(":")[0] not in reported]
    return Rendered(
        to_html(parts, training, outcomes, profile_section(profiles, leaderboards, page) if profiles else Markup("")),
        (*named, *((chart.name, chart) for chart in training)),
        len(parts),
        len(outcomes),
        (*problems, *unread, *unreadable, *unsound),
    )


def write_report(
    leaderboards: Path,
    page: Path,
    *,
    published: Published | None = None,
    runs: Path | None = None,
    progress: Progress = silent,
) -> Report:
    """Write the page of `render_report`, and its charts as PNGs into ``<page without suffix>-charts/`` beside it.

    Raises `UsageError` before all else where either cannot be written. What cannot be written all the same is kept
    elsewhere, and `VibenchError` says where at the end.
    """
    charts = page.with_name(f"{page.stem}-charts")
    require_writable(page, "-o")
    if have_matplotlib():
        require_folder(charts, "-o")
    rendered = render_report(leaderboards, page, published=published, runs=runs)
    pictures = []
    with keeping() as keep:
        keep(page, partial(write_text, text=rendered.html))
        if not have_matplotlib():
            return Report(page, rendered, None)
        with progress("drawing charts", len(rendered.charts)) as advance:
            for name, chart in rendered.charts:
                pictures.append(charts / f"{name}.png")
                keep(pictures[-1], partial(write_png, drawing=chart.drawing))
                advance(1)
    return Report(page, rendered, tuple(pictures))
