"""Kills a command again and again, looks at what is left each time, and compares what comes of it in the end."""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kills.jobs import Inputs, Job
from tests.kills.server import Answer, Request, Server
from tests.kills.volatile import stable_digest

_LONGEST_CHAIN = 3
"""Kills of one piece of work, one after another, before it may come to its end."""
_OF_UNFINISHED_BUILDS = ("lock", "chunks.partial", "images.partial.npy")
_SIGKILL = -9

Hardship = Callable[[Path], AbstractContextManager[None]]
"""Makes life hard in a folder, as long as the context lasts."""


class Lost(AssertionError):
    """A kill had consequences."""


@dataclass(frozen=True)
class Reference:
    """The command undisturbed."""

    steps: int
    seconds: float
    work: int
    """Units of the job's work."""
    versions: frozenset[tuple[str, str]]
    """(path, stable digest) of every whole file there ever was."""
    final: dict[str, str]
    """Path -> stable digest at the end."""


@dataclass
class Tally:
    """What a campaign did."""

    job: str
    steps: int = 0
    """Of the undisturbed command."""
    at_steps: int = 0
    """Kills at a step on files."""
    at_times: int = 0
    """Kills at a moment of the clock."""
    restarts: int = 0
    completions: int = 0
    """Pieces of work that were killed, came to their end and were compared."""

    @property
    def kills(self) -> int:
        return self.at_steps + self.at_times


class Campaign:
    """Kills of one job; ``scratch`` is a folder of its own."""

    def __init__(self, server: Server, job: Job, inputs: Inputs, scratch: Path, seed: int) -> None:
        self._server, self._job, self._inputs, self._scratch = server, job, inputs, scratch
        self._random = random.Random(f"{job.name} {seed}")
        self._folder = scratch / "work"
        self._reference = self._run_undisturbed()

    def run(self, kills: int) -> Tally:
        """Kill ``kills`` times, at steps spread evenly over the command and at moments drawn evenly; `Lost` if it
        mattered."""
        tally = Tally(self._job.name, self._reference.steps)
        steps = self._spread(kills)
        while tally.kills < kills:
            with self._workplace():
                self._kill_and_finish(tally, steps, kills)
        return tally

    def endure(self, hardship: Hardship) -> str:
        """Run once under a hardship, which must end in one sentence and lose nothing, and then to the end; `Lost` if
        it does not. Returns the sentence."""
        with self._workplace():
            with hardship(self._folder):
                answer = self._run()
                said = (self._scratch / "output").read_text()
                if answer.returncode not in (1, 2) or "Traceback" in said or said.count("error:") != 1:
                    raise Lost(f"{self._job.name}: ended with {answer.returncode}:\n{said[-2000:]}")
            self._check_rest()
            self._require(self._run())
            self._compare()
        return said.partition("error:")[2].strip()

    def _kill_and_finish(self, tally: Tally, steps: Iterator[int], kills: int) -> None:
        killed = 0
        for _ in range(self._random.randint(1, min(_LONGEST_CHAIN, kills - tally.kills))):
            # Three of four at a step: these are the moments at which files change.
            by_clock = self._random.random() < 0.25
            if by_clock:
                answer = self._run(kill_after=self._random.random() * self._reference.seconds)
            else:
                answer = self._run(kill_at=next(steps))
            if answer.returncode != _SIGKILL:
                self._require(answer)
                break
            killed += 1
            tally.at_times += by_clock
            tally.at_steps += not by_clock
            self._check_rest()
        else:
            self._require(self._run())
        tally.restarts += killed
        tally.completions += 1
        self._compare()
        if self._job.work:
            most = self._reference.work + killed * self._job.repeated
            done = self._noted(f"did {self._job.work}")
            if done > most:
                raise Lost(f"{self._job.name}: {done} units of work after {killed} kills, more than {most}")

    def _compare(self) -> None:
        """What is there is what an undisturbed run leaves, and nothing else."""
        final = self._files()
        if final != self._reference.final:
            differing = sorted(set(final.items()) ^ set(self._reference.final.items()))
            raise Lost(f"{self._job.name}: ends in other files than undisturbed: {differing}")
        if rests := self._rests():
            raise Lost(f"{self._job.name}: leaves {rests} behind")

    def _spread(self, kills: int) -> Iterator[int]:
        """Endlessly steps of the command: one drawn from each of ``kills`` equal parts, in random order."""
        while True:
            width = self._reference.steps / kills
            steps = [int((part + self._random.random()) * width) for part in range(kills)]
            self._random.shuffle(steps)
            yield from steps

    def _run_undisturbed(self) -> Reference:
        with self._workplace():
            given = self._files()
            answer = self._run()
            self._require(answer)
            final = self._files()
            lines = [line.split(" ") for line in self._diary().splitlines()]
            versions = {(" ".join(line[1:-1]), line[-1]) for line in lines if line[0] == "version"}
            return Reference(
                steps=next(int(line[1]) for line in lines if line[0] == "steps"),
                seconds=answer.seconds,
                work=self._noted(f"did {self._job.work}"),
                versions=frozenset(versions | set(given.items()) | set(final.items())),
                final=final,
            )

    @contextmanager
    def _workplace(self) -> Iterator[None]:
        """A fresh working folder, always of the same name."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._job.begin(self._inputs, self._folder)
        yield

    def _run(self, *, kill_at: int | None = None, kill_after: float | None = None) -> Answer:
        places = {
            "VIBENCH_CACHE": str(self._folder / "cache"),
            "VIBENCH_LEADERBOARDS": str(self._folder / "leaderboards"),
        }
        return self._server.run(
            Request(
                arguments=shlex.split(self._job.command(self._inputs, self._folder)),
                folder=str(self._folder),
                environment={**places, **self._job.environment},
                diary=str(self._scratch / "diary"),
                output=str(self._scratch / "output"),
                kill_at=kill_at,
                kill_after=kill_after,
            )
        )

    def _require(self, answer: Answer) -> None:
        if answer.returncode != 0:
            said = (self._scratch / "output").read_text()[-2000:]
            raise Lost(f"{self._job.name}: ended with {answer.returncode}:\n{said}")

    def _check_rest(self) -> None:
        """No file under its last name is anything but whole."""
        partial = {item for item in self._files().items() if item not in self._reference.versions}
        if partial:
            raise Lost(f"{self._job.name}: after a kill, there are files that never were: {sorted(partial)}")

    def _files(self) -> dict[str, str]:
        return {
            name: stable_digest(name, path.read_bytes())
            for name, path in self._walk()
            if path.name not in _OF_UNFINISHED_BUILDS and not _is_rest(name)
        }

    def _rests(self) -> list[str]:
        names = [name for name, path in self._walk() if _is_rest(name) or path.name in _OF_UNFINISHED_BUILDS]
        return [name for name in names if not name.endswith("lock")]

    def _walk(self) -> Iterator[tuple[str, Path]]:
        for parent, _, names in os.walk(self._folder):
            for name in names:
                path = Path(parent, name)
                known_as = path.relative_to(self._folder).as_posix()
                if not re.fullmatch(self._job.like_no_other, known_as):
                    yield known_as, path

    def _diary(self) -> str:
        return (self._scratch / "diary").read_text()

    def _noted(self, line: str) -> int:
        return self._diary().splitlines().count(line)


def _is_rest(name: str) -> bool:
    """Whether a path says of itself that it is not finished."""
    return any(part.endswith(".part") for part in name.split("/"))
