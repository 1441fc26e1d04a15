"""Boards, cost tables and findings on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from vibench.leaderboard.board import Board
from vibench.leaderboard.cells import (
    ABSENT,
    FRONT,
    METRIC_TITLES,
    board_title,
    cost_text,
    cost_title,
    row_conflicts,
    row_name,
    score_text,
    signed,
)
from vibench.leaderboard.cost import COSTS, CostKind, CostTable, cost_of
from vibench.leaderboard.footnotes import conflict_values
from vibench.leaderboard.published import Conflict
from vibench.leaderboard.rank import Rank
from vibench.leaderboard.row import Row
from vibench.leaderboard.sections import Line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

WIDE = 110
"""Terminal columns from which a board shows more than the essentials."""
WIDE_COMPARED = 150
"""Likewise, of a board with differences to published rows."""

_COSTS = {
    (False, False): ("train-time",),
    (False, True): (),
    (True, False): ("train-time", "parameters", "flops"),
    (True, True): ("train-time",),
}
"""Names of the costs that a board has room for, by whether the terminal is wide and rows are compared."""


def terminal_table(board: Board, width: int, *, whole: bool = True, unfold: bool = False) -> Table:
    """The board as a rich table for a terminal of ``width`` columns; the best score of each section is bold.

    Only the most important columns are shown, fewer on a narrow terminal, and none that would say the same in every
    row or nothing at all. Unless ``whole``, published rows without a rank are counted, not shown. With ``unfold`` the
    runs of a row over several seeds follow it.
    """
    from rich.markup import escape

    def shown(group: Sequence[Line]) -> list[Line]:
        return [(rank, row) for rank, row in group if whole or rank is not None or row.source != "published"]

    sections = [[shown(group) for group in section.groups] for section in board.sections]
    rows = [row for section in sections for group in section for _, row in group]
    compared = any(row.published is not None for row in rows)
    wide = width >= (WIDE_COMPARED if compared else WIDE)
    metrics = ("r1", "r10", "map", "minp") if wide else ("r1", "map")
    differences = () if not compared else ("r1", "map") if wide else ("r1",)
    # Beside differences there is less room.
    names = _COSTS[wide, compared]
    devices = {run.cost.device for row in rows if row.source != "published" for run in row.single_runs}
    costs = [
        kind
        for kind in COSTS
        if kind.name in names
        and not (kind.on_device and len(devices) > 1)
        and any(cost_of(row, kind) is not None for row in rows)
    ]
    common = _common_notes(rows)
    details = _details(rows, common, wide)

    table = _table(board_title(board), width)
    said = [f"every {source} row: {', '.join(notes)}" for source, notes in common.items() if notes]
    hidden = len(board.rows) - len(rows)
    said += [f"and {hidden} published rows that hold no rank here"] if hidden else []
    table.caption = _beside("\n".join(said), width, "table.caption")
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("method", overflow="fold", min_width=10)
    for metric in metrics:
        table.add_column(METRIC_TITLES[metric], justify="right", no_wrap=True)
    for metric in differences:
        table.add_column(f"{METRIC_TITLES[metric]} -\nprinted", justify="right", no_wrap=True)
    for kind in costs:
        table.add_column(kind.heading.replace(" ", "\n"), justify="right", no_wrap=True)
    for title, _ in details:
        table.add_column(title, overflow="fold", min_width=9)

    def cells(rank: Rank | None, name: str, row: Row, best: Sequence[float | None]) -> list[str]:
        scores = []
        for metric, top in zip(metrics, best, strict=True):
            score = row.scores.get(metric)
            scores.append(f"[bold]{score_text(score)}[/]" if score and score.value == top else score_text(score))
        return [
            ABSENT if rank is None else str(rank),
            escape(name),
            *scores,
            *(signed(row.difference(metric)) for metric in differences),
            *(cost_text(kind, cost_of(row, kind)) for kind in costs),
            *(escape(value(row)) for _, value in details),
        ]

    for section in sections:
        ranked = [row.scores for group in section for rank, row in group if rank is not None]
        best = [max((found[name].value for found in ranked if name in found), default=None) for name in metrics]
        for group in section:
            for rank, row in group:
                table.add_row(*cells(rank, row_name(row), row, best))
                for run in row.runs if unfold else ():
                    table.add_row(*cells(None, f"  seed {run.run.seed}", run, [None] * len(metrics)), style="dim")
            table.add_section()
    return table


def _details(
    rows: Sequence[Row], common: Mapping[str, Sequence[str]], wide: bool
) -> list[tuple[str, Callable[[Row], str]]]:
    """Columns of text that tell rows apart; on a narrow terminal one for all."""

    def information(row: Row) -> str:
        # Spaces let the cell break between words.
        return row.test_time_information.replace("+", " + ")

    def marks(row: Row) -> str:
        return ", ".join(note for note in _notes(row) if note not in common[row.source])

    every: list[tuple[str, Callable[[Row], str]]] = [
        ("source", lambda row: row.source),
        ("test-time info", information),
        ("marks", marks),
    ]
    told = [(title, value) for title, value in every if len({value(row) for row in rows} - {""}) > 1 or value is marks]
    told = [(title, value) for title, value in told if any(value(row) for row in rows)]
    if wide or len(told) < 2:
        return told
    usual = ("", "none", "trained")
    return [("about", lambda row: ", ".join(text for _, value in told if (text := value(row)) not in usual))]


def _common_notes(rows: Sequence[Row]) -> dict[str, list[str]]:
    """By source, the notes that each of its rows would bear, where there are several."""
    common: dict[str, list[str]] = {}
    for source in dict.fromkeys(row.source for row in rows):
        first, *others = (_notes(row) for row in rows if row.source == source)
        common[source] = [note for note in first if others and all(note in notes for notes in others)]
    return common


def _notes(row: Row) -> list[str]:
    """What a reader should know beside a row that its name does not say."""
    seeds = [f"{row.seeds} seeds"] if row.seeds > 1 else []
    return [note for note in dict.fromkeys([*seeds, *row_marks(row)]) if note not in row.evaluated]


def cost_terminal_table(board: Board, table: CostTable, kind: CostKind, width: int) -> Table:
    """The measured rows of one device by one cost, cheapest first; its columns fit a terminal of 80."""
    from rich.markup import escape

    shown = _table(f"{board_title(board)}\n{cost_title(table)}, by {kind.title}", width)
    shown.add_column("method", overflow="fold", min_width=10)
    shown.add_column("section", overflow="fold", min_width=9)
    shown.add_column(kind.heading, justify="right", no_wrap=True)
    shown.add_column("front", justify="center", no_wrap=True)
    for title in ("r1", "mAP"):
        shown.add_column(title, justify="right", no_wrap=True)
    shown.add_column("runs", justify="right", no_wrap=True)
    for line in table.sorted_by(kind):
        row = line.row
        shown.add_row(
            escape(row_name(row)),
            escape(row.place.replace("+", " + ")),
            cost_text(kind, line.value(kind)),
            FRONT if kind.name in line.pareto else "",
            score_text(row.scores.get("r1")),
            score_text(row.scores.get("map")),
            str(line.runs),
        )
    return shown


def conflict_list(conflicts: Iterable[Conflict]) -> list[RenderableType]:
    """All contradictions between and inside papers, a paragraph each."""
    paragraphs: list[RenderableType] = []
    for conflict in conflicts:
        place = ", ".join(conflict.protocols) or conflict.dataset or "everywhere"
        head = f"{', '.join(conflict.methods)} ({place}), {conflict.kind}: "
        paragraphs.append(_paragraph(head, f"{conflict_values(conflict)}. {conflict.comment}."))
    return paragraphs


def row_marks(row: Row) -> list[str]:
    """What a reader should know beside a row, in few words."""
    audits = [audit.kind for audit in row.audits if audit.severity != "note"]
    conflicts = sorted({found.kind for _, found in row_conflicts(row)})
    return list(dict.fromkeys([*row.obstacles, *row.marks, *audits, *conflicts]))


def _table(title: str, width: int) -> Table:
    from rich import box
    from rich.table import Table

    title_text = _beside(title, width, "table.title")
    return Table(
        title=title_text, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )


def _beside(text: str, width: int, style: str) -> Text:
    """What stands above or below a table, as wide as the terminal and not as the table."""
    from rich.text import Text

    lines = (part for line in text.splitlines() for part in wrap(line, width))
    return Text("\n".join(lines), style=style, no_wrap=True, overflow="ignore")


def _paragraph(head: str, text: str) -> RenderableType:
    from rich.text import Text

    return Text.assemble((head, "bold"), text, "\n")
