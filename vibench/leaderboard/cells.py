"""What boards say in words and numbers, whichever form they take."""

from __future__ import annotations

from vibench.corruption import MIXED, Corruption
from vibench.leaderboard.board import Board
from vibench.leaderboard.cost import CostKind, CostTable
from vibench.leaderboard.method_facts import UNKNOWN
from vibench.leaderboard.published import Conflict
from vibench.leaderboard.row import LEAKING, RERANKED, UNRANKED, Row, Score
from vibench.leaderboard.sections import Section

ABSENT = "–"
FRONT = "◆"
"""Mark of a row that nothing beats at its cost."""
METRIC_TITLES = {"r1": "r1", "r5": "r5", "r10": "r10", "r20": "r20", "map": "mAP", "minp": "mINP"}


def board_title(board: Board) -> str:
    """What the board compares, in one line."""
    synthetic = " (synthetic data)" if board.synthetic else ""
    return f"{dataset_text(board)}{synthetic}: {protocol_text(board)}"


def dataset_text(board: Board) -> str:
    """The data set of a board with its version, and what was trained on where that is another."""
    origin = f"{board.trained_on} → " if board.trained_on else ""
    return f"{origin}{board.dataset} {board.dataset_version}".strip()


def protocol_text(board: Board) -> str:
    """Its protocol and draw, and how its images are corrupted."""
    corrupted = "" if board.corruption is None else f", corrupted ({board.corruption.label})"
    return board.protocol + ("" if board.draw == "none" else f", {board.draw} draw") + corrupted


def corruption_text(corruption: Corruption) -> str:
    """What happened to the test images, in a sentence."""
    whose = " and ".join(corruption.modalities)
    severity = "one of five severities" if corruption.severity is None else f"severity {corruption.severity}"
    if corruption.kind == MIXED:
        return f"Every {whose} test image was corrupted: one of twenty types, {severity}, drawn by its name."
    severity = "a severity drawn by its name" if corruption.severity is None else severity
    return f"Every {whose} test image was corrupted: {corruption.kind}, {severity}."


def section_title(section: Section) -> str:
    """The heading of a section."""
    whole = {
        UNRANKED: "Shown, not ranked",
        LEAKING: "Leaking split: test identities were training identities, or an audit says so; not ranked",
    }
    if section.title in whole:
        return whole[section.title]
    supervision, parted, information = section.title.rpartition(": ")
    words = {UNKNOWN: "not stated", RERANKED: "gallery and queries, by re-ranking"}
    learnt = f"{supervision.capitalize()}. " if parted else ""
    return f"{learnt}Test-time information: {words.get(information, information)}"


def cost_title(table: CostTable) -> str:
    """What a cost table is about."""
    return f"Cost on {table.device}" if table.device else "Cost on any device"


def row_name(row: Row) -> str:
    """Method, variant, and what tells the row from others of the same runs."""
    return f"{row.method} {variant_text(row)}".strip()


def variant_text(row: Row) -> str:
    """The variant, and in parentheses how its runs were evaluated where that is not as usual."""
    return f"{row.variant} ({', '.join(row.evaluated)})".strip() if row.evaluated else row.variant


def score_text(score: Score | None) -> str:
    """A score as a cell shows it."""
    if score is None:
        return ABSENT
    if score.printed:
        return score.printed
    return f"{score.value:.2f}" if score.deviation is None else f"{score.value:.2f} ± {score.deviation:.2f}"


def signed(difference: float | None) -> str:
    """A difference as a cell shows it."""
    return ABSENT if difference is None else f"{difference:+.2f}"


def cost_text(kind: CostKind, value: float | None) -> str:
    """A cost as a cell shows it, in the unit of its kind."""
    return ABSENT if value is None else f"{value:.{kind.digits}f}"


def row_conflicts(row: Row) -> list[tuple[str, Conflict]]:
    """The contradictions of a row with the metric each concerns; an empty metric concerns the row."""
    cells = [(metric, found) for metric, score in row.scores.items() for found in score.conflicts]
    return cells + [("", found) for found in row.conflicts]


def comparison_remarks(row: Row, published: Row) -> list[str]:
    """What speaks against comparing a measured row with a published one, audit findings apart."""
    remarks = [text for text in published.obstacles if text not in {audit.kind for audit in published.audits}]
    for what, ours, theirs in (
        ("test-time information", row.test_time_information, published.test_time_information),
        ("input", row.setup.input, published.setup.input),
        ("backbone", row.setup.backbone, published.setup.backbone),
        ("pretraining", row.setup.pretrained, published.setup.pretrained),
        ("extra labels", row.setup.extra_labels, published.setup.extra_labels),
    ):
        if ours and theirs and ours != theirs:
            remarks.append(f"published with {what} {theirs}")
    return remarks
