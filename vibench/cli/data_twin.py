"""``vibench data twin``: render a synthetic data set, or a contact sheet of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from vibench.datasets.listing import is_number
from vibench.errors import UsageError

_SUFFIX = "-twin"


def twin(
    dataset: Annotated[str, typer.Option(help="Layout: sysu-mm01, regdb, hitsz-vcm or buptcampus.")] = "sysu-mm01",
    scale: Annotated[str, typer.Option(help="tiny (tests), demo, small or full (the real counts).")] = "small",
    seed: Annotated[int, typer.Option(help="Another seed makes other people and places.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder to make, such as data/sysu-mm01-twin.")] = None,
    size: Annotated[str | None, typer.Option(help="Nominal image size HxW; default by scale.")] = None,
    harder: Annotated[
        str | None,
        typer.Option(help="One property harder: occlusion, pose, misalignment or look-alikes, and :1, :2 or :3."),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; default one per core, where they pay.")] = None,
    preview: Annotated[Path | None, typer.Option(help="Also draw a contact sheet to this image file.")] = None,
) -> None:
    """Render synthetic people in the exact layout of a real data set, with ground truth under truth/.

    The same seed gives the same bytes on any number of processes. Without --out only the contact sheet is drawn.

    Example: vibench data twin --dataset sysu-mm01 --scale small --seed 0 --out data/sysu-mm01-twin
    """
    from vibench.cli.console import out as console
    from vibench.cli.console import progress
    from vibench.datasets.twin.harder import parse_harder
    from vibench.datasets.twin.make import make_twin, twin_exists
    from vibench.datasets.twin.preview import write_preview
    from vibench.files.places import require_folder, require_writable

    if out is None and preview is None:
        raise UsageError("nothing to make: give --out FOLDER, --preview IMAGE or both")
    layout = dataset.removesuffix(_SUFFIX)
    harder_in = parse_harder(harder) if harder is not None else None
    pixels = _parse_size(size) if size is not None else None
    if preview is not None:
        require_writable(preview, "--preview")
    if out is not None and not os.path.exists(out):  # noqa: PTH110  (a name that is too long is no error here)
        require_folder(out, "--out")
    if preview is not None:
        write_preview(preview, layout, seed, size=pixels, harder=harder_in)
        console.print(f"contact sheet: {preview}", soft_wrap=True)
    if out is not None:
        if twin_exists(layout, scale, seed, out, pixels, harder_in):
            console.print(f"{out} already holds this twin; nothing to do", soft_wrap=True)
            return
        make_twin(layout, scale, seed, out, workers, pixels, progress, harder_in)
        told = f", harder in {harder_in}" if harder_in is not None else ""
        console.print(f"{layout} twin, scale {scale}, seed {seed}{told}: {out}", soft_wrap=True)


def _parse_size(text: str) -> tuple[int, int]:
    height, cross, width = text.lower().partition("x")
    if not cross or not (is_number(height) and is_number(width)):
        raise UsageError(f"--size {text!r} is no size; write height x width, e.g. 288x144")
    return int(height), int(width)
