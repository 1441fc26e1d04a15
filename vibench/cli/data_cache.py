"""``vibench data cache``: decode and resize every image once."""

from __future__ import annotations

from typing import Annotated

import typer

from vibench.cli.options import DatasetName, DatasetRoot


def cache(
    dataset: DatasetName,
    root: DatasetRoot = None,
    size: Annotated[str, typer.Option("--size", help="HEIGHTxWIDTH of the cached images.")] = "288x144",
    interpolation: Annotated[str, typer.Option("--interpolation", help="lanczos or bilinear.")] = "lanczos",
    workers: Annotated[
        int | None, typer.Option("--workers", help="Worker processes; default one per core, where they pay.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare every checksum of an existing cache.")] = False,
) -> None:
    """Build the image cache, or confirm that it is up to date.

    Training builds it when needed; this command does it beforehand. An interrupted build goes on where it stopped.
    Caches lie in $VIBENCH_CACHE, else in ~/.cache/vibench.

    Example: vibench data cache --dataset sysu-mm01 --root ~/SYSU-MM01 --size 288x144
    """
    from rich.markup import escape

    from vibench.cli.console import out, progress
    from vibench.data.cache import open_cache, parse_size
    from vibench.datasets.registry import dataset_root, get_dataset

    height, width = parse_size(size)
    chosen = get_dataset(dataset)
    opened = open_cache(
        chosen,
        dataset_root(dataset, root),
        height,
        width,
        interpolation,
        workers=workers,
        progress=progress,
        verify=verify,
    )
    gigabytes = opened.images.nbytes / 1e9
    out.print(escape(f"{len(opened.images)} images, {gigabytes:.2f} GB, {opened.origin}"))
    out.print(escape(str(opened.folder)), soft_wrap=True)
