from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from vibench.errors import UsageError, VibenchError
from vibench.runtime import parallel
from vibench.runtime.parallel import default_workers, map_in_processes


def square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def refuse(number: int) -> int:
    raise VibenchError(f"no {number}")


def die(number: int) -> int:
    os._exit(3)


def test_results_do_not_depend_on_the_number_of_workers() -> None:
    alone = list(map_in_processes(square, range(5), 1))
    shared = list(map_in_processes(square, range(5), 2))
    assert {task: square for task, (square, _) in alone} == {task: square for task, (square, _) in shared}
    assert {process for _, (_, process) in alone} == {os.getpid()}
    assert os.getpid() not in {process for _, (_, process) in shared}


def test_little_work_needs_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "default_workers", lambda: 2)
    assert {process for _, (_, process) in map_in_processes(square, range(5))} == {os.getpid()}


def test_much_work_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "default_workers", lambda: 2)
    monkeypatch.setattr(parallel, "_WORTH_PROCESSES", 1e-12)
    (first, (_, here)), *others = map_in_processes(square, range(5))
    assert (first, here) == (0, os.getpid())
    assert sorted(task for task, _ in others) == [1, 2, 3, 4]
    assert os.getpid() not in {process for _, (_, process) in others}


def test_errors_of_workers_arrive() -> None:
    with pytest.raises(VibenchError, match="no 1"):
        list(map_in_processes(refuse, [1, 1], 2))
    with pytest.raises(VibenchError, match="a worker process died"):
        list(map_in_processes(die, [1, 2], 2))


def test_worker_counts() -> None:
    assert default_workers() >= 1
    assert list(map_in_processes(square, [], 4)) == []
    with pytest.raises(UsageError, match="0 worker processes are too few"):
        list(map_in_processes(square, [1], 0))


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    """A worker that has nothing to do notices that nobody will give it work again."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, signal\n"
        "from vibench.runtime.parallel import map_in_processes\n"
        "if __name__ == '__main__':\n"
        "    for _ in map_in_processes(os.path.exists, ['a', 'b', 'c'], 2):\n"
        "        pass_on = [child.pid for child in __import__('multiprocessing').active_children()]\n"
        "        print(*pass_on, flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL
    workers = [int(word) for word in done.stdout.split()]
    assert workers
    deadline = time.monotonic() + 10
    while any(running(pid) for pid in workers):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.05)


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_a_script_without_a_guard_is_told_so_and_does_not_wait_for_itself(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from pathlib import Path\nfrom vibench.datasets.twin.make import make_twin\n"
        "make_twin('sysu-mm01', 'tiny', 0, Path('twin'), workers=2, size=(32, 16))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "has no `if __name__ == '__main__':` guard" in done.stderr.splitlines()[-1]
