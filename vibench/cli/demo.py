"""``vibench demo``: everything at once, on synthetic data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from PIL import Image


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("vibench-demo"),
    minutes: Annotated[
        float | None, typer.Option(help="How long it may take, 0.5 to 60.", show_default="2, or as begun")
    ] = None,
    scale: Annotated[str, typer.Option(help="demo, or tiny (seconds, proves only that it runs).")] = "demo",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the data and of training.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    amp: Annotated[str, typer.Option(help="Precision: auto (the fastest here), off, bf16 or fp16.")] = "auto",
) -> None:
    """Render synthetic people, let baseline and AGW learn to find them, compare the two, show it all on one page.

    Trains as long as the minutes allow on this machine. Started again in the same folder, it goes on where it stopped.

    Example: vibench demo --out vibench-demo
    """
    import time

    start = time.monotonic()

    from rich.markup import escape

    from vibench.cli.comparison_tables import brief_verdict
    from vibench.cli.console import err, progress
    from vibench.cli.console import out as console
    from vibench.cli.console import show as show_table
    from vibench.cli.half_blocks import half_blocks
    from vibench.demo import PROTOCOLS, run_demo
    from vibench.files.places import require_folder
    from vibench.leaderboard.terminal import terminal_table

    def say(line: str) -> None:
        indented = escape(line).replace("\n", "\n" + " " * 8)
        err.print(f"[dim]{time.monotonic() - start:4.0f} s[/]  {indented}", soft_wrap=True)

    def show(picture: Image.Image, captions: list[str]) -> None:
        if err.color_system == "truecolor" and err.width >= picture.width:
            err.print()
            err.print(half_blocks(picture), end="")
            err.print(
                "".join(caption.center(picture.width // len(captions)) for caption in captions) + "\n", style="dim"
            )

    require_folder(out, "--out")
    done = run_demo(
        out, minutes=minutes, scale=scale, seed=seed, device=device, amp=amp, progress=progress, say=say, show=show
    )
    for board in done.boards:
        console.print()
        show_table(terminal_table(board, console.width))
        if board.protocol in done.comparisons:
            console.print(brief_verdict(done.comparisons[board.protocol]))
    identities = done.comparisons[PROTOCOLS[0]].identities
    console.print(
        "\nNoise here is what other people to be found would change; in brackets, 95 % intervals of it. Each method "
        "was trained once: another seed may still turn their order around. Guessing puts the right person first in "
        f"one of {identities} searches. All people are synthetic: compare these rows with each other, not with papers. "
        "For real images see 'vibench train --help'.\n"
    )
    again = f"vibench eval {done.run} --protocol sysu-all --rerank k-reciprocal --leaderboards {done.leaderboards}"
    if done.page is not None:
        console.print(f"[bold]All on one page:[/] {escape(str(done.page))}", soft_wrap=True)
    console.print(f"[bold]Next, re-rank:[/] {escape(again)}", soft_wrap=True)
    console.print(
        "[bold]Then your own:[/] vibench eval --features FILE.npz --name NAME --protocol sysu-all", soft_wrap=True
    )
