"""Plans of the toy methods on the tiny twins, and an executor that needs no other process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.sweep import fragile  # noqa: F401  (registers the method)
from tests.training import toy  # noqa: F401  (registers the method)
from vibench.methods.plugin import VARIABLE
from vibench.sweep.executor import Ended, Start
from vibench.sweep.plan import Plan, read_plan
from vibench.sweep.worker import work

HEAD = """
[sweep]
out = "out"
device = "{device}"
amp = "off"
pretrained = "none"
set = ["schedule.epochs=1", "sampler.batches_per_epoch=1"]
{sweep}
[roots]
sysu-mm01-twin = "{sysu}"
regdb-twin = "{regdb}"
"""
TOY = """
[[jobs]]
methods = ["toy"]
datasets = ["sysu-mm01-twin"]
protocols = ["sysu-indoor"]
"""


@pytest.fixture(autouse=True)
def plugins_of_one_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan's plugins go into the environment, for its workers; other tests must not meet them."""
    monkeypatch.setenv(VARIABLE, "")


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One image cache for all tests of a session."""
    folder = tmp_path_factory.getbasetemp() / "image-cache"
    monkeypatch.setenv("VIBENCH_CACHE", str(folder))
    return folder


@pytest.fixture
def make_plan(tmp_path: Path, sysu_twin: Path) -> Callable[..., Plan]:
    """Write a plan in ``tmp_path`` and read it: the entries, and further lines of [sweep]."""

    def make(
        entries: str = TOY, sweep: str = "", regdb: Path | None = None, name: str = "plan", device: str = "cpu"
    ) -> Plan:
        path = tmp_path / f"{name}.toml"
        head = HEAD.format(sweep=sweep, device=device, sysu=sysu_twin, regdb=regdb or tmp_path)
        path.write_text(head + entries, encoding="utf-8")
        return read_plan(path)

    return make


class InProcess:
    """Works on every job in this process, one after the other."""

    poll_seconds = 0.0

    def __init__(self, out: Path) -> None:
        self.out = out
        self.started: list[str] = []
        self.statuses: list[int] = []
        self._ended: list[Ended] = []

    def start(self, ready: Sequence[Start]) -> list[Start]:
        for one in ready:
            self.started.append(one.job.kind)
            self.statuses.append(work(self.out, one.job.id, one.over))
            self._ended.append(Ended(one.job, one.attempts, "the worker ended before it began"))
        return list(ready)

    def busy(self) -> set[str]:
        return set()

    def ended(self) -> list[Ended]:
        ended, self._ended = self._ended, []
        return ended

    def stop(self) -> str:
        return ""
