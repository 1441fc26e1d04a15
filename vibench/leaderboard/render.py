"""Boards as files and on the terminal: CSV for machines, Markdown for readers, and an index of both.

The same boards give the same bytes: nothing here knows the time of rendering.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vibench.evaluation.result import METRICS
from vibench.files import write_text
from vibench.leaderboard.board import UNRANKED, Board, Row, Score, Section
from vibench.leaderboard.published import Conflict

if TYPE_CHECKING:
    from rich.table import Table

INDEX = "index.md"
ABSENT = "–"
METRIC_TITLES = {"r1": "r1", "r5": "r5", "r10": "r10", "r20": "r20", "map": "mAP", "minp": "mINP"}


@dataclass(frozen=True)
class _CostColumn:
    title: str
    name: str
    """Column in the CSV, with its unit."""
    value: Callable[[Row], float | str | None]
    digits: int


_COST = (
    _CostColumn("train s", "train_seconds", lambda row: row.run.train_seconds, 0),
    _CostColumn("train images/s", "train_images_per_second", lambda row: row.run.images_per_second, 0),
    _CostColumn("peak MiB", "peak_memory_mib", lambda row: _scaled(row.cost.peak_memory, 2**20), 0),
    _CostColumn("extract images/s", "extraction_images_per_second", lambda r: r.cost.extraction_images_per_second, 0),
    _CostColumn("match ms/query", "matching_ms_per_query", lambda row: row.cost.matching_ms_per_query, 3),
    _CostColumn("train M params", "parameters_train_m", lambda row: _scaled(row.cost.parameters_train, 1e6), 2),
    _CostColumn("test M params", "parameters_test_m", lambda row: _scaled(row.cost.parameters_test, 1e6), 2),
    _CostColumn("GFLOPs/image", "gflops_per_image", lambda row: _scaled(row.cost.flops_per_image, 1e9), 2),
    _CostColumn("dimensions", "embedding_size", lambda row: row.cost.embedding_size, 0),
    _CostColumn("device", "device", lambda row: row.cost.device or None, 0),
)


def write_boards(folder: Path, boards: Sequence[Board]) -> list[Path]:
    """Write every board as CSV and Markdown, and the index; files of boards that are gone are removed.

    Returns the paths written. Only files that the previous index lists are ever removed.
    """
    folder = Path(folder)
    written = []
    for board in boards:
        for suffix, text in ((".csv", to_csv(board)), (".md", to_markdown(board))):
            path = folder / board.dataset / f"{board.name}{suffix}"
            write_text(path, text)
            written.append(path)
    for path in _listed(folder) - set(written):
        path.unlink(missing_ok=True)
    write_text(folder / INDEX, _index(boards))
    return [*written, folder / INDEX]


def to_csv(board: Board) -> str:
    """The board as CSV: numbers in percent and in the units that the column names give, nothing else in their cells."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    scores = [name for metric in METRICS for name in (metric, f"{metric}_std")]
    writer.writerow(
        ["section", "rank", "method", "variant", "source", "test_time_information", *scores]
        + [column.name for column in _COST]
        + ["input", "backbone", "pretrained", "precision", "seed", "run"]
        + ["date", "evidence", "not_ranked_because", "marks", "conflicts", "notes"]
    )
    for section in board.sections:
        for rank, row in section.rows:
            writer.writerow(
                [section.title, "" if rank is None else rank, row.method, row.variant, row.source]
                + [row.test_time_information, *(cell for metric in METRICS for cell in _csv_score(row, metric))]
                + [_plain(column.value(row)) for column in _COST]
                + [row.run.input, row.run.backbone, row.run.pretrained, row.run.precision, _plain(row.run.seed)]
                + [row.run.id, row.date, row.evidence, "; ".join(row.obstacles), "; ".join(row.marks)]
                + ["; ".join(f"{metric or 'row'}: {found.kind}" for metric, found in _conflicts(row))]
                + [" | ".join(row.notes)]
            )
    return text.getvalue()


def to_markdown(board: Board) -> str:
    """The board as Markdown: a table per section, then the contradictions behind the numbered marks.

    A board without measured rows has no cost columns: papers do not print them.
    """
    from tabulate import tabulate

    footnotes: dict[tuple[object, ...], list[Conflict]] = {}
    parts = [f"# {board_title(board)}", _preamble(board)]
    headers = ["rank", "method", "variant", "source", "test-time information"]
    costs = _COST if board.measured else ()
    headers += [METRIC_TITLES[metric] for metric in METRICS] + [column.title for column in costs]
    headers += ["date", "evidence", "marks"]
    for section in board.sections:
        lines = []
        for rank, row in section.rows:
            cells = [ABSENT if rank is None else str(rank), row.method, row.variant or ABSENT, row.source]
            cells += [row.test_time_information, *(_markdown_score(row, metric, footnotes) for metric in METRICS)]
            cells += [_shown(column.value(row), column.digits) for column in costs]
            remarks = [*row.obstacles, *row.marks, *_footnote_marks(row.conflicts, footnotes)]
            cells += [row.date or ABSENT, row.evidence, ", ".join(remarks)]
            lines.append([_escaped(cell) for cell in cells])
        table = tabulate(lines, headers, tablefmt="pipe", disable_numparse=True)
        parts += [f"## {_section_title(section)}", table]
    if footnotes:
        notes = [f"- [{at}] {_footnote(found)}" for at, found in enumerate(footnotes.values(), start=1)]
        parts += ["## Where papers contradict each other", "\n".join(notes)]
    return "\n\n".join(parts) + "\n"


def terminal_table(board: Board) -> Table:
    """The board as a rich table of its most important columns; the best ranked score of each column is bold."""
    from rich.markup import escape
    from rich.table import Table

    shown = ("r1", "r10", "map", "minp")
    costs = [column for column in _COST if column.name in ("train_seconds", "parameters_test_m", "gflops_per_image")]
    if not board.measured:
        costs = []
    table = Table(title=escape(board_title(board)), title_justify="left", header_style="bold")
    table.add_column("rank", justify="right")
    for name in ("method", "source", "test-time info"):
        table.add_column(name, overflow="fold")
    for title in [METRIC_TITLES[metric] for metric in shown] + [column.title for column in costs]:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("marks", overflow="fold")
    ranked = [row for section in board.sections for rank, row in section.rows if rank is not None]
    best = {m: max((row.scores[m].value for row in ranked if m in row.scores), default=None) for m in shown}
    for section in board.sections:
        for rank, row in section.rows:
            scores = []
            for metric in shown:
                text = _score(row.scores.get(metric))
                leads = rank is not None and metric in row.scores and row.scores[metric].value == best[metric]
                scores.append(f"[bold]{text}[/]" if leads else text)
            marks = [*row.obstacles, *row.marks, *sorted({found.kind for _, found in _conflicts(row)})]
            label = f"{row.method} {row.variant}".strip()
            table.add_row(
                ABSENT if rank is None else str(rank),
                escape(label),
                row.source,
                escape(row.test_time_information),
                *scores,
                *(_shown(column.value(row), column.digits) for column in costs),
                escape(", ".join(marks)),
            )
        table.add_section()
    return table


def board_title(board: Board) -> str:
    """What the board compares, in one line."""
    draw = "" if board.draw == "none" else f", {board.draw} draw"
    data = f"{board.dataset} {board.dataset_version}".strip() + (" (synthetic data)" if board.synthetic else "")
    return f"{data}: {board.protocol}{draw}"


def _preamble(board: Board) -> str:
    lines = []
    if board.synthetic:
        lines.append(
            "**The images are synthetic.** These numbers compare methods with each other on rendered people; "
            "they say nothing about scores on the real data set and must not stand beside them."
        )
    lines.append(
        f"Protocol `{board.protocol}`, draw `{board.draw}`, fingerprint `{board.fingerprint[:16]}`. Scores in percent; "
        "measured rows as mean ± standard deviation over trials, published rows as printed "
        f"({ABSENT}: not printed or not measured). Ranks count within a section, by r1, then mAP. Timings compare only "
        "within one device."
    )
    return "\n\n".join(lines)


def _section_title(section: Section) -> str:
    if section.title == UNRANKED:
        return "Shown, not ranked"
    if section.title == "unknown":
        return "Test-time information: not stated"
    return f"Test-time information: {section.title}"


def _score(score: Score | None) -> str:
    if score is None:
        return ABSENT
    if score.printed:
        return score.printed
    return f"{score.value:.2f} ± {score.deviation or 0.0:.2f}"


def _csv_score(row: Row, metric: str) -> tuple[str, str]:
    score = row.scores.get(metric)
    if score is None:
        return "", ""
    if score.printed:
        return score.printed, ""
    return f"{score.value:.4f}", f"{score.deviation or 0.0:.4f}"


def _markdown_score(row: Row, metric: str, footnotes: dict[tuple[object, ...], list[Conflict]]) -> str:
    score = row.scores.get(metric)
    marks = _footnote_marks(score.conflicts, footnotes) if score else []
    return " ".join([_score(score), *marks])


def _footnote_marks(conflicts: Iterable[Conflict], footnotes: dict[tuple[object, ...], list[Conflict]]) -> list[str]:
    """The marks of contradictions, numbered as they first appear; those of one kind and cause share a number."""
    marks = []
    for conflict in conflicts:
        key = (conflict.methods, conflict.kind, conflict.protocols)
        found = footnotes.setdefault(key, [])
        if conflict not in found:
            found.append(conflict)
        marks.append(f"[{list(footnotes).index(key) + 1}]")
    return list(dict.fromkeys(marks))


def _footnote(conflicts: Sequence[Conflict]) -> str:
    first = conflicts[0]
    values = "; ".join(
        f"{' / '.join(found.metrics) or 'label'} {found.value_a} ({found.source_a})"
        + (f" against {found.value_b} ({found.source_b})" if found.value_b else "")
        for found in conflicts
    )
    comments = dict.fromkeys(found.comment for found in conflicts)
    return _escaped(f"{', '.join(first.methods)}, {first.kind}: {values}. {'; '.join(comments)}.")


def _conflicts(row: Row) -> list[tuple[str, Conflict]]:
    cells = [(metric, found) for metric, score in row.scores.items() for found in score.conflicts]
    return cells + [("", found) for found in row.conflicts]


def _scaled(value: int | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _shown(value: float | str | None, digits: int) -> str:
    if value is None:
        return ABSENT
    return value if isinstance(value, str) else f"{value:.{digits}f}"


def _plain(value: float | str | None) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _escaped(text: str) -> str:
    return re.sub(r"([|*_`<>\\])", r"\\\1", text)


def _index(boards: Sequence[Board]) -> str:
    lines = ["# Leaderboards", "", "Rendered by `vibench leaderboard` from `records/` and `published/`."]
    for synthetic, title in ((False, "Real data"), (True, "Synthetic twins")):
        chosen = [board for board in boards if board.synthetic == synthetic]
        if chosen:
            lines += ["", f"## {title}", ""]
        for board in chosen:
            rows = sum(len(section.rows) for section in board.sections)
            path = f"{board.dataset}/{board.name}"
            lines.append(
                f"- [{board_title(board)}]({path}.md) ([CSV]({path}.csv)): {board.measured} measured, "
                f"{rows - board.measured} published"
            )
    return "\n".join(lines) + "\n"


def _listed(folder: Path) -> set[Path]:
    """The board files that the index on disk names."""
    try:
        text = (folder / INDEX).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return set()
    names = re.findall(r"\]\(([A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*\.(?:md|csv))\)", text)
    return {folder / name for name in names}
