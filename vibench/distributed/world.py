"""The processes of one job, started by torchrun, and what they tell one another."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from vibench.distributed.torchrun import started_by_torchrun
from vibench.errors import AlreadyReported, UsageError, VibenchError, VibenchWarning
from vibench.runtime.devices import resolve_device

PATIENCE = timedelta(minutes=10)
"""How long a process waits for an answer of another one before it gives up."""
ENDS_SAFELY = "2.8"
"""The first PyTorch whose gloo was not seen to hang as the processes of a job end."""
_SAME_ERROR_WAIT = 10.0
"""Seconds a process waits for the leader to fail likewise before it reports an error itself."""


class PeerLost(VibenchError):
    """Another process of the job has gone, or gives no answer."""


@dataclass(frozen=True)
class World:
    """This process's place among those of its job; one alone unless torchrun started several."""

    rank: int = 0
    """From 0; process 0 leads: it alone writes files and speaks."""
    size: int = 1
    device: str = "auto"
    """Where this process computes, for `vibench.runtime.devices.resolve_device`."""

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over the processes, equal to the last bit on all of them."""
        if self.size > 1:
            with self._answers():
                dist.all_reduce(tensor)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all processes, by rank; they must have one shape."""
        if self.size == 1:
            return [tensor]
        gathered = [torch.empty_like(tensor) for _ in range(self.size)]
        with self._answers():
            dist.all_gather(gathered, tensor)
        return gathered

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is true on any process."""
        if self.size == 1:
            return flag
        count = torch.tensor(int(flag))
        self.sum(count)
        return bool(count)

    def from_leader(self, function: Callable[[], str]) -> str:
        """What ``function`` returns on the leading process, which alone calls it; its `VibenchError` is that of all."""
        if self.size == 1:
            return function()
        told, error = "", None
        if self.leads:
            try:
                told = "0" + function()
            except VibenchError as raised:
                told, error = f"{raised.exit_code}{raised}", raised
        told = self._broadcast(told)
        if error is not None:
            raise error
        if told[0] != "0":
            raise (UsageError if told[0] == "2" else VibenchError)(told[1:])
        return told[1:]

    def _broadcast(self, text: str) -> str:
        content = torch.tensor(list(text.encode("utf-8")), dtype=torch.uint8)
        length = torch.tensor(len(content))
        with self._answers():
            dist.broadcast(length, src=0)
            if not self.leads:
                content = torch.empty(int(length), dtype=torch.uint8)
            dist.broadcast(content, src=0)
        return bytes(content.tolist()).decode("utf-8")

    @contextmanager
    def _answers(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise PeerLost(
                f"another of the {self.size} processes of this job has gone or gives no answer ({reason}); see what it "
                "reported, and start all of them again."
            ) from error


ALONE = World()
"""A process that is a job by itself."""


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Join the other processes of a job of torchrun's for the time of the block; without torchrun, be alone.

    ``device`` is that of the command line: each process on a machine takes a GPU of its own, or they share those
    there are, where these are fewer. A `VibenchError` that leaves the block names its process, unless the leading
    process raises the same: then it becomes `AlreadyReported`. A process that dies or hangs becomes a `PeerLost` of
    the others after `PATIENCE` at the latest; where GPUs talk to one another, NCCL itself then ends the process.
    """
    if not started_by_torchrun():
        yield World(device=device)
        return
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if rank == 0 and torch.__version__ < ENDS_SAFELY:
        warnings.warn(
            f"PyTorch {torch.__version__} can hang as several processes end, after all is written; "
            f"install {ENDS_SAFELY} or newer.",
            VibenchWarning,
            stacklevel=2,
        )
    place, backend = _place(device)
    try:
        store, _, _ = next(iter(dist.rendezvous("env://", timeout=PATIENCE)))
    except (RuntimeError, ValueError) as error:
        raise VibenchError(
            f"process {rank} of {size} cannot reach the others at {os.environ.get('MASTER_ADDR', '')}:"
            f"{os.environ.get('MASTER_PORT', '')} ({' '.join(str(error).split())[:200]}); start it by torchrun."
        ) from error
    with connected(World(rank, size, place), store, backend) as world:
        yield world


@contextmanager
def connected(world: World, store: dist.Store, backend: str, patience: timedelta = PATIENCE) -> Iterator[World]:
    """Connect this process with the others, which meet at ``store``; as `joined`."""
    try:
        dist.init_process_group(
            backend, store=dist.PrefixStore("group", store), rank=world.rank, world_size=world.size, timeout=patience
        )
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise PeerLost(
            f"process {world.rank} waited in vain for the {world.size} processes of its job ({reason}); start all of "
            "them again."
        ) from error
    try:
        yield world
    except VibenchError as error:
        if world.leads:
            store.set("error of the leader", str(error))
            raise
        said = _said_by_leader(store)
        # That others have gone is no news where the leader has said why it went.
        if said == str(error) or (said and isinstance(error, PeerLost)):
            reported = AlreadyReported(str(error))
            reported.exit_code = error.exit_code
            raise reported from None
        error.args = (f"process {world.rank} of 0 to {world.size - 1}: {error}",)
        raise
    dist.destroy_process_group()


def _said_by_leader(store: dist.Store) -> str:
    """The error that the leading process ends with, now or within a moment; empty where there is none."""
    key, deadline = "error of the leader", time.monotonic() + _SAME_ERROR_WAIT
    while time.monotonic() < deadline:
        try:
            if store.check([key]):
                return bytes(store.get(key)).decode("utf-8")
        except RuntimeError:
            break
        time.sleep(0.05)
    return ""


def _place(device: str) -> tuple[str, str]:
    """The device of this process, and how tensors travel between processes."""
    if device.startswith("cuda:"):
        raise UsageError(f"--device {device}: every process of torchrun's takes a GPU of its own; say --device cuda.")
    if resolve_device(device).type == "cpu":
        return "cpu", "gloo"
    gpus = torch.cuda.device_count()
    number = int(os.environ["LOCAL_RANK"]) % gpus
    torch.cuda.set_device(number)
    # NCCL refuses two processes on one GPU.
    own = int(os.environ["LOCAL_WORLD_SIZE"]) <= gpus
    return f"cuda:{number}", "cpu:gloo,cuda:nccl" if own else "gloo"
