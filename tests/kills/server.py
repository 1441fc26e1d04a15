"""The process that children are forked from: it has imported everything and done nothing, so that a command starts in
milliseconds. ``python -m tests.kills.server`` reads one JSON request a line and answers each in one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY
from tests.warm import settle

_LONGEST = 600.0
"""Seconds after which a command counts as hanging."""


@dataclass(frozen=True)
class Request:
    """One command to run."""

    arguments: list[str]
    folder: str
    """Working folder; what is written below it is watched."""
    environment: dict[str, str]
    diary: str
    output: str
    """File for what the command prints."""
    kill_at: int | None = None
    """Before which step on files it is killed, from 0."""
    kill_after: float | None = None
    """After how many seconds it is killed."""


@dataclass(frozen=True)
class Answer:
    """How it ended."""

    returncode: int
    """Negative: the signal that ended it."""
    seconds: float


class Server:
    """The other end: starts the process, hands requests over."""

    def __init__(self) -> None:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kills.server"],
            cwd=REPOSITORY,
            env={**os.environ, **threads, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, request: Request) -> Answer:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(request)) + "\n")
        self._process.stdin.flush()
        return Answer(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


def main() -> None:
    """Serve until the input ends."""
    import tests.kills.jobs as jobs

    jobs.import_everything()
    settle()
    # One processor: what works in several processes by default then works in one, the same at every run.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for line in sys.stdin:
        answer = _run(Request(**json.loads(line)))
        print(json.dumps(asdict(answer)), flush=True)


def _run(request: Request) -> Answer:
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        _be_child(request)
    limit = _LONGEST if request.kill_after is None else request.kill_after
    status = _wait(child, start + limit)
    return Answer(os.waitstatus_to_exitcode(status), time.perf_counter() - start)


def _wait(child: int, until: float) -> int:
    while time.perf_counter() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def _be_child(request: Request) -> Any:
    code = 99
    try:
        output = os.open(request.output, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(request.folder)
        os.environ.update(request.environment)
        sys.dont_write_bytecode = True

        from tests.kills.faults import Faults
        from tests.kills.jobs import prepare_child
        from vibench.cli.main import main as vibench

        faults = Faults(Path(request.folder), Path(request.diary), request.kill_at)
        prepare_child(faults)
        faults.install()
        code = 0
        try:
            vibench(request.arguments)
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
        faults.finish()
    except BaseException:
        traceback.print_exc()
        code = 99
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
