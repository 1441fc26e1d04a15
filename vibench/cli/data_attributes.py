"""``vibench data attributes``: read attribute labels, say whom they describe, keep them beside the images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vibench.cli.options import DatasetName, DatasetRoot

if TYPE_CHECKING:
    from vibench.data.attribute_sources import Coverage


def attributes(
    dataset: DatasetName,
    source: Annotated[
        str, typer.Option("--from", metavar="DIR|FILE|twin", help="Official label files, a CSV file, or the twin's.")
    ],
    root: DatasetRoot = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; default ROOT/attributes.csv.")] = None,
    identity_level: Annotated[
        bool, typer.Option("--identity-level", help="One code per person, by majority over the cameras.")
    ] = False,
) -> None:
    """Read the eight attribute labels of people and write them where training finds them.

    --from is the folder of the official cam1_att.mat to cam6_att.mat of SYSU-MM01, a CSV file with the columns pid,
    the eight attributes as 0 or 1 and perhaps camera, or the word twin. Says who is not labelled.

    Example: vibench data attributes --dataset sysu-mm01 --root ~/SYSU-MM01 --from PAENet_Attribute/sysu_attribute
    """
    from rich.markup import escape
    from rich.table import Table

    from vibench.cli.console import out, show
    from vibench.data.attribute_sources import coverage, read_source
    from vibench.data.attributes import FILE_NAME, write_attributes
    from vibench.datasets.registry import dataset_root, get_dataset
    from vibench.files.places import keeping, require_writable

    chosen = get_dataset(dataset)
    folder = dataset_root(dataset, root)
    target = output or folder / FILE_NAME
    if folder.is_dir():  # else what is wrong is --root
        require_writable(target, "-o")
    index = chosen.index(folder, missing_ok=True)
    labels = read_source(source, chosen, folder, index)
    if identity_level:
        labels = labels.identity_level()
    parts = coverage(labels, index)

    table = Table(title=escape(f"attributes of {chosen.title} in {folder}"))
    for column in ("part", "identities", "without label", "identity × camera", "without label", "codes"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for part in parts:
        unlabelled = part.pairs - part.labelled_pairs
        numbers = (part.identities, len(part.missing), part.pairs, unlabelled, part.codes)
        table.add_row(part.part, *map(str, numbers))
    show(table)
    for part in parts:
        for line in _missing(part):
            out.print(escape(line), soft_wrap=True)
    with keeping() as keep:
        keep(target, partial(write_attributes, table=labels))
    out.print(escape(f"{len(labels)} labels: {target}"), soft_wrap=True)


def _missing(part: Coverage) -> list[str]:
    lines = []
    if part.missing:
        lines.append(f"{part.part} identities without any label: {', '.join(map(str, part.missing))}")
    if part.missing_pairs:
        pairs = ", ".join(f"{pid} in camera {camera}" for pid, camera in part.missing_pairs)
        lines.append(f"{part.part} identities without label: {pairs}")
    return lines
