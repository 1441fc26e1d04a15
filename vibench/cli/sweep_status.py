"""The tables of ``vibench sweep --status`` and ``--dry-run``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from vibench.sweep.estimate import Estimate
    from vibench.sweep.job import Job
    from vibench.sweep.status import Standing

REFRESH_SECONDS = 2.0
SILENT_SECONDS = 30.0
"""After which it is worth saying that a job at work has not been heard of: it beats every few."""
_STYLES = {"running": "cyan", "queued": "blue", "done": "green", "failed": "bold red", "lost": "bold red"}
_URGENCY = ("failed", "lost", "running", "stopped", "queued", "waiting", "done")


def show_status(out: Path, plan: str) -> None:
    """Print how the jobs of a plan stand; on a terminal again and again, until all are settled or Ctrl-C."""
    import time

    from rich.live import Live

    from vibench.cli.console import out as console
    from vibench.sweep.status import standings

    found = standings(out, plan)
    if not console.is_terminal:
        console.print(_status_table(found, len(found)))
        return
    # A live table cannot scroll: what needs attention stays, and the caption counts the rest.
    with Live(_status_table(found, console.height - 6), console=console, auto_refresh=False) as live:
        while any(one.state not in ("done", "failed") for one in found):
            try:
                time.sleep(REFRESH_SECONDS)
            except KeyboardInterrupt:
                return
            found = standings(out, plan)
            live.update(_status_table(found, console.height - 6), refresh=True)


def show_dry_run(out: Path, jobs: Sequence[Job]) -> None:
    """Print all jobs with their states and estimated costs."""
    from vibench.cli.console import out as console
    from vibench.sweep.attempts import Watch
    from vibench.sweep.estimate import estimate
    from vibench.sweep.states import job_state

    watch = Watch(1.0)
    states = {job.id: job_state(out, job, watch.alive).name for job in jobs}
    estimates = estimate(out, jobs)
    table = _table("job", "kind", "state", "images to train", "time")
    for job in jobs:
        cost = estimates.get(job.id)
        todo = cost is not None and cost.images > 0
        images = f"{cost.images:,}" if cost and todo else ""
        seconds = cost.seconds if cost and todo else None
        table.add_row(_escaped(job.label), job.kind, _state(states[job.id]), images, _duration(seconds))
    console.print(table)
    for line in _totals([states[job.id] for job in jobs], list(estimates.values())):
        console.print(line, soft_wrap=True, markup=False)


def _totals(states: Sequence[str], estimates: Sequence[Estimate]) -> list[str]:
    done = states.count("done")
    lines = [f"{len(states)} jobs, {done} done, {len(states) - done} to do; nothing was started."]
    todo = [one for one in estimates if one.images]
    images = sum(one.images for one in todo)
    known = [one for one in todo if one.seconds is not None]
    if todo:
        lines.append(f"{len(todo)} trainings see {images:,} images (steps times images per step): a relative measure.")
    if known:
        runs = {one.measured for one in known if one.measured is not None}
        devices = ", ".join(sorted({device for one in runs for device in one.devices}))
        lines.append(
            f"{len(known)} of them take {_duration(sum(one.seconds or 0.0 for one in known))} one after another, by "
            f"the speed of {sum(one.runs for one in runs)} finished runs here of the same method, variant, input size "
            f"and precision (on {devices}); evaluation and start-up are not in it."
        )
    elif todo:
        lines.append("No finished run here of the same method says how long an image takes, so there are no times.")
    return lines


def _status_table(found: Sequence[Standing], rows: int) -> Table:
    from vibench.sweep.status import counts

    table = _table("state", "kind", "job", "what")
    urgent = sorted(found, key=lambda one: _URGENCY.index(one.state))
    shown = found if len(found) <= rows else urgent[: max(1, rows)]
    for one in shown:
        table.add_row(_state(one.state), one.job.kind, _escaped(one.job.label), _escaped(_what(one)))
    # What is said of one job folds before the name of another does.
    table.columns[2].min_width = min(30, max((len(one.job.label) for one in shown), default=0))
    told = ", ".join(f"{number} {name}" for name, number in counts(found).items())
    hidden = f"; {len(found) - len(shown)} jobs not shown" if len(shown) < len(found) else ""
    at_work = {"running", "queued"} & {one.state for one in found}
    resting = not at_work and any(one.state != "done" for one in found)
    # Between two jobs nothing is at work either.
    how = "; if the sweep has ended, the command without --status goes on" if resting else ""
    table.caption = f"{len(found)} jobs: {told}{hidden}{how}"
    table.caption_justify = "left"
    return table


def _what(one: Standing) -> str:
    """What a job is doing and where, how long it took, or why and how often it failed."""
    if one.state == "done":
        return _duration(one.seconds)
    silent = one.heartbeat is not None and one.heartbeat >= SILENT_SECONDS
    parts = (
        f"failed {one.failures}x" if one.failures else "",
        one.detail,
        f"silent for {_duration(one.heartbeat)}" if silent else "",
        one.where,
    )
    return ", ".join(part for part in parts if part)


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(header_style="bold", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        right = column in ("images to train", "time")
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    return table


def _state(name: str) -> str:
    style = _STYLES.get(name)
    return f"[{style}]{name}[/]" if style else name


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _duration(seconds: float | None) -> str:
    """Such as ``40 s``, ``12 min`` or ``3.2 h``; empty for None."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
