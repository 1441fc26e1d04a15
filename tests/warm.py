"""Commands in processes that need not import PyTorch anew: one process imports it and forks a child for each.

A child is a process of its own, with its own folder, environment, streams and end. It begins where any other has
imported what most commands need, and ends without taking apart what it never made.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import typer.main
import typer.testing

REPOSITORY = Path(__file__).resolve().parent.parent
LIBRARIES = (
    *("numpy", "pandas", "scipy.io", "torch", "torch._dynamo", "torch.optim", "PIL.Image", "tabulate", "typer"),
    # What typer's own command line, `typer.rich_utils`, is made of: that module itself looks at the environment.
    *("rich.markdown", "rich.panel", "rich.table"),
)
OURS = (
    *("vibench.cli.main", "vibench.cli.records_table", "vibench.datasets.llcm", "vibench.datasets.regdb"),
    *("vibench.datasets.sysu_mm01", "vibench.leaderboard.render", "vibench.leaderboard.terminal"),
    *("vibench.scoring.trained", "vibench.scoring.score", "vibench.training.run"),
)
"""What commands import."""
READ_AT_START = ("PYTHON", "LANG", "LC_", "OMP_", "MKL_", "TYPER_", "_TYPER_")
"""Beginnings of the names of variables that an interpreter or a library reads when it starts."""
TAKEN_OVER = ("PYTHONIOENCODING",)
"""Those of them that a child takes over all the same."""


_ANSWER = 12
"""Bytes of a number that is sent."""


def _padded(number: int) -> bytes:
    return f"{number:<{_ANSWER}}".encode()


class Warm:
    """The process that has imported the libraries, as its clients see it."""

    def __init__(self) -> None:
        self.environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm", str(theirs.fileno())],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._socket = ours

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Whether a child can be forked for an environment: what is read at the start is as this process has it."""
        names = {name for name in {*environment, *self.environment} if name.startswith(READ_AT_START)}
        return all(environment.get(name) == self.environment.get(name) for name in names.difference(TAKEN_OVER))

    def run(
        self,
        arguments: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        timeout: float,
        *,
        stdout: IO[bytes] | None = None,
        stderr: IO[bytes] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """``vibench ARGUMENTS``, as `subprocess.run` does it; raises its `TimeoutExpired`.

        What it prints is captured where no stream is given for it.
        """
        (done,) = self.run_together("vibench", arguments, cwd, [environment], timeout, stdout=stdout, stderr=stderr)
        return done

    def run_together(
        self,
        module: str,
        arguments: Sequence[str],
        cwd: Path,
        environments: Sequence[Mapping[str, str]],
        timeout: float,
        *,
        stdout: IO[bytes] | None = None,
        stderr: IO[bytes] | None = None,
    ) -> list[subprocess.CompletedProcess[str]]:
        """``python -m MODULE ARGUMENTS``, or of a script, in several processes at once, one for each environment.

        They write to the same streams: each has what all of them have printed.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
            wanted = json.dumps(
                {
                    "module": module,
                    "arguments": list(arguments),
                    "cwd": str(cwd),
                    "environments": [*map(dict, environments)],
                }
            )
            streams = [(stdout or out).fileno(), (stderr or error).fileno()]
            socket.send_fds(self._socket, [_padded(len(wanted.encode()))], streams)
            self._socket.sendall(wanted.encode())
            children = [self._answer() for _ in environments]
            late = not select.select([self._socket], [], [], timeout)[0]
            if late:
                for child in children:
                    os.kill(child, signal.SIGKILL)
            # Read in any case, so that the next command does not take it for its own.
            statuses = [self._answer() for _ in environments]
            if late:
                raise subprocess.TimeoutExpired(list(arguments), timeout)
            texts = []
            for stream in (out, error):
                stream.seek(0)
                texts.append(stream.read().decode(errors="surrogateescape"))
        return [subprocess.CompletedProcess(list(arguments), status, *texts) for status in statuses]

    def _answer(self) -> int:
        return int(self._socket.recv(_ANSWER, socket.MSG_WAITALL))

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


def settle() -> None:
    """Make once what is the same for all that follow: typer's tree of commands, and what garbage is not sought in."""
    from vibench.cli.main import app
    from vibench.runtime import parallel

    # Tests run side by side: processes of one, of which each imports anew, would only wait for those of another.
    parallel.default_workers = lambda: 1

    command = typer.main.get_command(app)
    # Imports what reading words takes.
    command.make_context("vibench", ["methods"])
    build = typer.main.get_command
    typer.main.get_command = typer.testing._get_command = lambda one: command if one is app else build(one)  # type: ignore[attr-defined]
    # Else every child looks through what the libraries made, and copies the pages on which it counts.
    gc.collect()
    gc.freeze()


def serve(number: int) -> tuple[str, list[str]] | None:
    """Fork a child for every command that the socket brings; in a child, its module and arguments, at the end None."""
    for library in (*LIBRARIES, *OURS):
        importlib.import_module(library)
    os.fsync = lambda descriptor: None  # type: ignore[assignment]
    settle()
    with socket.socket(fileno=number) as channel:
        while True:
            head, streams, *_ = socket.recv_fds(channel, _ANSWER, 2)
            if not head:
                return None
            body = b""
            while len(body) < int(head):
                body += channel.recv(int(head) - len(body))
            wanted = json.loads(body)
            children = []
            for environment in wanted["environments"]:
                children.append(os.fork())
                if children[-1] == 0:
                    for stream, place in zip(streams, (1, 2), strict=True):
                        os.dup2(stream, place)
                        os.close(stream)
                    os.chdir(wanted["cwd"])
                    os.environ.clear()
                    os.environ.update(environment)
                    _take_over(environment)
                    return wanted["module"], wanted["arguments"]
                channel.sendall(_padded(children[-1]))
            for stream in streams:
                os.close(stream)
            # All at once, for a client waits for the first answer as long as for the last.
            statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            channel.sendall(b"".join(map(_padded, statuses)))


def _take_over(environment: Mapping[str, str]) -> None:
    """What an interpreter that starts with this environment makes of its streams."""
    encoding, _, errors = environment.get("PYTHONIOENCODING", "").partition(":")
    if encoding:
        sys.stdout.reconfigure(encoding=encoding, errors=errors or "strict")  # type: ignore[union-attr]
        sys.stderr.reconfigure(encoding=encoding, errors="backslashreplace")  # type: ignore[union-attr]


if __name__ == "__main__":
    task = serve(int(sys.argv[1]))
    if task is not None:
        name, words = task
        sys.argv = [name, *words]
        status = 0
        try:
            if name.endswith(".py"):
                runpy.run_path(name, run_name="__main__")
            else:
                runpy.run_module(name, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)
        except BaseException:
            status = 1
            traceback.print_exc()
        # As an interpreter ends, but for the half second in which it would free all modules.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
