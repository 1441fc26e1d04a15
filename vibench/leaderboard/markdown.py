"""Boards as Markdown, for readers. A column that says nothing in any row of a board is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress

from vibench.evaluation.result import METRICS
from vibench.leaderboard.ablations import AblationBoard, AblationLine
from vibench.leaderboard.board import Board
from vibench.leaderboard.cells import (
    ABSENT,
    FRONT,
    METRIC_TITLES,
    board_title,
    comparison_remarks,
    corruption_text,
    cost_text,
    cost_title,
    row_name,
    score_text,
    section_title,
    signed,
    variant_text,
)
from vibench.leaderboard.cost import CostLine, CostTable, cost_tables
from vibench.leaderboard.footnotes import Footnotes, escaped
from vibench.leaderboard.method_facts import SUPERVISED
from vibench.leaderboard.rank import Rank
from vibench.leaderboard.row import NOT_AUDITED, QUOTED, Row
from vibench.leaderboard.sections import Section

_TITLES = tuple(METRIC_TITLES[metric] for metric in METRICS)
_HEADERS = (
    "rank",
    "method",
    "variant",
    "source",
    "seeds",
    *_TITLES,
    "supervision",
    "test-time information",
    "draw",
    "query mode",
    "input",
    "backbone",
    "pretrained",
    "extra labels",
    "date",
    "reproduction",
    "evidence",
    "marks",
)
SYNTHETIC = (
    "**The images are synthetic.** These numbers compare methods with each other on rendered people; "
    "they say nothing about scores on the real data set and must not stand beside them."
)
_GAP: list[str] = []
"""In place of the cells of a row: an empty line."""
_MEASURED = "Measured rows as mean ± standard deviation, over seeds where there are several (n - 1), else over trials."
_RANKS = (
    "Ranks count within a section, by r1. A measured row holds the places from one plus the rows that are surely "
    "better to the rows that are not surely worse, itself included. Sure is what neither other test identities (Holm "
    "over the section) nor other seeds, where a row has several, would turn over; an empty line shows where a section "
    "parts for sure."
)


def to_markdown(board: Board) -> str:
    """The board: a table per section, measured beside published, costs, then the footnotes."""
    footnotes = Footnotes()
    tables = [_lines(section, footnotes) for section in board.sections]
    used = _used(line for table in tables for line in table)
    parts = [f"# {board_title(board)}", _preamble(board)]
    for section, table in zip(board.sections, tables, strict=True):
        parts += [f"## {section_title(section)}", pipe_table(_HEADERS, table, used)]
    parts += _comparison(board, footnotes) + _costs(board)
    return "\n\n".join([*parts, *footnotes.markdown()]) + "\n"


def ablation_markdown(ablation: AblationBoard) -> str:
    """The variants of a method: what is printed, what was measured, and the difference."""
    footnotes, board = Footnotes(), ablation.board
    headers = ["variant", *(f"printed {title}" for title in _TITLES), "measured as", "seeds", *_TITLES]
    headers += [f"difference {title}" for title in _TITLES] + ["printed in", "evidence", "marks"]
    table = pipe_table(headers, [_ablation_cells(line, footnotes) for line in ablation.lines])
    about = (
        f"The variants of `{ablation.method}` under protocol `{board.protocol}`, draw `{board.draw}`, fingerprint "
        f"`{board.fingerprint[:16]}`. Scores in percent. "
    )
    if any(line.measured for line in ablation.lines):
        about += f"{_MEASURED} "
    if any(line.printed for line in ablation.lines):
        about += (
            "Differences in percent points: measured minus printed. Printed rows stand in the order of their tables "
            f"({ABSENT}: not printed or not measured)."
        )
    parts = [f"# Ablations of {ablation.method}, {board_title(board)}", *([SYNTHETIC] if board.synthetic else [])]
    return "\n\n".join([*parts, about.rstrip(), table, *footnotes.markdown()]) + "\n"


def _preamble(board: Board) -> str:
    about = (
        f"Protocol `{board.protocol}`, draw `{board.draw}`, fingerprint `{board.fingerprint[:16]}`. Scores in percent, "
        f"published rows as printed ({ABSENT}: not printed, not measured or not known). "
    )
    if board.corruption is not None:
        about += f"{corruption_text(board.corruption)} "
    printed = any(row.source == "published" for row in board.rows)
    if board.measured:
        about += f"{_MEASURED}\n\n{_RANKS}"
        if board.chance:
            levels = ", ".join(f"{METRIC_TITLES[metric]} {level:.2f}" for metric, level in board.chance.items())
            about += f" A random order scores {levels}: a row not surely above that r1 is not learnt and not ranked."
        about += " Printed rows rank among themselves, by r1, then mAP." if printed else ""
    else:
        about += "Ranks count within a section, by r1, then mAP."
    if printed:
        about += (
            " Rows are supervised unless their section or they themselves say otherwise. Printed rows with an audit "
            "finding (minor) rank below every row without, those with a grave one (major) hold no rank; no finding "
            "means that none is known, not that the number was checked, and a ranked row of which nobody looked at "
            f"anything says '{NOT_AUDITED}'. '{QUOTED}': printed by others alone."
        )
    return "\n\n".join([*([SYNTHETIC] if board.synthetic else []), about])


def _lines(section: Section, footnotes: Footnotes) -> list[list[str]]:
    """The cells of the rows, with an empty line between groups."""
    groups = [[_cells(rank, row, footnotes) for rank, row in group] for group in section.groups]
    return [line for at, group in enumerate(groups) for line in ([_GAP] if at else []) + group]


def _cells(rank: Rank | None, row: Row, footnotes: Footnotes) -> list[str]:
    setup = row.setup
    return [
        ABSENT if rank is None else str(rank),
        row.method,
        variant_text(row),
        row.source,
        str(row.seeds or ""),
        *(_score(row, metric, footnotes) for metric in METRICS),
        "" if row.supervision == SUPERVISED else row.supervision,
        row.test_time_information,
        "" if row.draw == "none" else row.draw,
        setup.query_mode,
        setup.input,
        setup.backbone,
        setup.pretrained,
        setup.extra_labels,
        row.date,
        "; ".join(row.reproduction),
        row.evidence,
        ", ".join(_remarks(row, footnotes)),
    ]


def _comparison(board: Board, footnotes: Footnotes) -> list[str]:
    """Every measured row beside the published one of its method, with the difference."""
    headers = ["method", "published as"]
    for title in _TITLES:
        headers += [title, f"{title} published", f"{title} difference"]
    lines = []
    for row in board.rows:
        published = row.published
        if published is None:
            continue
        cells = [row_name(row), row_name(published)]
        for metric in METRICS:
            compared = metric in published.scores
            cells += [_score(row, metric, footnotes) if compared else "", _score(published, metric, footnotes)]
            cells.append(signed(row.difference(metric)))
        remarks = [*comparison_remarks(row, published), *footnotes.audit_marks(published.audits)]
        lines.append([*cells, published.evidence, row.evidence, ", ".join(remarks)])
    if not lines:
        return []
    table = pipe_table([*headers, "printed in", "evidence", "marks"], lines)
    return ["## Measured beside published", "Differences in percent points: measured minus published.", table]


def _costs(board: Board) -> list[str]:
    parts = []
    for table in cost_tables(board):
        if table.kinds:
            headers = ["method", "section", "r1", "mAP", *(kind.heading for kind in table.kinds), "runs"]
            lines = [_cost_cells(line, table) for line in table.lines]
            parts += [f"## {escaped(cost_title(table))}", pipe_table(headers, lines)]
    if parts:
        parts.insert(
            1,
            f"{FRONT}: no ranked row of the same section has more r1 for no more of this cost, or as much for less. "
            "Query time is that of embedding one image at full throughput and matching it. Costs of several seeds are "
            "means; timings and memory compare only within one device model.",
        )
    return parts


def _cost_cells(line: CostLine, table: CostTable) -> list[str]:
    row = line.row
    cells = [row_name(row), row.place, score_text(row.scores.get("r1")), score_text(row.scores.get("map"))]
    for kind in table.kinds:
        cells.append(cost_text(kind, line.value(kind)) + (f" {FRONT}" if kind.name in line.pareto else ""))
    return [*cells, str(line.runs)]


def _ablation_cells(line: AblationLine, footnotes: Footnotes) -> list[str]:
    printed, measured = line.printed, line.measured
    own = row_name(measured) if measured else ""
    remarks = [remark for row in (measured, printed) if row for remark in _remarks(row, footnotes)]
    remarks += comparison_remarks(measured, printed) if measured and printed else []
    return [
        row_name(printed) if printed else own,
        *(_score(printed, metric, footnotes) for metric in METRICS),
        # Without a printed row beside it, its name stands in the first column already.
        own if printed else "",
        str(measured.seeds or "") if measured else "",
        *(_score(measured, metric, footnotes) for metric in METRICS),
        *(signed(line.difference(metric)) for metric in METRICS),
        printed.evidence if printed else "",
        measured.evidence if measured else "",
        ", ".join(dict.fromkeys(remarks)),
    ]


def _used(lines: Iterable[Sequence[str]]) -> list[bool]:
    """Per column, whether any line says something there; the last, of marks, stays."""
    columns = list(zip(*filter(None, lines), strict=True))
    return [*(any(cell not in ("", ABSENT) for cell in column) for column in columns[:-1]), True]


def pipe_table(headers: Sequence[str], lines: Sequence[Sequence[str]], used: Sequence[bool] = ()) -> str:
    """A table without the columns that are not ``used``, by default those that say nothing in these lines."""
    from tabulate import tabulate

    used = used or _used(lines)
    cells = [[escaped(cell) or ABSENT for cell in compress(line, used)] for line in lines]
    for line, whole in zip(cells, lines, strict=True):
        line[-1:] = [escaped(whole[-1])] if whole else [""] * sum(used)
    return tabulate(cells, list(compress(headers, used)), tablefmt="pipe", disable_numparse=True)


def _remarks(row: Row, footnotes: Footnotes) -> list[str]:
    found = {audit.kind for audit in row.audits}
    plain = [text for text in row.obstacles if text not in found]
    # What was evaluated stands beside the variant.
    marks = [mark for mark in row.marks if mark not in row.evaluated]
    return [*plain, *marks, *footnotes.audit_marks(row.audits), *footnotes.conflict_marks(row.conflicts)]


def _score(row: Row | None, metric: str, footnotes: Footnotes) -> str:
    score = row.scores.get(metric) if row else None
    return " ".join([score_text(score), *(footnotes.conflict_marks(score.conflicts) if score else [])])
