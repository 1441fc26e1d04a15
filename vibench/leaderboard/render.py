"""Boards as files: CSV for machines, Markdown for readers, and an index of both.

The same boards give the same bytes: nothing here knows the time of rendering.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vibench.evaluation.result import METRICS
from vibench.files import write_text
from vibench.leaderboard.ablations import AblationBoard
from vibench.leaderboard.board import LEAKING, RERANKED, UNRANKED, Board, Row, Score, Section
from vibench.leaderboard.cost import CostKind, CostLine, CostTable, cost_tables
from vibench.leaderboard.footnotes import Footnotes, escaped
from vibench.leaderboard.published import Conflict

INDEX = "index.md"
ABSENT = "–"
FRONT = "◆"
"""Mark of a row that nothing beats at its cost."""
METRIC_TITLES = {"r1": "r1", "r5": "r5", "r10": "r10", "r20": "r20", "map": "mAP", "minp": "mINP"}

_CSV_COSTS: tuple[tuple[str, Callable[[Row], float | str | None]], ...] = (
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


@dataclass(frozen=True)
class _Column:
    """A column of a Markdown table; one that is empty in every line is left out."""

    title: str
    value: Callable[[Row], str]


_SETUP_COLUMNS = (
    _Column("draw", lambda row: row.setup.draw.replace("none", "")),
    _Column("query mode", lambda row: row.setup.query_mode),
    _Column("input", lambda row: row.setup.input),
    _Column("backbone", lambda row: row.setup.backbone),
    _Column("pretrained", lambda row: row.setup.pretrained),
    _Column("extra labels", lambda row: row.setup.extra_labels),
)


def write_boards(folder: Path, boards: Sequence[Board], ablations: Sequence[AblationBoard] = ()) -> list[Path]:
    """Write every board as CSV and Markdown, and the index; files of boards that are gone are removed.

    Returns the paths written. Only files that the previous index lists are ever removed.
    """
    folder = Path(folder)
    texts: dict[Path, str] = {}
    for board in boards:
        path = folder / board.dataset / board.name
        texts |= {_with(path, ".csv"): to_csv(board), _with(path, ".md"): to_markdown(board)}
    for ablation in ablations:
        path = folder / ablation.board.dataset / "ablations" / ablation.name
        texts |= {_with(path, ".csv"): ablation_csv(ablation), _with(path, ".md"): ablation_markdown(ablation)}
    for path, text in texts.items():
        write_text(path, text)
    for path in _listed(folder) - set(texts):
        path.unlink(missing_ok=True)
    write_text(folder / INDEX, _index(boards, ablations))
    return [*texts, folder / INDEX]


def to_csv(board: Board) -> str:
    """The board as CSV: numbers in percent and in the units that the column names give, nothing else in their cells.

    A row over several seeds (level ``method``) is followed by its runs (level ``run``), which have no rank.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    fronts = pareto(board)
    writer.writerow(
        ["section", "rank", "level", "method", "variant", "source", "seeds", "test_time_information", "draw"]
        + ["query_mode", "input", "backbone", "pretrained", "extra_labels"]
        + [name for metric in METRICS for name in (metric, f"{metric}_std")]
        + [f"{what}_{metric}" for what in ("published", "difference") for metric in METRICS]
        + [name for name, _ in _CSV_COSTS]
        + ["pareto", "precision", "seed", "run", "date", "evidence", "not_ranked_because", "marks", "audits"]
        + ["conflicts", "notes"]
    )
    for section in board.sections:
        for rank, row in section.rows:
            levels = [("method", rank, row), *(("run", None, run) for run in row.runs)]
            for level, held, one in levels:
                writer.writerow(
                    [section.title, "" if held is None else held, level, one.method, one.variant, one.source]
                    + [one.seeds or "", one.test_time_information, one.setup.draw, one.setup.query_mode]
                    + [one.setup.input, one.setup.backbone, one.setup.pretrained, one.setup.extra_labels]
                    + [cell for metric in METRICS for cell in _csv_score(one, metric)]
                    + [_csv_score(one.published, metric)[0] if one.published else "" for metric in METRICS]
                    + [_plain(one.difference(metric), ".4f") for metric in METRICS]
                    + [_plain(value(one)) for _, value in _CSV_COSTS]
                    + ["; ".join(sorted(fronts.get(id(one), ()))), one.run.precision, _plain(one.run.seed)]
                    + [one.run.id, one.date, one.evidence, "; ".join(one.obstacles), "; ".join(one.marks)]
                    + ["; ".join(f"{audit.kind}: {audit.severity}" for audit in one.audits)]
                    + ["; ".join(f"{metric or 'row'}: {found.kind}" for metric, found in row_conflicts(one))]
                    + [" | ".join(one.notes)]
                )
    return text.getvalue()


def to_markdown(board: Board) -> str:
    """The board as Markdown: a table per section, measured beside published, costs, then the footnotes."""
    footnotes = Footnotes()
    parts = [f"# {board_title(board)}", _preamble(board)]
    setup = [column for column in _SETUP_COLUMNS if any(column.value(row) for row in board.rows)]
    metrics = [metric for metric in METRICS if any(metric in row.scores for row in board.rows)]
    with_variant = any(row.variant for row in board.rows)
    with_seeds = any(row.seeds for row in board.rows)
    headers = ["rank", "method", *(["variant"] if with_variant else []), "source", *(["seeds"] if with_seeds else [])]
    headers += [METRIC_TITLES[metric] for metric in metrics] + ["test-time information"]
    headers += [column.title for column in setup] + ["date", "evidence", "marks"]
    for section in board.sections:
        lines = []
        for rank, row in section.rows:
            cells = [ABSENT if rank is None else str(rank), row.method]
            cells += [row.variant or ABSENT] if with_variant else []
            cells += [row.source, *([str(row.seeds or ABSENT)] if with_seeds else [])]
            cells += [_markdown_score(row, metric, footnotes) for metric in metrics] + [row.test_time_information]
            cells += [column.value(row) or ABSENT for column in setup]
            cells += [row.date or ABSENT, row.evidence, ", ".join(_remarks(row, footnotes))]
            lines.append(cells)
        parts += [f"## {section_title(section)}", _table(headers, lines)]
    parts += _comparison(board, footnotes) + _costs(board)
    return "\n\n".join([*parts, *footnotes.markdown()]) + "\n"


def ablation_csv(ablation: AblationBoard) -> str:
    """The variants of a method as CSV, percent; ``evidence`` is the record id of what was measured."""
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
            + ([_printed_name(printed), printed.evidence] if printed else ["", ""])
            + [_csv_score(printed, metric)[0] if printed else "" for metric in METRICS]
            + ([measured.source, measured.seeds or ""] if measured else ["", ""])
            + [cell for metric in METRICS for cell in (_csv_score(measured, metric) if measured else ("", ""))]
            + [_plain(line.difference(metric), ".4f") for metric in METRICS]
            + ([measured.evidence, "; ".join((*measured.obstacles, *measured.marks))] if measured else ["", ""])
            + ["; ".join(f"{audit.kind}: {audit.severity}" for audit in audits)]
            + ["; ".join(f"{metric or 'row'}: {found.kind}" for metric, found in conflicts)]
        )
    return text.getvalue()


def ablation_markdown(ablation: AblationBoard) -> str:
    """The variants of a method as Markdown: what is printed, what was measured, and the difference."""
    footnotes = Footnotes()
    board = ablation.board
    any_printed = any(line.printed for line in ablation.lines)
    any_measured = any(line.measured for line in ablation.lines)
    headers = ["variant"]
    headers += [f"printed {METRIC_TITLES[metric]}" for metric in ablation.metrics] if any_printed else []
    if any_measured:
        headers += ["measured as", "seeds", *(METRIC_TITLES[metric] for metric in ablation.metrics)]
    if any_printed and any_measured:
        headers += [f"difference {METRIC_TITLES[metric]}" for metric in ablation.metrics]
    headers += (["printed in"] if any_printed else []) + (["evidence"] if any_measured else []) + ["marks"]
    lines = []
    for line in ablation.lines:
        printed, measured = line.printed, line.measured
        own = f"{measured.method} {measured.variant}".strip() if measured else ABSENT
        cells = [_printed_name(printed) if printed else own]
        if any_printed:
            cells += [_markdown_score(printed, metric, footnotes) for metric in ablation.metrics]
        if any_measured:
            cells += [own, str(measured.seeds or ABSENT) if measured else ABSENT]
            cells += [_markdown_score(measured, metric, footnotes) for metric in ablation.metrics]
        if any_printed and any_measured:
            cells += [signed(line.difference(metric)) for metric in ablation.metrics]
        cells += [printed.evidence if printed else ABSENT] if any_printed else []
        cells += [measured.evidence if measured else ABSENT] if any_measured else []
        remarks = [
            *(_remarks(measured, footnotes) if measured else []),
            *(_remarks(printed, footnotes) if printed else []),
        ]
        lines.append([*cells, ", ".join(dict.fromkeys(remarks))])
    preamble = (
        f"The variants of `{ablation.method}` under protocol `{board.protocol}`, draw `{board.draw}`, fingerprint "
        f"`{board.fingerprint[:16]}`. Scores in percent, differences in percent points: measured minus printed. "
        f"Printed rows stand in the order of their tables; {ABSENT} is not printed or not measured."
    )
    parts = [f"# Ablations of {ablation.method}, {board_title(board)}"]
    parts += [_SYNTHETIC] if board.synthetic else []
    parts += [preamble, _table(headers, lines), *footnotes.markdown()]
    return "\n\n".join(parts) + "\n"


def board_title(board: Board) -> str:
    """What the board compares, in one line."""
    draw = "" if board.draw == "none" else f", {board.draw} draw"
    data = f"{board.dataset} {board.dataset_version}".strip() + (" (synthetic data)" if board.synthetic else "")
    return f"{data}: {board.protocol}{draw}"


def section_title(section: Section) -> str:
    """The heading of a section."""
    titles = {
        UNRANKED: "Shown, not ranked",
        "unknown": "Test-time information: not stated",
        RERANKED: "Test-time information: gallery and queries, by re-ranking",
        LEAKING: "Leaking split: test identities were training identities, or an audit says so; not ranked",
    }
    return titles.get(section.title, f"Test-time information: {section.title}")


def pareto(board: Board) -> dict[int, set[str]]:
    """Per measured row, by its ``id()``: the costs at which nothing beats it, on any of its devices."""
    fronts: dict[int, set[str]] = {}
    for table in cost_tables(board):
        shown = {kind.name for kind in table.kinds}
        for line in table.lines:
            fronts.setdefault(id(line.row), set()).update(line.pareto & shown)
    return fronts


def score_text(score: Score | None) -> str:
    """A score as a cell shows it."""
    if score is None:
        return ABSENT
    if score.printed:
        return score.printed
    return f"{score.value:.2f} ± {score.deviation or 0.0:.2f}"


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


def comparison_remarks(row: Row) -> list[str]:
    """What speaks against comparing a measured row with its published one."""
    published = row.published
    if published is None:
        return []
    remarks = [text for text in published.obstacles if text not in {audit.kind for audit in published.audits}]
    if published.test_time_information != row.test_time_information:
        remarks.append(f"published with test-time information {published.test_time_information}")
    for what, ours, theirs in (
        ("input", row.setup.input, published.setup.input),
        ("backbone", row.setup.backbone, published.setup.backbone),
        ("pretraining", row.setup.pretrained, published.setup.pretrained),
    ):
        if ours and theirs and ours != theirs:
            remarks.append(f"published with {what} {theirs}")
    return remarks


_SYNTHETIC = (
    "**The images are synthetic.** These numbers compare methods with each other on rendered people; "
    "they say nothing about scores on the real data set and must not stand beside them."
)


def _preamble(board: Board) -> str:
    lines = [_SYNTHETIC] if board.synthetic else []
    about = (
        f"Protocol `{board.protocol}`, draw `{board.draw}`, fingerprint `{board.fingerprint[:16]}`. Scores in percent, "
        f"published rows as printed ({ABSENT}: not printed, not measured or not known). "
    )
    if board.measured:
        about += (
            "Measured rows as mean ± standard deviation, over seeds where there are several (n - 1), else over trials. "
        )
    about += "Ranks count within a section, by r1, then mAP."
    if any(row.source == "published" for row in board.rows):
        about += (
            " Printed rows with an audit finding (minor) rank below every row without, those with a grave one (major) "
            "hold no rank; no finding means that none is known, not that the number was checked."
        )
    return "\n\n".join([*lines, about])


def _comparison(board: Board, footnotes: Footnotes) -> list[str]:
    """Every measured row beside the published one of its method, with the difference."""
    rows = [row for row in board.rows if row.published is not None]
    metrics = [metric for metric in METRICS if any(row.difference(metric) is not None for row in rows)]
    if not rows:
        return []
    headers = ["method", "published as"]
    for metric in metrics:
        title = METRIC_TITLES[metric]
        headers += [title, f"{title} published", f"{title} difference"]
    lines = []
    for row in rows:
        published = row.published
        assert published is not None
        cells = [f"{row.method} {row.variant}".strip(), _printed_name(published)]
        for metric in metrics:
            cells += [score_text(row.scores.get(metric)), _markdown_score(published, metric, footnotes)]
            cells.append(signed(row.difference(metric)))
        remarks = [*comparison_remarks(row), *footnotes.audit_marks(published.audits)]
        lines.append([*cells, published.evidence, row.evidence, ", ".join(remarks)])
    table = _table([*headers, "printed in", "evidence", "marks"], lines)
    return ["## Measured beside published", "Differences in percent points: measured minus published.", table]


def _costs(board: Board) -> list[str]:
    parts = []
    for table in cost_tables(board):
        if table.kinds:
            lines = [_cost_cells(line, table) for line in table.lines]
            headers = ["method", "section", "r1", "mAP", *(kind.heading for kind in table.kinds), "runs"]
            parts += [f"## {escaped(cost_title(table))}", _table(headers, lines)]
    if parts:
        parts.insert(
            1,
            f"{FRONT}: no ranked row of the same section has more r1 for no more of this cost, or as much for less. "
            "Query time is that of embedding one image at full throughput and matching it. Costs of several seeds are "
            "means; timings and memory compare only within one device model.",
        )
    return parts


def cost_title(table: CostTable) -> str:
    """What a cost table is about."""
    return f"Cost on {table.device}" if table.device else "Cost on any device"


def _cost_cells(line: CostLine, table: CostTable) -> list[str]:
    row = line.row
    cells = [f"{row.method} {row.variant}".strip(), row.section if not row.obstacles else UNRANKED]
    cells += [score_text(row.scores.get("r1")), score_text(row.scores.get("map"))]
    for kind in table.kinds:
        cells.append(cost_text(kind, line.value(kind)) + (f" {FRONT}" if kind.name in line.pareto else ""))
    return [*cells, str(line.runs)]


def _table(headers: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    from tabulate import tabulate

    cells = [[escaped(cell) for cell in line] for line in lines]
    return tabulate(cells, headers, tablefmt="pipe", disable_numparse=True)


def _remarks(row: Row, footnotes: Footnotes) -> list[str]:
    found = {audit.kind for audit in row.audits}
    plain = [text for text in row.obstacles if text not in found]
    return [*plain, *row.marks, *footnotes.audit_marks(row.audits), *footnotes.conflict_marks(row.conflicts)]


def _printed_name(row: Row) -> str:
    return f"{row.method} {row.variant}".strip()


def _csv_score(row: Row, metric: str) -> tuple[str, str]:
    score = row.scores.get(metric)
    if score is None:
        return "", ""
    if score.printed:
        return score.printed, ""
    return f"{score.value:.4f}", f"{score.deviation or 0.0:.4f}"


def _markdown_score(row: Row | None, metric: str, footnotes: Footnotes) -> str:
    score = row.scores.get(metric) if row else None
    marks = footnotes.conflict_marks(score.conflicts) if score else []
    return " ".join([score_text(score), *marks])


def _scaled(value: int | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _plain(value: float | str | None, form: str = ".6g") -> str:
    if value is None:
        return ""
    return f"{value:{form}}" if isinstance(value, float) else str(value)


def _index(boards: Sequence[Board], ablations: Sequence[AblationBoard]) -> str:
    lines = ["# Leaderboards", "", "Rendered by `vibench leaderboard` from `records/` and `published/`."]
    for synthetic, title in ((False, "Real data"), (True, "Synthetic twins")):
        chosen = [board for board in boards if board.synthetic == synthetic]
        if chosen:
            lines += ["", f"## {title}", ""]
        for board in chosen:
            path = f"{board.dataset}/{board.name}"
            lines.append(
                f"- [{board_title(board)}]({path}.md) ([CSV]({path}.csv)): {board.measured} measured, "
                f"{len(board.rows) - board.measured} published"
            )
        variants = [ablation for ablation in ablations if ablation.board.synthetic == synthetic]
        if variants:
            lines += ["", f"### Ablations, {title.lower()}", ""]
        for ablation in variants:
            path = f"{ablation.board.dataset}/ablations/{ablation.name}"
            measured = sum(line.measured is not None for line in ablation.lines)
            lines.append(
                f"- [{ablation.method}, {board_title(ablation.board)}]({path}.md) ([CSV]({path}.csv)): "
                f"{len(ablation.lines)} variants, {measured} measured"
            )
    return "\n".join(lines) + "\n"


def _with(path: Path, suffix: str) -> Path:
    """``path`` with a suffix behind its whole name, which may hold dots."""
    return path.with_name(path.name + suffix)


def _listed(folder: Path) -> set[Path]:
    """The board files that the index on disk names."""
    try:
        text = (folder / INDEX).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return set()
    name = r"[A-Za-z0-9][A-Za-z0-9._-]*"
    return {folder / path for path in re.findall(rf"\]\(({name}/(?:ablations/)?{name}\.(?:md|csv))\)", text)}
