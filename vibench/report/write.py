"""From a leaderboards folder to the page on disk: one HTML file that holds all it needs, and asks no network.

The same records give the same bytes. A content security policy allows the page's own styles and scripts, by their
hashes, and nothing else; Vega interprets expressions instead of compiling them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from vibench.errors import UsageError
from vibench.files.packing import packed
from vibench.files.places import keeping, require_folder, require_writable
from vibench.files.writing import write_text
from vibench.leaderboard.ablations import ablation_boards
from vibench.leaderboard.bibtex import bibliography, bibtex
from vibench.leaderboard.board import Board, build_boards
from vibench.leaderboard.cells import board_title, dataset_text, protocol_text, score_text
from vibench.leaderboard.certainty import certainty_of
from vibench.leaderboard.consensus import ablation_rows, published_rows
from vibench.leaderboard.profiles import FOLDER, READING, read_profile_tables
from vibench.leaderboard.published import Published
from vibench.records.outcomes import Outcome, read_outcomes
from vibench.records.store import find_records
from vibench.report.duels import duel
from vibench.report.frames import board_lines, titles, training_frames
from vibench.report.libraries import page_scripts, page_styles, policy, require_libraries, write_chart
from vibench.report.methods import method_parts
from vibench.report.tables import table
from vibench.runtime.progress import Progress, silent
from vibench.training.curves import read_curves

if TYPE_CHECKING:
    from vibench.report.figures import Figure

_TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Rendered:
    """The page as a text, and what it shows."""

    html: str
    figures: tuple[Figure, ...]
    boards: int
    records: int
    problems: tuple[str, ...]
    """A sentence per file that could not be read."""


@dataclass(frozen=True)
class BoardPart:
    """One board of measured rows on the page."""

    id: str
    title: str
    board: Board
    figures: Sequence[Figure]
    duel: Mapping[str, Any] | None


def displayable(text: str) -> str:
    """The text with U+FFFD for every character that cannot be shown or would disorder its neighbours."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text)


def render_report(
    leaderboards: Path,
    page: Path,
    *,
    published: Published | None = None,
    runs: Path | None = None,
    images: Path | None = None,
) -> Rendered:
    """The page of all records and profiles below ``leaderboards``, as it is to lie at ``page``.

    ``published`` adds the published numbers to the boards of real data, and the papers' BibTeX; ``runs`` the training
    curves of the run folders below it, and ``images`` thumbnails of queries from the data sets in it, each in a folder
    of its name. Raises `UsageError` where a library of the page is not installed, and where ``runs`` or ``images`` is
    no folder.
    """
    require_libraries()
    from vibench.report.charts import duel_chart, form
    from vibench.report.figures import board_figures, method_figures, overview_figures

    for folder, option, what in ((runs, "--runs", "training runs"), (images, "--images", "data sets")):
        if folder is not None and not folder.is_dir():
            raise UsageError(f"{folder}: is no folder of {what}; name one with {option}.")
    records, problems = find_records(leaderboards)
    outcomes, unread = read_outcomes(records)
    # A missing per-query file has been reported with its record.
    reported = {problem.partition(":")[0] for problem in problems}
    problems += [problem for problem in unread if problem.partition(":")[0] not in reported]
    printed = [*published_rows(published), *ablation_rows(published)] if published else []
    # Boards of real data, then twins; of each, those with measured rows first, and the larger ones.
    certainty = certainty_of(leaderboards, records)
    boards = sorted(
        build_boards(records.values(), printed, certainty=certainty),
        key=lambda board: (board.synthetic, not board.measured, -len(board.rows)),
    )
    certainty.keep()
    every, parts, ids = [], [], {}
    for board, (key, title) in zip(boards, titles(boards).items(), strict=True):
        lines = board_lines(board, outcomes)
        every += lines
        ids[id(board)] = key
        if board.measured:
            compared, problem = duel(lines, board, images)
            problems += [problem] if problem else []
            parts.append(BoardPart(key, title, board, list(board_figures(board, lines, key)), compared))
    curves, unreadable = read_curves(runs) if runs else ([], [])
    training = training_frames(curves, outcomes)
    profiles, unsound = read_profile_tables(leaderboards)
    ablations = ablation_boards(boards, published.papers if published else {})
    overview, methods = list(overview_figures(every)), method_parts(every)
    of_method = {part.name: list(method_figures(part, ablations, ids, training)) for part in methods}
    figures = [
        *overview,
        *(one for part in parts for one in part.figures),
        *(one for part in of_method.values() for one in part),
    ]
    links = {name: relative_link(outcome.path, page) for name, outcome in outcomes.items()}
    if published:
        # Where a person finds the sources of printed numbers.
        addresses = {name: paper.address for name, paper in published.papers.items()}
        links |= {name: address for name, address in addresses.items() if address.startswith("https://")}
    cited = {line.row.method: line.row for line in every}
    # What the table shows at first: the data set of the largest board, if possible measured and real.
    first = max(boards, key=lambda board: (board.measured > 0, not board.synthetic, len(board.rows)), default=None)
    html = _html(
        {
            "table": table(every, {part.name for part in methods if part.parity}, links),
            "forms": {"duel": form(duel_chart)} | {one.form: form(one.chart, *one.arguments) for one in figures},
            "charts": {one.id: (one.form, packed(one.columns)) for one in figures},
            "duels": {part.id: part.duel for part in parts if part.duel},
            "bibtex": {name: bibtex(bibliography([row], published)) for name, row in cited.items() if published},
            "dataset": dataset_text(first) if first else "",
        },
        summary=_summary(len(boards), outcomes),
        boards=parts,
        synthetic=any(board.synthetic for board in boards),
        overview=overview,
        methods=methods,
        of_method=of_method,
        profiles=profiles,
        link=lambda path: relative_link(path, page),
        profile_folder=leaderboards / FOLDER,
    )
    return Rendered(html, tuple(figures), len(boards), len(outcomes), (*problems, *unreadable, *unsound))


def write_report(
    leaderboards: Path, page: Path, *, charts: str = "", progress: Progress = silent, **options: Any
) -> tuple[Rendered, tuple[Path, ...]]:
    """Write the page of `render_report`, which takes ``options``; and the files of its charts.

    With ``charts``, ``png`` or ``svg``, each is also a file of that kind in ``<page without suffix>-charts/`` beside
    the page. Raises `UsageError` before all else where either cannot be written. What cannot be written all the same
    is kept elsewhere, and `VibenchError` says where at the end.
    """
    folder = page.with_name(f"{page.stem}-charts")
    require_writable(page, "-o")
    if charts:
        require_folder(folder, "-o")
    rendered = render_report(leaderboards, page, **options)
    files = {folder / f"{one.id}.{charts}": one for one in rendered.figures if charts}
    with keeping() as keep, progress("drawing charts", len(files)) as advance:
        keep(page, partial(write_text, text=rendered.html))
        for path, figure in files.items():
            keep(path, partial(write_chart, figure=figure))
            advance(1)
    return rendered, tuple(files)


def relative_link(target: Path, page: Path) -> str:
    """The URL of a file relative to the page's folder."""
    steps = Path(os.path.relpath(target.resolve(), page.resolve().parent)).as_posix()
    # A leading "./" keeps a folder named "javascript:..." from being read as a scheme.
    return quote(steps if steps.startswith("../") else f"./{steps}")


def _summary(boards: int, outcomes: Mapping[str, Outcome]) -> str:
    days = sorted(outcome.record.created[:10] for outcome in outcomes.values())
    span = " to ".join(dict.fromkeys([*days[:1], *days[-1:]]))
    records = f", {len(days)} evaluation record{'s' * (len(days) != 1)} of {span}"
    return f"{boards} board{'s' * (boards != 1)}{records if days else ' of published numbers; nothing measured yet'}."


def _html(content: Mapping[str, Any], **parts: Any) -> str:
    """The page: ``content`` is for its script, ``parts`` are for its template."""
    import jinja2
    from markupsafe import Markup

    from vibench.report.theme import DARK, LIGHT, config, style_rules

    def shown(value: Any) -> Any:
        if isinstance(value, str):
            return value if isinstance(value, Markup) or value.isprintable() else displayable(value)
        if isinstance(value, Mapping):
            return {key: shown(one) for key, one in value.items()}
        return [shown(one) for one in value] if isinstance(value, (list, tuple)) else value

    everything = shown({**content, "themes": [config(LIGHT), config(DARK)]})
    text = json.dumps(everything, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Whatever could end the element around it is written as JSON escapes it.
    text = re.sub("[<>&]", lambda sign: f"\\u{ord(sign[0]):04x}", text)
    styles = [*page_styles(), style_rules() + (_TEMPLATES / "page.css").read_text(encoding="utf-8")]
    scripts = [*page_scripts(), (_TEMPLATES / "page.js").read_text(encoding="utf-8")]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=shown,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    helpers = (board_title, dataset_text, protocol_text, score_text)
    environment.globals.update({helper.__name__: helper for helper in helpers})
    return environment.get_template("page.html.jinja").render(
        **parts,
        data=Markup(text),
        policy=policy(styles, scripts),
        styles=[Markup(style) for style in styles],
        scripts=[Markup(script) for script in scripts],
        reading=READING,
    )
