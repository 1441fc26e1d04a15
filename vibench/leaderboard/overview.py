"""The overview at the head of the index: methods × protocols, measured and printed side by side.

A line is a method, measured or printed, under one test-time information. On every board the best row stands for it: of
those of the method itself where there are any, else of its variants, and of these one that holds a rank. Methods stand
by name: their order says nothing about which is better. On real data these are the methods that vibench has and those
that somebody measured, not all that papers print.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vibench.leaderboard.board import Board
from vibench.leaderboard.catalogue import Catalogue, registered_methods
from vibench.leaderboard.cells import ABSENT, cost_text, variant_text
from vibench.leaderboard.cost import COSTS, CostKind, cost_of
from vibench.leaderboard.markdown import SYNTHETIC, pipe_table
from vibench.leaderboard.row import LEAKING, NOT_LEARNT, OTHER_PRINT, Row
from vibench.leaderboard.sections import Line, merit, section_order
from vibench.protocols import HEADLINE_PROTOCOLS, load_protocol, protocol_names

_COSTS = tuple(kind for kind in COSTS if kind.name in ("train-time", "latency", "parameters"))
_MEASURED, _PRINTED = "measured", "printed"
_ABOUT = (
    "Rank-1 in percent, and in parentheses the places that the row may hold on the board's section; a dash: it holds "
    "none. Behind it stands the variant, where it is not the method itself."
)


@dataclass
class _Entry:
    """One line of the table."""

    method: str
    kind: str
    section: str
    best: dict[int, Line] = field(default_factory=dict)
    """By the number of the board."""


def overview(boards: Sequence[Board], catalogue: Catalogue | None = None) -> list[str]:
    """Markdown paragraphs: a table of the boards on real data, and one of those of twins, as far as there are any."""
    catalogue = catalogue or registered_methods()
    # Scores of corrupted images, and of transfer, have no place beside the plain ones.
    plain = (board for board in boards if board.corruption is None and not board.trained_on)
    boards = sorted(plain, key=_board_order)
    parts = []
    real = [board for board in boards if not board.synthetic and (board.measured or not _multi_shot(board))]
    twins = [board for board in boards if board.synthetic and board.measured]
    for chosen, title in ((real, "## Overview: real data"), (twins, "## Overview: synthetic twins")):
        entries = _entries(chosen, catalogue)
        if entries:
            parts += [title, *_about(chosen), _table(chosen, entries)]
    return parts


def _about(boards: Sequence[Board]) -> list[str]:
    measured = any(board.measured for board in boards)
    about = _ABOUT
    if not boards[0].synthetic:
        about += " Measured and printed rows rank apart." if measured else " All numbers are printed ones."
        about += " Further printed methods, and multi-shot protocols, are on the boards below."
    if measured:
        about += " Costs are those of the leftmost number; times compare within one device alone."
    return [SYNTHETIC, about] if boards[0].synthetic else [about]


def _board_order(board: Board) -> tuple[object, ...]:
    """Data sets and protocols in the order in which papers report them."""
    layouts = list(HEADLINE_PROTOCOLS)
    layout = board.dataset.removesuffix("-twin")
    place = layouts.index(layout) if layout in layouts else len(layouts)
    headline = board.protocol == HEADLINE_PROTOCOLS.get(layout)
    return place, board.dataset, board.dataset_version, not headline, board.protocol, board.draw != "seeded", board.name


def _multi_shot(board: Board) -> bool:
    return board.protocol in protocol_names() and load_protocol(board.protocol).shots > 1


def _entries(boards: Sequence[Board], catalogue: Catalogue) -> list[_Entry]:
    """The lines by method, measured before printed, without those that have no number."""
    entries: dict[tuple[str, str, str], _Entry] = {}

    def preferred(line: Line) -> tuple[object, ...]:
        rank, row = line
        variant = row.source != "published" and row.variant not in ("", catalogue.default_variant(row.method))
        return variant, rank is None, *merit(row), row.order

    def offer(at: int, method: str, kind: str, line: Line) -> None:
        section = line[1].section
        if section != LEAKING:
            entry = entries.setdefault((method, kind, section), _Entry(method, kind, section))
            known = entry.best.get(at)
            if known is None or preferred(line) < preferred(known):
                entry.best[at] = line

    for at, board in enumerate(boards):
        lines = [line for section in board.sections for line in section.rows]
        printed: dict[str, list[Line]] = {}
        for line in lines:
            row = line[1]
            if row.source != "published":
                offer(at, row.method, _MEASURED, line)
            # Numbers of an unknown draw stand on the boards of all draws, and here once.
            elif OTHER_PRINT not in row.obstacles and (row.draw == board.draw or board.draw != "official"):
                printed.setdefault(row.method, []).append(line)
        measured = {line[1].method for line in lines if line[1].source != "published"}
        for method in {*catalogue.methods, *measured}:
            for name in dict.fromkeys((*catalogue.printed_names(method, ""), method)):
                for line in printed.get(name, []):
                    offer(at, method, _PRINTED, line)
    return sorted(
        entries.values(), key=lambda entry: (entry.method, entry.kind != _MEASURED, section_order(entry.section))
    )


def _table(boards: Sequence[Board], entries: Sequence[_Entry]) -> str:
    columns = [at for at in range(len(boards)) if any(at in entry.best for entry in entries)]
    costs = [kind for kind in _COSTS if any(_cost(entry, kind, columns) is not None for entry in entries)]
    devices = {device for entry in entries if (device := _device(entry, columns))}
    headers = ["method", "source", "test-time information", *(_heading(boards[at], boards) for at in columns)]
    headers += [kind.heading for kind in costs] + (["device"] if len(devices) > 1 else [])
    lines = []
    for entry in entries:
        cells = [entry.method, entry.kind, entry.section, *(_cell(entry.best.get(at), entry.method) for at in columns)]
        cells += [cost_text(kind, _cost(entry, kind, columns)) for kind in costs]
        lines.append(cells + ([_device(entry, columns) or ABSENT] if len(devices) > 1 else []))
    return pipe_table(headers, lines)


def _heading(board: Board, boards: Iterable[Board]) -> str:
    """The protocol, what else tells the board from others of the table, and a link."""
    alike = [other for other in boards if other.synthetic == board.synthetic]
    several = {other.dataset_version for other in alike if other.dataset == board.dataset}
    words = [board.dataset] if board.synthetic else []
    words += [board.dataset_version] if len(several) > 1 else []
    words += [board.protocol] + (["official"] if board.draw == "official" else [])
    return f"[{' '.join(words)}]({board.dataset}/{board.name}.md)"


def _cell(line: Line | None, method: str) -> str:
    if line is None:
        return ABSENT
    rank, row = line
    score = row.scores.get("r1")
    if score is None:
        return ABSENT
    place = str(rank) if rank is not None else NOT_LEARNT if NOT_LEARNT in row.obstacles else ABSENT
    name = variant_text(row) if row.method == method else row.method
    return f"{score.printed or f'{score.value:.2f}'} ({place}) {name}".rstrip()


def _costed(entry: _Entry, columns: Sequence[int]) -> Row | None:
    """The row that costs are told of: that of the first column which has one."""
    rows = [entry.best[at][1] for at in columns if at in entry.best]
    return rows[0] if rows and entry.kind == _MEASURED else None


def _cost(entry: _Entry, kind: CostKind, columns: Sequence[int]) -> float | None:
    row = _costed(entry, columns)
    return None if row is None else cost_of(row, kind)


def _device(entry: _Entry, columns: Sequence[int]) -> str:
    row = _costed(entry, columns)
    return ", ".join(sorted({run.cost.device for run in row.single_runs} - {""})) if row else ""
