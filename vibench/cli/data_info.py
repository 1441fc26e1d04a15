"""``vibench data info``: what a copy of a data set holds."""

from __future__ import annotations

from typing import Annotated

import typer

from vibench.cli.options import DatasetName, DatasetRoot


def info(
    dataset: DatasetName,
    root: DatasetRoot = None,
    trial: Annotated[int | None, typer.Option("--trial", help="Train/test split, RegDB only: 1 to 10.")] = None,
) -> None:
    """Show the identities and images of every split, modality and camera, and which labels lie beside them.

    Example: vibench data info --dataset regdb --root ~/RegDB --trial 1
    """
    from rich.markup import escape
    from rich.table import Table

    from vibench.cli.console import out, show
    from vibench.data.attributes import find_attributes
    from vibench.data.heatmaps import find_heatmaps
    from vibench.datasets.registry import dataset_root, get_dataset
    from vibench.datasets.summary import summarise

    chosen = get_dataset(dataset)
    folder = dataset_root(dataset, root)
    summary = summarise(chosen.index(folder, trial))
    version = chosen.version(folder)
    table = Table(title=escape(f"{chosen.title}{f' {version}' if version else ''} in {folder}"))
    for column in summary.columns:
        table.add_column(column, justify="right" if column in ("identities", "images") else "left")
    for split, modality, camera, identities, images in summary.itertuples(index=False, name=None):
        total = not modality
        table.add_row(
            split,
            modality or "all",
            camera or "all",
            str(identities),
            str(images),
            end_section=total,
            style="bold" if total else None,
        )
    show(table)
    if chosen.video:
        out.print("test: tracklets, each as its first frame; unused: the further frames that are looked at")
    for need, found in (("attributes", find_attributes(chosen, folder)), ("heatmaps", find_heatmaps(chosen, folder))):
        place = f"none; 'vibench data {need}' makes them" if found is None else str(found)
        out.print(escape(f"{need}: {place}"), soft_wrap=True)
