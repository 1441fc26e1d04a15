"""``vibench sweep``: many trainings and evaluations by one plan, resumable at any moment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vibench.errors import UsageError, VibenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vibench.sweep.executor import Executor
    from vibench.sweep.job import Job
    from vibench.sweep.plan import Plan
    from vibench.sweep.run import Result


def sweep(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.toml", help="The plan.", show_default=False)],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the jobs, how they stand and what they will cost.")
    ] = False,
    status: Annotated[
        bool,
        typer.Option(
            "--status", help="Only show how the jobs stand, from the files alone; live on a terminal, else once."
        ),
    ] = False,
    stop_after: Annotated[
        float | None,
        typer.Option(metavar="MINUTES", help="End after so long; running trainings save their states. Exit 130."),
    ] = None,
) -> None:
    """Train, evaluate and profile all that PLAN.toml names, then render the leaderboards.

    A plan has the tables [sweep] (out, seeds, retries, amp, pretrained, profile, set, ...), one or more [[jobs]]
    (methods, datasets, variants, trials, protocols, query_modes, ...), perhaps [executor] (kind = "local" or "slurm")
    and [roots] (where data sets lie). vibench/sweep/README.md has a whole one; vibench.sweep.plan describes every key.

    All state is files in the folder that 'out' names. Killed and started again at any moment, from any machine that
    sees the folder, the sweep goes on: what is finished is skipped, what failed is tried again.

    Example: vibench sweep plan.toml --dry-run
    """
    if dry_run and status:
        raise UsageError("--dry-run and --status exclude each other; give one of them.")
    from vibench.sweep.plan import read_plan

    read = read_plan(plan)
    if status:
        from vibench.cli.sweep_status import show_status

        return show_status(read.out, read.name)
    from vibench.sweep.expansion import expand

    jobs = expand(read)
    if dry_run:
        from vibench.cli.sweep_status import show_dry_run

        return show_dry_run(read.out, jobs)
    _run(plan, read, jobs, stop_after)


def _run(file: Path, plan: Plan, jobs: Sequence[Job], stop_after: float | None) -> None:
    from vibench.cli.console import err, progress
    from vibench.sweep.run import SweepStopped, run_sweep
    from vibench.training.interrupt import stop_requests

    def say(line: str) -> None:
        err.print(line, soft_wrap=True, markup=False)

    executor = _executor(plan, jobs)
    say(f"{len(jobs)} jobs in {plan.out}; watch them with: vibench sweep {file} --status")
    with stop_requests() as requested:
        stop = _until(stop_after, requested)
        result = run_sweep(plan, jobs, executor, stop=stop, say=say, progress=progress)
    if result.unfinished:
        stopped = f"; {result.stopped}" if result.stopped else ""
        raise SweepStopped(
            f"the sweep was stopped with {len(result.unfinished)} of {len(jobs)} jobs left{stopped}; "
            "the same command goes on."
        )
    failure = _leaderboards(plan)
    _report(jobs, result)
    if failure is not None:
        raise failure


def _executor(plan: Plan, jobs: Sequence[Job]) -> Executor:
    from vibench.sweep.local import LocalExecutor, local_slots
    from vibench.sweep.plan import LocalTable

    if isinstance(plan.executor, LocalTable):
        first = jobs[0].train
        assert first is not None
        return LocalExecutor(plan, local_slots(plan.executor, first.device))
    from vibench.sweep.slurm import SlurmExecutor

    return SlurmExecutor(plan, plan.executor, jobs)


def _until(minutes: float | None, requested: Callable[[], bool]) -> Callable[[], bool]:
    import time

    if minutes is None:
        return requested
    deadline = time.monotonic() + 60 * minutes
    return lambda: requested() or time.monotonic() >= deadline


def _leaderboards(plan: Plan) -> OSError | None:
    """Render the boards; why they could not be written, if so."""
    from vibench.cli.console import err, out
    from vibench.leaderboard.published import load_published
    from vibench.leaderboard.update import update_boards

    update = update_boards(plan.leaderboards, load_published())
    for problem in update.problems:
        err.print(f"attention: {problem}", soft_wrap=True, markup=False)
    measured = sum(bool(board.measured) for board in update.boards)
    out.print(
        f"{len(update.records)} records on {measured} boards in {plan.leaderboards}; next: vibench report "
        f"--leaderboards {plan.leaderboards} --runs {plan.out / 'runs'} -o {plan.out / 'report.html'}",
        soft_wrap=True,
        markup=False,
    )
    return update.failure


def _report(jobs: Sequence[Job], result: Result) -> None:
    from vibench.cli.console import err, out

    for failure in result.failed:
        err.print(
            f"failed: {failure.job.kind} {failure.job.label}, {failure.failures} times; {failure.log} ends with:",
            soft_wrap=True,
            markup=False,
        )
        for line in failure.last_lines:
            err.print(f"    {line}", soft_wrap=True, markup=False)
    for job in result.blocked:
        err.print(f"not begun: {job.kind} {job.label}, because a job it needs failed", soft_wrap=True, markup=False)
    if result.failed:
        raise VibenchError(
            f"{len(result.failed)} of {len(jobs)} jobs failed and {len(result.blocked)} could not begin; "
            f"the others are done. The same command tries them again."
        )
    out.print(f"all {len(jobs)} jobs are done", soft_wrap=True, markup=False)
