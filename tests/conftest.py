"""Shared fixtures: the reference folder, and the command line as a user runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from hypothesis import settings

from tests.memory import memory
from tests.warm import Warm, settle

# Tests are small and run side by side: threads of one would only wait for those of another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"

_in_memory: str | None = None
if "TMPDIR" not in os.environ and (_place := memory()) is not None:
    _in_memory = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="vibench-tests-", dir=_place)
    # Else it stays where it was first asked for.
    tempfile.tempdir = None

# How long one example takes says nothing on a machine that has other work.
settings.register_profile("vibench", deadline=None)
settings.load_profile("vibench")

# No test pulls the plug, and thousands of files need not be on the disk at once.
os.fsync = lambda descriptor: None  # type: ignore[assignment]

if sys.dont_write_bytecode:
    # A hundred processes would compile the same modules, each anew. Nothing is written beside the sources.
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(REPOSITORY / ".pytest_cache" / "bytecode")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_finish() -> None:
    """Thousands of tests and the libraries' own objects stay: looking through them for garbage again takes minutes."""
    settle()


def pytest_sessionfinish(exitstatus: int) -> None:
    """What tests have left in memory goes, unless one of them failed."""
    if _in_memory is not None and exitstatus == 0:
        shutil.rmtree(_in_memory, ignore_errors=True)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material beside the checkout; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"reference folder {SHARED.name}/ is not beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """The process that forks those of `vibench`."""
    process = Warm()
    yield process
    process.close()


@pytest.fixture
def vibench(tmp_path: Path, warm: Warm) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``vibench ARGS...`` as a process of its own in a temporary folder."""

    def run(
        *arguments: object,
        cwd: Path = tmp_path,
        stdout: IO[bytes] | None = None,
        stderr: IO[bytes] | None = None,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), "VIBENCH_CACHE": str(tmp_path / "cache")}
        variables |= environment
        words = [str(argument) for argument in arguments]
        if warm.fits(variables):
            return warm.run(words, cwd, variables, timeout=300, stdout=stdout, stderr=stderr)
        return subprocess.run(
            [sys.executable, "-m", "vibench", *words],
            cwd=cwd,
            env=variables,
            stdout=stdout or subprocess.PIPE,
            stderr=stderr or subprocess.PIPE,
            text=True,
            timeout=300,
        )

    return run


def _tiny_twin(layout: str, factory: pytest.TempPathFactory) -> Path:
    from vibench.datasets.twin.make import make_twin

    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        # One for all workers: whoever comes second waits for the first.
        folder = folder.parent
    return make_twin(layout, "tiny", 0, folder / "twins" / f"{layout}-twin", workers=1)


@pytest.fixture(scope="session")
def sysu_twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny twin of SYSU-MM01."""
    return _tiny_twin("sysu-mm01", tmp_path_factory)


@pytest.fixture(scope="session")
def regdb_twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny twin of RegDB."""
    return _tiny_twin("regdb", tmp_path_factory)


@pytest.fixture(scope="session")
def hitsz_twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny twin of HITSZ-VCM."""
    return _tiny_twin("hitsz-vcm", tmp_path_factory)


@pytest.fixture(scope="session")
def bupt_twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny twin of BUPTCampus."""
    return _tiny_twin("buptcampus", tmp_path_factory)
