"""Command lines in processes that need not import PyTorch anew: one process imports it and forks a child for each.

A child is a process of its own, with its own folder, environment, streams and end. It begins where any other would
begin to import vibench, of which nothing is loaded before.
"""

from __future__ import annotations

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
from collections.abc import Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LIBRARIES = ("numpy", "pandas", "scipy.io", "torch", "torch._dynamo", "torch.optim", "PIL.Image", "tabulate", "typer")
"""What commands import. Modules of rich, which look at the environment, are not among them."""
READ_AT_START = ("PYTHON", "LANG", "LC_", "OMP_", "MKL_", "LD_")
"""Beginnings of the names of variables that an interpreter or a library reads when it starts."""


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
        return all(environment.get(name) == self.environment.get(name) for name in names)

    def run(
        self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """``vibench ARGUMENTS``, as `subprocess.run` does it with its output captured; raises its `TimeoutExpired`."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
            wanted = json.dumps({"arguments": list(arguments), "cwd": str(cwd), "environment": dict(environment)})
            socket.send_fds(self._socket, [_padded(len(wanted.encode()))], [out.fileno(), error.fileno()])
            self._socket.sendall(wanted.encode())
            child = self._answer()
            late = not select.select([self._socket], [], [], timeout)[0]
            if late:
                os.kill(child, signal.SIGKILL)
            # Read in any case, so that the next command does not take it for its own.
            status = self._answer()
            if late:
                raise subprocess.TimeoutExpired(list(arguments), timeout)
            texts = []
            for stream in (out, error):
                stream.seek(0)
                texts.append(stream.read().decode())
        return subprocess.CompletedProcess(list(arguments), status, *texts)

    def _answer(self) -> int:
        return int(self._socket.recv(_ANSWER, socket.MSG_WAITALL))

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


def serve(number: int) -> list[str] | None:
    """Fork a child for every command line that the socket brings; in a child, its arguments, at the end None."""
    for library in LIBRARIES:
        importlib.import_module(library)
    with socket.socket(fileno=number) as channel:
        while True:
            head, streams, *_ = socket.recv_fds(channel, _ANSWER, 2)
            if not head:
                return None
            body = b""
            while len(body) < int(head):
                body += channel.recv(int(head) - len(body))
            wanted = json.loads(body)
            child = os.fork()
            if child == 0:
                for stream, place in zip(streams, (1, 2), strict=True):
                    os.dup2(stream, place)
                    os.close(stream)
                os.chdir(wanted["cwd"])
                os.environ.clear()
                os.environ.update(wanted["environment"])
                arguments: list[str] = wanted["arguments"]
                return arguments
            for stream in streams:
                os.close(stream)
            channel.sendall(_padded(child))
            _, status = os.waitpid(child, 0)
            channel.sendall(_padded(os.waitstatus_to_exitcode(status)))


if __name__ == "__main__":
    wanted_arguments = serve(int(sys.argv[1]))
    if wanted_arguments is not None:
        sys.argv = ["vibench", *wanted_arguments]
        runpy.run_module("vibench", run_name="__main__", alter_sys=True)
