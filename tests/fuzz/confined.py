"""Runs all nasties, every reader in a process with bounded memory and time: ``python -m tests.fuzz.confined [READER]``.

Prints one line per fault and, last, how many nasties there were. A reader that is killed, by the bounds or by itself,
is a fault of the nasty it was at.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.fuzz.nasties import TRAP, Content, nasties
from tests.fuzz.reader import Fault, Place, Reader, judge

ADDRESS_SPACE = 6 << 30
"""Bytes that a reader's process may map beyond what it has when it starts."""
SECONDS = 60
"""Of processor time per nasty: a machine with other work to do must not make a test fail."""


def run_nasties(reader: Reader, folder: Path) -> tuple[int, list[str]]:
    """How many nasties a reader was given, and what went wrong with them."""
    place = Place(folder / "place", reader)
    report = folder / "report"
    child = os.fork()
    if child == 0:
        _confined(reader, place, folder, report)
    _, status = os.waitpid(child, 0)
    lines = report.read_text().splitlines() if report.exists() else []
    faults = [line.removeprefix("fault ") for line in lines if line.startswith("fault ")]
    if status:
        ended = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
        faults.append(f"{lines[-1] if lines else 'the beginning'}: the process died ({ended})")
    return sum(line.startswith("at ") for line in lines), [f"{reader.name}: {fault}" for fault in faults]


def _confined(reader: Reader, place: Place, folder: Path, report: Path) -> None:
    """Never returns."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + ADDRESS_SPACE,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.chdir(folder)
    code = 1
    try:
        with report.open("w", buffering=1) as lines:
            for name, nasty in nasties(reader.form).items():
                lines.write(f"at {name}\n")
                target = place.with_content(b"") / reader.file
                target.unlink()
                nasty(target, place.valid)
                spent = int(sum(os.times()[:2]))
                resource.setrlimit(resource.RLIMIT_CPU, (spent + SECONDS, resource.RLIM_INFINITY))
                signal.alarm(10 * SECONDS)  # who waits spends no processor time
                try:
                    judge(reader, target.parents[len(Path(reader.file).parts) - 1])
                except Fault as fault:
                    lines.write(f"fault {name}: {' '.join(str(fault).split())}\n")
                if Path(TRAP).exists() or any(folder.rglob(TRAP)):
                    lines.write(f"fault {name}: code of the file was run\n")
                    shutil.rmtree(TRAP, ignore_errors=True)
        code = 0
    except Exception as error:
        print(f"{reader.name}: {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def main() -> None:
    """Exit 1 where there is a fault."""
    from tests.fuzz.readers import READERS

    for nasty in {nasty for reader in READERS for nasty in nasties(reader.form).values()}:
        if isinstance(nasty, Content):
            nasty.content()  # for all processes
    count, faults = 0, []
    wanted = [reader for reader in READERS if not sys.argv[1:] or reader.name in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as name:
        for number, reader in enumerate(wanted):
            folder = Path(name) / str(number)
            folder.mkdir()
            tried, wrong = run_nasties(reader, folder)
            count += tried
            print(f"{reader.name}: {tried} nasties", file=sys.stderr)
            faults += wrong
            for fault in wrong:
                print(fault, flush=True)
    print(f"{count} nasties for {len(wanted)} readers, {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
