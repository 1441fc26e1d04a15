"""Boards as LaTeX tables (packages booktabs and longtable), as they are shown elsewhere: sections, ranks, intervals,
audit findings as notes below. A board longer than a page becomes a longtable."""

from __future__ import annotations

from collections.abc import Sequence

from vibench.evaluation.result import METRICS
from vibench.leaderboard.audits import Audit
from vibench.leaderboard.bibtex import key_of
from vibench.leaderboard.board import Board
from vibench.leaderboard.cells import METRIC_TITLES, board_title, row_name, score_text, section_title
from vibench.leaderboard.footnotes import audit_sentence
from vibench.leaderboard.latex_text import escaped
from vibench.leaderboard.published import Published
from vibench.leaderboard.row import Row

PACKAGES = "% needs: \\usepackage{booktabs,longtable} and, for \\cite, the output of vibench leaderboard --bibtex"
PAGE = 40
"""Rows of a board that still fits on a page."""


def latex(boards: Sequence[Board], published: Published) -> str:
    """The tables of boards, one after the other."""
    return "\n".join([PACKAGES, "", *(_table(board, published) for board in boards)])


def _table(board: Board, published: Published) -> str:
    metrics = [metric for metric in METRICS if any(metric in row.scores for row in board.rows)]
    sources = len({row.source for row in board.rows}) > 1
    headers = ["rank", "method", *(["source"] if sources else []), *(METRIC_TITLES[metric] for metric in metrics)]
    findings: dict[Audit, int] = {}
    lines = []
    for section in board.sections:
        heading = escaped(section_title(section))
        lines += ["\\midrule", f"\\multicolumn{{{len(headers)}}}{{@{{}}l}}{{\\emph{{{heading}}}}} \\\\"]
        for at, group in enumerate(section.groups):
            lines += ["\\addlinespace"] if at else []
            for rank, row in group:
                cells = ["--" if rank is None else escaped(str(rank)), _name(row, published, findings)]
                cells += [escaped(row.source)] if sources else []
                cells += [escaped(score_text(row.scores.get(metric))) for metric in metrics]
                lines.append(f"{' & '.join(cells)} \\\\")
    columns = f"@{{}}rl{'l' if sources else ''}{'r' * len(metrics)}@{{}}"
    head = ["\\toprule", f"{' & '.join(headers)} \\\\"]
    notes = [f"\\textsuperscript{{A{number}}}~{_finding(audit)}" for audit, number in findings.items()]
    notes.insert(0, escaped(_ABOUT))
    caption = f"\\caption{{{escaped(board_title(board))}}}\\label{{tab:{board.dataset}-{board.name}}}"
    if len(board.rows) > PAGE:
        # Its head is repeated on every page; notes follow the table.
        parts = [f"\\begin{{longtable}}{{{columns}}}", f"{caption} \\\\", *head, "\\endhead", *lines, "\\bottomrule"]
        parts += ["\\end{longtable}", *_notes(notes)]
    else:
        parts = ["\\begin{table}", "\\centering", caption, f"\\begin{{tabular}}{{{columns}}}", *head, *lines]
        parts += ["\\bottomrule", "\\end{tabular}", *_notes(notes), "\\end{table}"]
    return "\n".join(parts) + "\n"


_ABOUT = (
    "Scores in percent, published ones as printed, measured ones as mean ± standard deviation over seeds where there "
    "are several, else over trials. Ranks count within a section, those of measured and of published rows apart; a "
    "range of ranks holds the places that a measured row may have."
)


def _name(row: Row, published: Published, findings: dict[Audit, int]) -> str:
    key = key_of(row, published)
    # A note has no consequence for the rank and would only fill the page.
    marks = [findings.setdefault(audit, len(findings) + 1) for audit in row.audits if audit.severity != "note"]
    above = f"\\textsuperscript{{{','.join(f'A{number}' for number in marks)}}}" if marks else ""
    return escaped(row_name(row)) + above + (f"~\\cite{{{key}}}" if key else "")


def _finding(audit: Audit) -> str:
    return escaped(f"{', '.join(audit.methods)}, {audit.kind}, {audit.severity}: {audit_sentence(audit)}")


def _notes(notes: Sequence[str]) -> list[str]:
    return ["\\par\\medskip", "{\\footnotesize", *(f"{note}\\par" for note in notes), "}"]
