"""Places of results: tried without a trace, and replaced where they fail."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from vibench.errors import UsageError, VibenchError, VibenchWarning
from vibench.files import writing
from vibench.files.lock import take
from vibench.files.places import keeping, require_folder, require_writable
from vibench.files.writing import atomic_path, write_text

Require = Callable[[Path, str], None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a file, a folder, a link to nothing and a pipe lie in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere/at-all")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def listed(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("place", ["new.json", "file", "a/b/new.json", "folder/new.json", "dangling", "a/../x.json"])
def test_a_trial_leaves_nothing_behind(folder: Path, place: str) -> None:
    before = listed(folder)
    require_writable(Path(place), "--json")
    assert listed(folder) == before and (folder / "file").read_text() == "old"
    write_text(Path(place), "new")


def test_what_a_killed_trial_has_left_is_removed_and_a_living_one_stays(folder: Path) -> None:
    for name in ("dead", "alive"):
        (folder / f".vibench-{name}.part" / "deep").mkdir(parents=True)
    handle = os.open(folder / ".vibench-alive.part", os.O_RDONLY)
    try:
        assert take(handle, wait=False)
        require_folder(folder / "new" / "deeper", "--out")
    finally:
        os.close(handle)
    assert [path.name for path in folder.iterdir() if path.name.endswith(".part")] == [".vibench-alive.part"]


@pytest.mark.parametrize("place", ["folder", "a/b", ".", "folder/sub"])
def test_a_folder_may_exist_or_not(folder: Path, place: str) -> None:
    before = listed(folder)
    require_folder(Path(place), "-o")
    assert listed(folder) == before


@pytest.mark.parametrize(
    ("require", "place", "sentence"),
    [
        (require_writable, "folder", r"folder: is a folder; name the file to write with --there\."),
        (require_writable, "", "is a folder"),
        (require_writable, "file/x", r"file/x: cannot be written \(file: Not a directory\); choose another --there\."),
        (require_writable, "file/a/b/x", r"\(file: Not a directory\)"),
        (require_writable, "dangling/x", r"\(dangling: It is a link to nothing\)"),
        (require_writable, "pipe", r"pipe: cannot be written \(It is no regular file\)"),
        (require_writable, "/dev/null", "It is no regular file"),
        (require_writable, "/dev/full", "It is no regular file"),
        (require_writable, "/dev/stdout", "It is no regular file"),
        (require_writable, "/proc/self/fd/1", "It is no regular file"),
        (require_writable, "x" * 300, "File name too long"),
        (require_writable, "new/" + "x" * 300, "File name too long"),
        (require_writable, "x" * 300 + "/new", "File name too long"),
        (require_writable, "a\0b", "cannot be the name of a file"),
        (require_folder, "file", r"file: cannot be written \(Not a directory\); choose another --there\."),
        (require_folder, "file/sub", r"\(file: Not a directory\)"),
        (require_folder, "dangling", r"\(It is a link to nothing\)"),
        (require_folder, "pipe", "Not a directory"),
        (require_folder, "/dev/full", "Not a directory"),
        (require_folder, "a\0b", "cannot be the name of a file"),
    ],
)
def test_an_unusable_place_is_one_sentence(folder: Path, require: Require, place: str, sentence: str) -> None:
    before = listed(folder)
    with pytest.raises(UsageError, match=sentence):
        require(Path(place), "--there")
    assert listed(folder) == before


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_want_of_room_is_no_wrong_usage(folder: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(VibenchError, match=rf"\({os.strerror(code)}\); make room, or choose another --json") as caught:
        require_writable(Path("new/x.json"), "--json")
    assert caught.value.exit_code == 1
    assert "new" not in listed(folder)


def test_a_working_folder_that_is_gone_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "folder")
    (folder / "folder").rmdir()
    with pytest.raises(UsageError, match="cannot be written"):
        require_writable(Path("x.json"), "--json")


def test_no_writer_replaces_a_pipe(folder: Path) -> None:
    """Nor a device; but a test that fails must not cost the machine one."""
    with pytest.raises(OSError, match="no regular file"), atomic_path(Path("pipe")):
        pass
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)


def test_what_can_be_written_is_written_where_it_should(folder: Path) -> None:
    with keeping() as keep:
        assert keep(Path("new/x.txt"), partial(write_text, text="result")) is None
        assert keep(Path("y"), lambda place: place.write_text("12")) == 2
    assert (folder / "new" / "x.txt").read_text() == "result"
    assert not list(folder.glob("vibench-kept-*"))


def test_what_cannot_be_written_is_kept_in_the_working_folder(folder: Path) -> None:
    with pytest.raises(VibenchError, match=r"file/x\.txt: cannot be written \(file: File exists\)") as caught:  # noqa: SIM117
        with keeping() as keep:
            keep(Path("file/x.txt"), partial(write_text, text="first"))
            keep(Path("file/a/x.txt"), partial(write_text, text="second"))
            keep(Path("good.txt"), partial(write_text, text="third"))
    assert caught.value.exit_code == 1
    (kept,) = folder.glob("vibench-kept-*")
    assert {file.name: file.read_text() for file in kept.iterdir()} == {"x.txt": "first", "2-x.txt": "second"}
    assert all(f"kept as {file.relative_to(folder)}" in str(caught.value) for file in kept.iterdir())
    assert (folder / "good.txt").read_text() == "third"
    assert kept.stat().st_mode & 0o777 == (folder / "folder").stat().st_mode & 0o777


def test_several_results_of_one_place_stay_together(folder: Path) -> None:
    def write(place: Path, name: str) -> Path:
        write_text(place / name, name)
        return place / name

    with pytest.raises(VibenchError, match=r"kept as .*/file/one; .*kept as .*/file/two\."), keeping() as keep:
        for name in ("one", "two"):
            written = keep(Path("file"), partial(write, name=name))
            assert written is not None and written.read_text() == name


def test_every_kept_file_is_named(folder: Path) -> None:
    with pytest.raises(VibenchError) as caught, keeping() as keep:
        for number in range(9):
            keep(Path("file") / f"{number}.png", partial(write_text, text=""))
    kept = list(folder.glob("vibench-kept-*/*"))
    assert len(kept) == 9 and all(str(file.relative_to(folder)) in str(caught.value) for file in kept)


def test_the_folder_for_temporary_files_is_the_last_resort(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(place: Path) -> None:
        if "temporary" not in str(place):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_text(place, "kept")

    with pytest.raises(VibenchError, match="No space left on device") as caught, keeping() as keep:
        keep(Path("x.txt"), write)
    (kept,) = (folder / "temporary").rglob("x.txt")
    assert str(kept) in str(caught.value) and kept.read_text() == "kept"
    # The empty folder in the working folder is gone.
    assert not list(folder.glob("vibench-kept-*"))


def test_where_nothing_can_be_written_the_sentence_says_so(folder: Path) -> None:
    def write(place: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(VibenchError, match=r"x\.txt: .*No space left.*nor could it be kept elsewhere"):  # noqa: SIM117
        with keeping() as keep:
            assert keep(Path("x.txt"), write) is None
    assert not list(folder.rglob("vibench-kept-*"))


def test_an_error_meanwhile_hides_nothing(folder: Path) -> None:
    with pytest.warns(VibenchWarning, match="kept as"), pytest.raises(KeyboardInterrupt), keeping() as keep:
        keep(Path("file/x.txt"), partial(write_text, text="kept"))
        raise KeyboardInterrupt


def test_an_interrupted_write_leaves_the_old_result(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writing.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt), keeping() as keep:
        keep(Path("file"), partial(write_text, text="new"))
    assert (folder / "file").read_text() == "old"
    assert not list(folder.glob(".file.*"))
