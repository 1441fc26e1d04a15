"""Rendering a leaderboards folder anew from the records and profiles in it and the published numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vibench.files.lock import alone
from vibench.leaderboard.ablations import ablation_boards
from vibench.leaderboard.board import Board, build_boards
from vibench.leaderboard.certainty import Certainty, certainty_of
from vibench.leaderboard.consensus import PublishedRow, ablation_rows, published_rows
from vibench.leaderboard.profiles import read_profile_tables
from vibench.leaderboard.published import Published
from vibench.leaderboard.render import write_boards
from vibench.records.schema import Record
from vibench.records.store import find_records


@dataclass(frozen=True)
class Update:
    """What was read and written."""

    boards: list[Board]
    records: list[Record]
    certainty: Certainty
    """What ranks are judged by."""
    printed: Sequence[PublishedRow]
    written: list[Path]
    problems: list[str]
    """One sentence per file that is no sound record or profile."""
    failure: OSError | None = None
    """Why not all could be written."""


def update_boards(folder: Path, published: Published) -> Update:
    """Write all boards of ``folder`` from its records and the published numbers, and the tables of its profiles.

    Where writing fails the boards are there to be shown all the same, and `Update.failure` is to be raised then.
    """
    printed = [*published_rows(published), *ablation_rows(published)]
    # Between reading and writing nobody else renders: boards of fewer records never replace those of more.
    with alone(folder):
        records, problems = find_records(folder)
        certainty = certainty_of(folder, records)
        profiles, unsound = read_profile_tables(folder)
        boards = build_boards(records.values(), printed, certainty=certainty)
        certainty.keep()
        written, failure = [], None
        try:
            written = write_boards(folder, boards, ablation_boards(boards, published.papers), profiles)
        except OSError as error:
            failure = error
    return Update(boards, list(records.values()), certainty, printed, written, [*problems, *unsound], failure)
