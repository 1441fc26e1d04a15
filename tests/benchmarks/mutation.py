"""Do the tests bite? One small change at sampled places of the code, and the tests that have to notice it.

    python -m tests.benchmarks.mutation --out FOLDER [--only PART ...] [--per-100-lines 1] [--minutes 120] [--workers 2]

The changes are cosmic-ray's (extra ``mutation``): a comparison shifted or turned round, an operator or a constant
exchanged, a number off by one, a condition negated, a loop that does not run. Each is made in a copy of the repository
in FOLDER, where a test of the part must fail, those of the module's own name first. What was found is kept in
FOLDER/mutants.jsonl; the same command goes on, and prints a table of the parts and every survivor with its line.

Annotations, messages of errors and warnings, and pictures are left alone. ``--seed`` draws other places.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

from rich.console import Console
from rich.table import Table

from tests.memory import memory

REPOSITORY = Path(__file__).parents[2]
OPERATORS = (
    *(f"core/ReplaceComparisonOperator_{one}" for one in ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Eq_NotEq")),
    *(f"core/ReplaceComparisonOperator_{one}" for one in ("NotEq_Eq", "Is_IsNot", "IsNot_Is")),
    *(f"core/ReplaceBinaryOperator_{one}" for one in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul")),
    *(f"core/ReplaceBinaryOperator_{one}" for one in ("Mod_Mul", "Pow_Mul", "BitAnd_BitOr", "BitOr_BitAnd")),
    *(f"core/ReplaceUnaryOperator_{one}" for one in ("Delete_USub", "Delete_Not", "Delete_Invert")),
    *(
        f"core/{one}"
        for one in ("ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue")
    ),
    *(f"core/{one}" for one in ("AddNot", "NumberReplacer", "ZeroIterationForLoop", "ReplaceContinueWithBreak")),
)
SILENT = ("raise", "warn", "progress", "print")
"""What begins a statement whose words no test needs to know."""
_LONGEST = 900.0
"""Seconds of the tests of one mutant."""
KILLED, SURVIVED, HUNG = "killed", "survived", "hung"


@dataclass(frozen=True)
class Part:
    """Modules and the tests that guard them."""

    name: str
    modules: tuple[str, ...]
    """Patterns in the repository."""
    tests: tuple[str, ...]

    def files(self) -> list[Path]:
        found = {path for pattern in self.modules for path in REPOSITORY.glob(pattern)}
        return sorted(path for path in found if path.name not in ("__init__.py", "pictures.py"))

    def arguments(self, module: Path) -> list[str]:
        """Of pytest: the tests of the module's own name, those of a kindred one, then all others."""
        paths = [path for pattern in self.tests for path in sorted(REPOSITORY.glob(pattern))]
        names = (f"test_{module.stem}.py", f"test_{module.stem.partition('_')[0]}*.py")
        own = [one for name in names for path in paths if path.is_dir() for one in sorted(path.rglob(name))]
        return [str(path.relative_to(REPOSITORY)) for path in dict.fromkeys((*own, *paths))]


def _method(name: str, *tests: str) -> Part:
    return Part(f"methods/{name}", (f"vibench/methods/{name}/*.py",), (f"tests/methods/test_{name}*.py", *tests))


_OFFICIAL = "tests/methods/test_official_steps.py"
PARTS = (
    Part("evaluation", ("vibench/evaluation/*.py",), ("tests/evaluation",)),
    Part("losses", ("vibench/losses/*.py",), ("tests/losses",)),
    Part("records", ("vibench/records/*.py",), ("tests/records",)),
    Part("protocols", ("vibench/protocols.py",), ("tests/test_protocols.py",)),
    Part(
        "scoring",
        ("vibench/scoring/*.py", "vibench/scoring/foreign/*.py"),
        ("tests/scoring", "tests/cli/test_joint.py"),
    ),
    Part(
        "optimiser and schedule",
        ("vibench/training/optimizer.py", "vibench/training/schedule.py"),
        ("tests/training/test_optimizer.py", "tests/training/test_schedule.py"),
    ),
    Part(
        "augmentation and samplers",
        tuple(
            f"vibench/data/{name}.py" for name in ("augmentation", "channels", "distortion", "greyscale", "*sampler")
        ),
        ("tests/data/test_*augmentation.py", "tests/data/test_[cdg]*.py", "tests/data/test_*sampl*.py"),
    ),
    _method("agw", "tests/methods/test_two_stream_methods.py"),
    _method("baseline", "tests/methods/test_two_stream_methods.py"),
    _method("caj"),
    _method("cal", "tests/methods/test_literal_cal.py"),
    _method("cm_ssft", "tests/methods/test_literal_cm_ssft.py"),
    _method("ddag", _OFFICIAL),
    _method("deen", _OFFICIAL),
    _method("hct", _OFFICIAL),
    _method("mmd", _OFFICIAL),
    _method("mpanet", _OFFICIAL),
    _method("paenet", "tests/methods/test_literal_paenet.py"),
    _method("pmt", _OFFICIAL),
    _method("pose", "tests/methods/test_literal_pose.py"),
)


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    part: str
    module: str
    operator: str
    occurrence: int
    line: int


@dataclass(frozen=True)
class Found:
    """What the tests made of a mutant."""

    mutant: Mutant
    outcome: str
    seconds: float
    before: str
    after: str


def mutants(part: Part, module: Path) -> Iterator[Mutant]:
    """All changes of a module that a test should notice."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator

    source = module.read_text(encoding="utf-8")
    quiet, tree = _quiet_lines(source), get_ast(source)
    for name in OPERATORS:
        operator = get_operator(name)()
        places = [position for node in ast_nodes(tree) for position in operator.mutation_positions(node)]
        for occurrence, ((line, _), _) in enumerate(places):
            if line not in quiet:
                yield Mutant(part.name, str(module.relative_to(REPOSITORY)), name, occurrence, line)


def _quiet_lines(source: str) -> set[int]:
    """Lines of annotations, imports and of `SILENT` statements."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        parts: list[ast.AST | None] = []
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            # How many results are kept is none.
            parts = [*node.decorator_list]
            # Up to the body, whose defaults are numbers that callers mostly give.
            found |= set(range(node.lineno, node.body[0].lineno))
        elif isinstance(node, ast.ClassDef):
            # Whether it is frozen is no result.
            parts = [*node.decorator_list]
        elif isinstance(node, (ast.Raise, ast.Import, ast.ImportFrom)):
            parts = [node]
        elif isinstance(node, ast.AnnAssign):
            parts = [node.annotation] if node.value is not None else [node]
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            parts = [node] if called.startswith(SILENT) else []
        for part in parts:
            if part is not None:
                found |= set(range(part.lineno, (part.end_lineno or part.lineno) + 1))  # type: ignore[attr-defined]
    return found


def sampled(part: Part, per_100_lines: float, seed: int) -> list[Mutant]:
    """Some mutants of every module, more of a longer one, the same for the same seed."""
    chosen: list[Mutant] = []
    for module in part.files():
        known = list(mutants(part, module))
        lines = len(module.read_text(encoding="utf-8").splitlines())
        count = min(len(known), max(1, round(per_100_lines * lines / 100)))
        chosen += random.Random(f"{seed} {module.name} {part.name}").sample(known, count)
    return chosen


def copy_repository(target: Path) -> Path:
    """A fresh copy of all files that git knows, with what the tests look for beside them."""
    shutil.rmtree(target, ignore_errors=True)
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=REPOSITORY, text=True).split("\0")
    for name in filter(None, listed):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, target / name)
    shared = REPOSITORY.parent / "shared"
    if shared.exists() and not (target.parent / "shared").exists():
        (target.parent / "shared").symlink_to(shared)
    return target


def try_out(mutant: Mutant, part: Part, copy: Path, timeout: float) -> Found:
    """Make the change in ``copy``, run the tests, and take it back."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    path, original = copy / mutant.module, (REPOSITORY / mutant.module).read_text(encoding="utf-8")
    changed = mutate_code(original, get_operator(mutant.operator)(), mutant.occurrence)
    assert changed is not None, mutant
    start = time.perf_counter()
    try:
        _write(path, changed)
        code = run_tests(copy, part.arguments(REPOSITORY / mutant.module), timeout)
    finally:
        _write(path, original)
    outcome = HUNG if code is None else SURVIVED if code == 0 else KILLED
    pairs = zip(original.splitlines(), changed.splitlines(), strict=False)
    before, after = next(((one.strip(), other.strip()) for one, other in pairs if one != other), ("", ""))
    return Found(mutant, outcome, round(time.perf_counter() - start, 1), before, after)


_SECONDS = itertools.count(int(time.time()))


def _write(path: Path, source: str) -> None:
    """In a second of its own, for that and its size are what bytecode knows of a file."""
    path.write_text(source, encoding="utf-8")
    second = next(_SECONDS)
    os.utime(path, (second, second))


def run_tests(copy: Path, arguments: Sequence[str], timeout: float | None) -> int | None:
    """The exit status of pytest in ``copy``; None where it took longer than ``timeout`` seconds."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *arguments]
    # Of tests that fail, as they should here, what they wrote is left.
    with tempfile.TemporaryDirectory(dir=memory(), ignore_cleanup_errors=True) as scratch:
        more = {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "TMPDIR": scratch}
        try:
            return subprocess.run(
                command, cwd=copy, env={**os.environ, **more}, timeout=timeout, capture_output=True, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            return None


def table(found: Sequence[Found]) -> Table:
    """Mutants and survivors of every part."""
    shown = Table(title="mutants and the tests of their part")
    for column in ("part", "mutants", "killed", "hung", "survived", "share", "seconds"):
        shown.add_column(column, justify="left" if column == "part" else "right")
    for part in [*dict.fromkeys(one.mutant.part for one in found), ""]:
        of_part = [one for one in found if part in ("", one.mutant.part)]
        counts = [sum(one.outcome == outcome for one in of_part) for outcome in (KILLED, HUNG, SURVIVED)]
        seconds = f"{sum(one.seconds for one in of_part):.0f}"
        share = f"{counts[-1] / max(1, len(of_part)):.1%}"
        shown.add_row(part or "all", str(len(of_part)), *map(str, counts), share, seconds)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", action="append", choices=[part.name for part in PARTS], help="a part; repeatable")
    parser.add_argument(
        "--per-100-lines", type=float, default=1.0, help="mutants of a module per 100 lines, at least 1"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    parts = {part.name: part for part in PARTS if options.only is None or part.name in options.only}
    kept, deadline = options.out / "mutants.jsonl", time.monotonic() + 60 * options.minutes
    options.out.mkdir(parents=True, exist_ok=True)
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.exists() else []
    found = [Found(Mutant(**one.pop("mutant")), **one) for one in map(json.loads, lines)]
    wanted = [mutant for part in parts.values() for mutant in sampled(part, options.per_100_lines, options.seed)]
    # Of every part some first, so that an interrupted run says something of each.
    random.Random(options.seed).shuffle(wanted)
    left = [mutant for mutant in wanted if mutant not in {one.mutant for one in found}]
    copies: SimpleQueue[Path] = SimpleQueue()
    for number in range(options.workers):
        copies.put(copy_repository(options.out / f"copy-{number}"))

    # Tests that fail by themselves would kill every mutant.
    guards = dict.fromkeys(
        argument
        for name in dict.fromkeys(mutant.part for mutant in left)
        for argument in parts[name].arguments(parts[name].files()[0])
    )
    if guards and run_tests(options.out / "copy-0", [*guards, "-n", str(options.workers)], timeout=None) != 0:
        sys.exit(f"these tests do not pass as they are: pytest {' '.join(guards)}")

    def work(mutant: Mutant) -> None:
        if time.monotonic() >= deadline:
            return
        copy = copies.get()
        try:
            result = try_out(mutant, parts[mutant.part], copy, _LONGEST)
        finally:
            copies.put(copy)
        found.append(result)
        with kept.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(asdict(result)) + "\n")
        print(f"{result.outcome}: {mutant.module}:{mutant.line} {result.after}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(options.workers) as threads:
        list(threads.map(work, left))
    shown = [one for one in found if one.mutant in set(wanted)]
    console = Console(width=160)
    console.print(table(shown))
    for one in shown:
        if one.outcome == SURVIVED:
            console.print(f"{one.mutant.module}:{one.mutant.line}: {one.before}  ->  {one.after}", markup=False)
    if len(shown) < len(wanted):
        console.print(f"{len(wanted) - len(shown)} of {len(wanted)} mutants are left; the same command goes on")


if __name__ == "__main__":
    main()
