"""Files are whole or absent."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from vibench.files.digests import canonical_json, sha256_file, sha256_text
from vibench.files.writing import atomic_path, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "board.csv"
    write_text(target, "old\n")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [target]


def test_a_write_makes_parents_and_is_readable_like_any_new_file(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "record.json"
    write_json(target, {"r1": 0.5})
    plain = tmp_path / "plain"
    plain.write_text("")
    assert target.read_text() == '{\n  "r1": 0.5\n}\n'
    assert target.stat().st_mode == plain.stat().st_mode


def test_nan_never_reaches_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"map": float("nan")})
    assert not list(tmp_path.iterdir())


def test_canonical_json_ignores_key_order() -> None:
    assert canonical_json({"b": 1, "a": [1.5]}) == canonical_json({"a": [1.5], "b": 1}) == '{"a":[1.5],"b":1}'


def test_sha256_of_a_file_and_of_its_text_agree(tmp_path: Path) -> None:
    write_text(tmp_path / "x", "vibench")
    assert sha256_file(tmp_path / "x") == sha256_text("vibench")


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    target = tmp_path / "last.pt"
    child = os.fork()
    if child == 0:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (rest,) = tmp_path.iterdir()
    # That of another file, which a writer of this one must not touch.
    other = tmp_path / ".last.pt.json.abcdefgh.part"
    other.write_text("")
    write_text(target, "whole")
    assert rest.name.startswith(".last.pt.") and not rest.exists()
    assert sorted(tmp_path.iterdir()) == sorted([target, other])


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    target = tmp_path / "board.csv"
    with atomic_path(target) as first:
        first.write_text("first")
        with atomic_path(target) as second:
            second.write_text("second")
        assert first.exists() and target.read_text() == "second"
    assert target.read_text() == "first" and list(tmp_path.iterdir()) == [target]


def test_a_failed_write_names_the_file_and_not_its_temporary_name(tmp_path: Path) -> None:
    target = tmp_path / "board.csv"
    with pytest.raises(OSError) as full, atomic_path(target):
        raise OSError(28, "No space left on device")
    target.mkdir()
    with pytest.raises(OSError) as folder:
        write_text(target, "text")
    assert full.value.filename == folder.value.filename == str(target)
