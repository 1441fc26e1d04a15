"""``vibench demo``: everything at once, on synthetic data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vibench.cli.options import Device

if TYPE_CHECKING:
    from vibench.records.schema import Record


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("vibench-demo"),
    scale: Annotated[str, typer.Option(help="small (minutes) or tiny (seconds, proves only that it runs).")] = "small",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the data and of training.")] = 0,
    device: Device = "auto",
    amp: Annotated[str, typer.Option(help="Precision: auto, off, bf16 or fp16.")] = "auto",
) -> None:
    """Render synthetic people, train baseline and AGW on them, evaluate every protocol, show the leaderboards.

    Takes about four minutes on two CPU cores. Started again in the same folder, it goes on where it stopped.

    Example: vibench demo --out vibench-demo
    """
    import time

    from vibench.cli.console import err, progress
    from vibench.cli.console import out as console
    from vibench.cli.console import show as show_table
    from vibench.cli.records_table import records_table
    from vibench.demo import run_demo
    from vibench.files.places import require_folder
    from vibench.leaderboard.terminal import terminal_table

    require_folder(out, "--out")
    start = time.monotonic()

    def say(line: str) -> None:
        err.print(f"[dim]{time.monotonic() - start:4.0f} s[/]  {line}", soft_wrap=True)

    def show(records: list[Record]) -> None:
        show_table(records_table(records))

    boards = run_demo(out, scale=scale, seed=seed, device=device, amp=amp, progress=progress, say=say, show=show)
    for board in boards:
        console.print()
        show_table(terminal_table(board, console.width))
    say("done")
    run, pictures = out / "runs" / "sysu-mm01-twin" / f"agw-s{seed}", out / "data" / "sysu-mm01-twin"
    console.print(
        "\nThe people are synthetic: compare these rows with each other, not with papers. "
        f"Look next at the page {out / 'report.html'} and at the pictures in {pictures}; then try: "
        f"vibench eval {run} --protocol sysu-all --rerank k-reciprocal --leaderboards {out / 'leaderboards'}",
        soft_wrap=True,
        markup=False,
    )
