"""Attempts at a job: claimed, kept alive and ended by files alone, on any file system that machines share.

::

    <out>/jobs/<id>/attempts/001/         making this folder is the claim: it succeeds for one process only
                                 claim.json       who works: `vibench.sweep.holder.Holder`
                                 heartbeat.json   rewritten every few seconds while it works: `Heartbeat`
                                 end.json         how it ended, written by the process that worked: `End`
    <out>/jobs/<id>/log.txt               what all attempts printed

Nothing is ever removed or locked (locks do not reach across machines on every network file system), and nothing but
the heartbeat is ever changed.
The attempt with the highest number counts. One without ``end.json`` belongs to its process for as long as that lives;
after that anybody may claim the next number, and the attempt is lost. A process that was only thought dead, paused
perhaps, finds the next number taken at its next heartbeat and ends itself.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from vibench.errors import UsageError
from vibench.files.json_table import read_json_table, write_json_table
from vibench.sweep.holder import Holder, process_lives, this_process

BEAT_SECONDS = 5.0
BUSY = 75
"""Exit status of a process whose job is another's."""

Outcome = Literal["done", "failed", "stopped"]


@dataclass(frozen=True)
class Claim:
    """``claim.json``."""

    holder: Holder
    at: str
    """UTC, for people: clocks of machines differ."""


@dataclass(frozen=True)
class Heartbeat:
    """``heartbeat.json``."""

    beat: int
    doing: str = ""
    """Such as ``training agw on sysu-mm01``."""
    done: int = 0
    total: int = 0
    """Steps, images or whatever is counted."""


@dataclass(frozen=True)
class End:
    """``end.json``."""

    outcome: Outcome
    seconds: float
    reason: str = ""
    results: tuple[str, ...] = ()
    """Files that the job has made; relative to `vibench.sweep.states.results_folder`."""


@dataclass(frozen=True)
class Attempt:
    """One attempt as its files are now."""

    folder: Path
    claim: Claim | None
    """None: claimed a moment ago, or by a process that died at once."""
    end: End | None

    @property
    def number(self) -> int:
        """From 1."""
        return int(self.folder.name)

    @property
    def heartbeat(self) -> Heartbeat | None:
        """The last one; None before the first."""
        return _read(Heartbeat, self.folder / "heartbeat.json")


def attempts_folder(job: Path) -> Path:
    """Where the attempts at the job in the folder ``job`` lie."""
    return job / "attempts"


def read_attempts(job: Path) -> list[Attempt]:
    """All attempts at the job in the folder ``job``, in order."""
    try:
        folders = [folder for folder in attempts_folder(job).iterdir() if folder.name.isdecimal()]
    except OSError:
        return []
    folders.sort(key=lambda folder: int(folder.name))
    return [Attempt(one, _read(Claim, one / "claim.json"), _read(End, one / "end.json")) for one in folders]


def claim(job: Path, over: int = 0) -> Attempt | None:
    """Claim the job in the folder ``job`` for this process; None where another process has it.

    ``over`` is the number of an attempt that somebody who watched it found dead (`Watch`); one whose process ran on
    this machine, or in this very job of the cluster before it was queued again, is found dead here.
    """
    attempts = read_attempts(job)
    if attempts and attempts[-1].end is None and attempts[-1].number != over and not _known_dead(attempts[-1]):
        return None
    return _make(job, len(attempts) + 1, this_process())


def record_failure(job: Path, number: int, reason: str) -> None:
    """Record, as attempt ``number``, that a process ended before it came to claim its job; nothing if it is taken."""
    attempt = _make(job, number, this_process())
    if attempt is not None:
        end(attempt, End("failed", 0.0, reason))


def end(attempt: Attempt, how: End) -> None:
    """Write ``end.json``."""
    write_json_table(attempt.folder / "end.json", how)


def _make(job: Path, number: int, holder: Holder) -> Attempt | None:
    folder = attempts_folder(job) / f"{number:03d}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir()
    except FileExistsError:
        return None
    found = Claim(holder, datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))
    write_json_table(folder / "claim.json", found)
    return Attempt(folder, found, None)


def _known_dead(attempt: Attempt) -> bool:
    if attempt.claim is None:
        return False
    holder = attempt.claim.holder
    lives = process_lives(holder)
    if lives is not None:
        return not lives
    # A cluster starts a job again only after its processes have ended, or their machine has.
    return bool(holder.cluster_job) and holder.cluster_job == this_process().cluster_job


class Watch:
    """Tells whether attempts are alive, by their processes on this machine and by their heartbeats elsewhere.

    A heartbeat counts when it is seen to change, by the clock of this process: clocks of machines differ and jump.
    """

    def __init__(self, lost_after: float, clock: Callable[[], float] = time.monotonic) -> None:
        """An attempt that was not seen to change for ``lost_after`` seconds is dead."""
        self._lost_after = lost_after
        self._clock = clock
        self._seen: dict[Path, tuple[int, float]] = {}

    def alive(self, attempt: Attempt) -> bool:
        """Whether the process of an attempt without an end may still be at work."""
        if attempt.claim is not None:
            lives = process_lives(attempt.claim.holder)
            if lives is not None:
                return lives
        heartbeat = attempt.heartbeat
        beat = -1 if heartbeat is None else heartbeat.beat
        now = self._clock()
        before, since = self._seen.get(attempt.folder, (None, now))
        if before != beat:
            since = now
        self._seen[attempt.folder] = (beat, since)
        return now - since < self._lost_after


@dataclass
class Pulse:
    """What a worker is doing, as its heartbeats say."""

    doing: str = ""
    done: int = 0
    total: int = 0
    beats: int = field(default=0, init=False)


@contextlib.contextmanager
def beating(attempt: Attempt, pulse: Pulse, seconds: float = BEAT_SECONDS) -> Iterator[None]:
    """Send heartbeats while the block runs; ends the process with `BUSY` where the attempt was taken over."""
    stop = threading.Event()
    taken_over = attempt.folder.with_name(f"{attempt.number + 1:03d}")

    def beat() -> None:
        while True:
            if taken_over.exists():
                print("this attempt was thought dead and its job given to another process", file=sys.stderr, flush=True)
                os._exit(BUSY)
            pulse.beats += 1
            # A full disk or a server that is away for a while must not end a training that can go on.
            with contextlib.suppress(OSError):
                told = Heartbeat(pulse.beats, pulse.doing, pulse.done, pulse.total)
                write_json_table(attempt.folder / "heartbeat.json", told)
            if stop.wait(seconds):
                return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def lost(attempts: Sequence[Attempt], at: int) -> bool:
    """Whether attempt ``at`` has no end although a later one was made, other than by the same job of a cluster."""
    if attempts[at].end is not None or at + 1 == len(attempts):
        return False
    one, following = attempts[at].claim, attempts[at + 1].claim
    same_job = one is not None and following is not None and one.holder.cluster_job == following.holder.cluster_job
    return not (same_job and one is not None and one.holder.cluster_job)


def _read(kind: type, path: Path):  # type: ignore[no-untyped-def]
    """A file of an attempt; None where it is not there, or not a whole one of ours."""
    try:
        return read_json_table(kind, path)
    except UsageError:
        return None
