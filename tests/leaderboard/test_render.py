"""Boards as files: the same bytes again, an index of all, nothing stale left behind."""

from __future__ import annotations

from pathlib import Path

from tests.leaderboard.boards import real_record
from tests.records.made import make_per_query, make_record
from vibench.files.shipped import published_folder
from vibench.leaderboard.ablations import ablation_boards
from vibench.leaderboard.board import build_boards
from vibench.leaderboard.certainty import Certainty
from vibench.leaderboard.consensus import ablation_rows, published_rows
from vibench.leaderboard.profiles import read_profile_tables
from vibench.leaderboard.published import load_published
from vibench.leaderboard.render import INDEX, write_boards
from vibench.records.store import find_records, read_records, write_record


def test_rendering_again_gives_the_same_bytes(tmp_path: Path) -> None:
    def snapshot() -> dict[Path, tuple[bytes, int]]:
        files = [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    for method, r1 in (("agw", 0.5), ("baseline", 0.4), ("caj", 0.4)):
        write_record(tmp_path, make_record(method, r1), (make_per_query(0), make_per_query(1)))
    printed = published_rows(load_published())
    write_boards(tmp_path, build_boards(read_records(tmp_path)[0], printed))
    before = snapshot()
    write_boards(tmp_path, build_boards(reversed(read_records(tmp_path)[0]), reversed(printed)))
    assert snapshot() == before, "what holds what it should is left alone"
    board = tmp_path / "sysu-mm01-twin" / "sysu-all-seeded-tiny-s0-r1.md"
    board.write_text("something else")
    write_boards(tmp_path, build_boards(read_records(tmp_path)[0], printed))
    assert {path: content for path, (content, _) in snapshot().items()} == {
        path: content for path, (content, _) in before.items()
    }
    assert board in before


def test_index_links_every_board_and_stale_boards_go(tmp_path: Path) -> None:
    boards = build_boards([make_record(), make_record(dataset_version="small-s0-r1"), real_record()], [])
    written = write_boards(tmp_path, boards)
    index = (tmp_path / INDEX).read_text(encoding="utf-8")
    for path in written[:-1]:
        assert f"({path.relative_to(tmp_path).as_posix()})" in index
    own = tmp_path / "sysu-mm01-twin" / "my-notes.md"
    own.write_text("mine")
    (tmp_path / INDEX).write_text(index + "\n- [x](../outside/x.md) [y](published/../../y.md)\n")
    write_boards(tmp_path, boards[:1])
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    kept = f"{boards[0].dataset}/{boards[0].name}"
    assert left == {INDEX, f"{kept}.md", f"{kept}.csv", "sysu-mm01-twin/my-notes.md"}


def test_ablations_are_written_listed_and_removed(tmp_path: Path) -> None:
    records = [make_record("ddag", variant=variant) for variant in ("b", "b-p")]
    boards = build_boards(records, [])
    written = write_boards(tmp_path, boards, ablation_boards(boards, {}))
    (path,) = (path for path in written if path.parent.name == "ablations" and path.suffix == ".md")
    assert path.relative_to(tmp_path).as_posix() in (tmp_path / INDEX).read_text(encoding="utf-8")
    assert path.is_file() and path.with_suffix(".csv").is_file()
    write_boards(tmp_path, boards)
    assert not path.exists() and not path.with_suffix(".csv").exists()


def test_committed_boards_are_rendered_from_the_committed_files(tmp_path: Path) -> None:
    folder = published_folder().parent
    published = load_published()
    records, _ = find_records(folder)
    printed = [*published_rows(published), *ablation_rows(published)]
    # Judged anew, whatever verdicts lie there.
    boards = build_boards(records.values(), printed, certainty=Certainty(records))
    profiles, _ = read_profile_tables(folder)
    for path in write_boards(tmp_path, boards, ablation_boards(boards, published.papers), profiles, published.audits):
        committed = folder / path.relative_to(tmp_path)
        assert committed.read_bytes() == path.read_bytes(), f"run 'vibench leaderboard': {committed} is not up to date"
