"""Claims by files: one process at a time, and a dead one's job for the next."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vibench.files.json_table import write_json_table
from vibench.sweep import attempts as module
from vibench.sweep.attempts import (
    BUSY,
    Attempt,
    Claim,
    End,
    Heartbeat,
    Pulse,
    Watch,
    beating,
    claim,
    end,
    lost,
    read_attempts,
    record_failure,
)
from vibench.sweep.holder import process_lives, this_process


def held_by(job: Path, **changes: object) -> Attempt:
    """Claim a job for another holder."""
    attempt = claim(job)
    assert attempt is not None and attempt.claim is not None
    holder = dataclasses.replace(attempt.claim.holder, **changes)  # type: ignore[arg-type]
    write_json_table(attempt.folder / "claim.json", Claim(holder, attempt.claim.at))
    return read_attempts(job)[-1]


def test_of_many_claims_one_succeeds(tmp_path: Path):
    found: list[Attempt | None] = []
    threads = [threading.Thread(target=lambda: found.append(claim(tmp_path))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one is not None for one in found) == 1
    assert [one.number for one in read_attempts(tmp_path)] == [1]


def test_a_job_is_free_again_after_an_end(tmp_path: Path):
    first = claim(tmp_path)
    assert first is not None and claim(tmp_path) is None
    end(first, End("failed", 1.0, "why"))
    second = claim(tmp_path)
    assert second is not None and second.number == 2
    assert [one.end and one.end.outcome for one in read_attempts(tmp_path)] == ["failed", None]


def test_a_dead_process_of_this_machine_loses_its_claim_at_once(tmp_path: Path):
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    attempt = held_by(tmp_path, pid=ended.pid, start="12345")
    assert not Watch(1000).alive(attempt)
    assert claim(tmp_path) is not None
    assert lost(read_attempts(tmp_path), 0)


def test_a_number_that_another_process_got_is_not_the_same_process(tmp_path: Path):
    attempt = held_by(tmp_path, start="1")
    assert attempt.claim is not None and process_lives(attempt.claim.holder) is False
    assert process_lives(this_process()) is True


def test_another_machines_claim_holds_while_its_heartbeat_changes(tmp_path: Path):
    now = 0.0
    attempt = held_by(tmp_path, machine="elsewhere")
    watch = Watch(30, clock=lambda: now)
    for beat in range(5):
        write_json_table(attempt.folder / "heartbeat.json", Heartbeat(beat))
        assert watch.alive(attempt)
        now += 29
    assert watch.alive(attempt)
    now += 31
    assert not watch.alive(attempt)
    # A claim is not taken because a worker cannot tell, only by the word of who watched.
    assert claim(tmp_path) is None
    assert claim(tmp_path, over=attempt.number) is not None


def test_who_watched_another_attempt_does_not_take_this_one(tmp_path: Path):
    held_by(tmp_path, machine="elsewhere")
    assert claim(tmp_path, over=1) is not None
    write_json_table(tmp_path / "attempts" / "002" / "claim.json", read_attempts(tmp_path)[0].claim)
    assert claim(tmp_path, over=1) is None


def test_a_job_of_a_cluster_that_is_queued_again_takes_up_its_own_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    held_by(tmp_path, machine="elsewhere", cluster_job="7_3")
    assert claim(tmp_path) is None
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert claim(tmp_path) is not None
    assert not lost(read_attempts(tmp_path), 0), "it was pre-empted, which is no failure"


def test_a_process_whose_job_was_given_away_ends_itself(tmp_path: Path):
    code = (
        "import time; from pathlib import Path; from vibench.sweep.attempts import *\n"
        f"attempt = claim(Path({str(tmp_path)!r}))\n"
        "with beating(attempt, Pulse('work'), 0.05):\n"
        "    time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (tmp_path / "attempts" / "001" / "heartbeat.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert read_attempts(tmp_path)[0].heartbeat is not None
    (tmp_path / "attempts" / "002").mkdir()
    assert process.wait(60) == BUSY
    assert process.stderr is not None and b"given to another process" in process.stderr.read()


def test_heartbeats_tell_what_is_done_and_survive_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    attempt = claim(tmp_path)
    assert attempt is not None
    pulse = Pulse("training", 3, 9)

    def full(path: Path, value: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_json_table", full)
        with beating(attempt, pulse, 0.01):
            time.sleep(0.05)
    assert attempt.heartbeat is None
    with beating(attempt, pulse, 0.01):
        time.sleep(0.05)
    beat = attempt.heartbeat
    assert beat is not None and (beat.doing, beat.done, beat.total) == ("training", 3, 9) and beat.beat > 1


def test_a_worker_that_never_began_is_recorded_once(tmp_path: Path):
    record_failure(tmp_path, 1, "no memory")
    record_failure(tmp_path, 1, "again")
    (attempt,) = read_attempts(tmp_path)
    assert attempt.end == End("failed", 0.0, "no memory")


def test_half_a_claim_is_a_claim(tmp_path: Path):
    """Its process died between making the folder and writing who it is."""
    (tmp_path / "attempts" / "001").mkdir(parents=True)
    assert claim(tmp_path) is None
    assert [folder.name for folder in (tmp_path / "attempts").iterdir()] == ["001"]
    watch = Watch(0.0)
    assert not watch.alive(read_attempts(tmp_path)[0])
    assert claim(tmp_path, over=1) is not None
