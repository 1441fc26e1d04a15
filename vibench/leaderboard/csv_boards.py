"""Boards as CSV, for machines: numbers in the units that the column names give, nothing else in their cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

from vibench.evaluation.result import METRICS
from vibench.leaderboard.ablations import AblationBoard
from vibench.leaderboard.board import Board
from vibench.leaderboard.cells import row_conflicts, row_name
from vibench.leaderboard.cost import pareto
from vibench.leaderboard.row import Row

_COSTS: tuple[tuple[str, Callable[[Row], float | str | None]], ...] = (
    ("train_seconds", lambda row: row.run.train_seconds),
    ("train_images_per_second", lambda row: row.run.images_per_second),
    ("peak_memory_mib", lambda row: _scaled(row.cost.peak_memory, 2**20)),
    ("extraction_images_per_second", lambda row: row.cost.extraction_images_per_second),
    ("matching_ms_per_query", lambda row: row.cost.matching_ms_per_query),
    ("parameters_train_m", lambda row: _scaled(row.cost.parameters_train, 1e6)),
    ("parameters_test_m", lambda row: _scaled(row.cost.parameters_test, 1e6)),
    ("gflops_per_image", lambda row: _scaled(row.cost.flops_per_image, 1e9)),
    ("embedding_size", lambda row: row.cost.embedding_size),
    ("device", lambda row: row.cost.device or None),
)


def to_csv(board: Board) -> str:
    """The board, scores in percent.

    ``rank_low`` and ``rank_high`` are the places that a row may hold. A row over several seeds (level ``method``) is
    followed by its runs (level ``run``), which have no rank.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    fronts = pareto(board)
    writer.writerow(
        ["section", "rank_low", "rank_high", "level", "method", "variant", "source", "seeds"]
        + ["test_time_information", "draw"]
        + ["query_mode", "input", "backbone", "pretrained", "extra_labels"]
        + [name for metric in METRICS for name in (metric, f"{metric}_std")]
        + [f"{what}_{metric}" for what in ("published", "difference") for metric in METRICS]
        + [name for name, _ in _COSTS]
        + ["pareto", "precision", "training_precision", "recipe", "seed", "run", "date", "evidence"]
        + ["not_ranked_because", "marks", "audits", "conflicts", "notes"]
    )
    for section in board.sections:
        for rank, row in section.rows:
            levels = [("method", rank, row), *(("run", None, run) for run in row.runs)]
            for level, held, one in levels:
                writer.writerow(
                    [section.title, *(("", "") if held is None else (held.low, held.high)), level]
                    + [one.method, one.variant, one.source]
                    + [one.seeds or "", one.test_time_information, one.draw, one.setup.query_mode]
                    + [one.setup.input, one.setup.backbone, one.setup.pretrained, one.setup.extra_labels]
                    + [cell for metric in METRICS for cell in _score(one, metric)]
                    + [_score(one.published, metric)[0] if one.published else "" for metric in METRICS]
                    + [_plain(one.difference(metric), ".4f") for metric in METRICS]
                    + [_plain(value(one)) for _, value in _COSTS]
                    + ["; ".join(sorted(fronts.get(id(one), ()))), one.run.precision, one.run.training_precision]
                    + [one.run.recipe, _plain(one.run.seed)]
                    + [one.run.id, one.date, one.evidence, "; ".join(one.obstacles), "; ".join(one.marks)]
                    + ["; ".join(f"{audit.kind}: {audit.severity}" for audit in one.audits)]
                    + ["; ".join(f"{metric or 'row'}: {found.kind}" for metric, found in row_conflicts(one))]
                    + [" | ".join(one.notes)]
                )
    return text.getvalue()


def ablation_csv(ablation: AblationBoard) -> str:
    """The variants of a method, scores in percent; ``evidence`` is the record id of what was measured."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["method", "variant", "printed_as", "printed_in"]
        + [f"printed_{metric}" for metric in METRICS]
        + ["source", "seeds"]
        + [name for metric in METRICS for name in (metric, f"{metric}_std")]
        + [f"difference_{metric}" for metric in METRICS]
        + ["evidence", "marks", "audits", "conflicts"]
    )
    for line in ablation.lines:
        printed, measured = line.printed, line.measured
        audits, conflicts = (printed.audits, row_conflicts(printed)) if printed else ((), [])
        writer.writerow(
            [measured.method if measured else ablation.method, measured.variant if measured else ""]
            + ([row_name(printed), printed.evidence] if printed else ["", ""])
            + [_score(printed, metric)[0] if printed else "" for metric in METRICS]
            + ([measured.source, measured.seeds or ""] if measured else ["", ""])
            + [cell for metric in METRICS for cell in (_score(measured, metric) if measured else ("", ""))]
            + [_plain(line.difference(metric), ".4f") for metric in METRICS]
            + ([measured.evidence, "; ".join((*measured.obstacles, *measured.marks))] if measured else ["", ""])
            + ["; ".join(f"{audit.kind}: {audit.severity}" for audit in audits)]
            + ["; ".join(f"{metric or 'row'}: {found.kind}" for metric, found in conflicts)]
        )
    return text.getvalue()


def _score(row: Row, metric: str) -> tuple[str, str]:
    score = row.scores.get(metric)
    if score is None:
        return "", ""
    if score.printed:
        return score.printed, ""
    return f"{score.value:.4f}", _plain(score.deviation, ".4f")


def _scaled(value: int | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _plain(value: float | str | None, form: str = ".6g") -> str:
    if value is None:
        return ""
    return f"{value:{form}}" if isinstance(value, float) else str(value)
