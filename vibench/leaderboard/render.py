"""Boards as files, and an index of them.

The same boards give the same bytes: nothing here knows the time of rendering.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vibench.files.writing import update_text
from vibench.leaderboard import audit_board
from vibench.leaderboard.ablations import AblationBoard
from vibench.leaderboard.audits import Audit
from vibench.leaderboard.board import Board
from vibench.leaderboard.cells import board_title
from vibench.leaderboard.csv_boards import ablation_csv, to_csv
from vibench.leaderboard.markdown import ablation_markdown, to_markdown
from vibench.leaderboard.overview import overview
from vibench.leaderboard.profiles import FOLDER, ProfileTable, profiles_csv, profiles_markdown

INDEX = "index.md"


def write_boards(
    folder: Path,
    boards: Sequence[Board],
    ablations: Sequence[AblationBoard] = (),
    profiles: Sequence[ProfileTable] = (),
    audits: Sequence[Audit] = (),
) -> list[Path]:
    """Write every board and table as CSV and Markdown, and the index; files of boards that are gone are removed.

    Files that hold what they should are left alone; only files that the previous index lists are ever removed. Returns
    the paths of all.
    """
    folder = Path(folder)
    texts: dict[Path, str] = {}
    for board in boards:
        path = folder / board.dataset / board.name
        texts |= {_with(path, ".csv"): to_csv(board), _with(path, ".md"): to_markdown(board)}
    for ablation in ablations:
        path = folder / ablation.board.dataset / "ablations" / ablation.name
        texts |= {_with(path, ".csv"): ablation_csv(ablation), _with(path, ".md"): ablation_markdown(ablation)}
    for table in profiles:
        path = folder / FOLDER / table.name
        texts |= {_with(path, ".csv"): profiles_csv(table), _with(path, ".md"): profiles_markdown(table)}
    if audits:
        path = folder / audit_board.NAME
        texts |= {
            _with(path, ".csv"): audit_board.audits_csv(audits),
            _with(path, ".md"): audit_board.audits_markdown(audits),
        }
    for path, text in texts.items():
        update_text(path, text)
    for path in _listed(folder) - set(texts):
        path.unlink(missing_ok=True)
    update_text(folder / INDEX, _index(boards, ablations, profiles, audits))
    return [*texts, folder / INDEX]


def _index(
    boards: Sequence[Board],
    ablations: Sequence[AblationBoard],
    profiles: Sequence[ProfileTable],
    audits: Sequence[Audit],
) -> str:
    about = "Rendered by `vibench leaderboard` from `records/`, `profiles/` and `published/`."
    parts = ["# Leaderboards", about]
    if audits:
        name = audit_board.NAME
        parts.append(f"[Audits of printed numbers]({name}.md) ([CSV]({name}.csv)): {len(audits)} findings")
    parts += [*overview(boards), *(["## All boards"] if boards else [])]
    lines = ["\n\n".join(parts)]
    for synthetic, title in ((False, "Real data"), (True, "Synthetic twins")):
        chosen = [board for board in boards if board.synthetic == synthetic]
        if chosen:
            lines += ["", f"### {title}", ""]
        for board in chosen:
            path = f"{board.dataset}/{board.name}"
            lines.append(
                f"- [{board_title(board)}]({path}.md) ([CSV]({path}.csv)): {board.measured} measured, "
                f"{len(board.rows) - board.measured} published"
            )
        variants = [ablation for ablation in ablations if ablation.board.synthetic == synthetic]
        if variants:
            lines += ["", f"#### Ablations, {title.lower()}", ""]
        for ablation in variants:
            path = f"{ablation.board.dataset}/ablations/{ablation.name}"
            measured = sum(line.measured is not None for line in ablation.lines)
            lines.append(
                f"- [{ablation.method}, {board_title(ablation.board)}]({path}.md) ([CSV]({path}.csv)): "
                f"{len(ablation.lines)} variants, {measured} measured"
            )
    if profiles:
        lines += ["", "## Profiles", ""]
    for table in profiles:
        path = f"{FOLDER}/{table.name}"
        lines.append(f"- [{table.title}]({path}.md) ([CSV]({path}.csv)): {len(table.lines)} profiles")
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
