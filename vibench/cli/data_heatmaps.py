"""``vibench data heatmaps``: draw keypoint heatmaps and keep them beside the images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from vibench.cli.options import DatasetName, DatasetRoot


def heatmaps(
    dataset: DatasetName,
    source: Annotated[
        str, typer.Option("--from", metavar="FILE|twin|keypointrcnn", help="Where the keypoints come from.")
    ],
    root: DatasetRoot = None,
    height: Annotated[
        int, typer.Option("--height", help="Height of the network's input in pixels; a heatmap has a quarter.")
    ] = 288,
    width: Annotated[int, typer.Option("--width", help="Its width.")] = 144,
    channels: Annotated[int, typer.Option("--channels", help="1: all joints merged; 17: one per joint of COCO.")] = 1,
    sigma: Annotated[
        float, typer.Option("--sigma", help="Radius of a joint, in cells of a heatmap 72 cells high.")
    ] = 2.0,
    confidence: Annotated[float, typer.Option("--confidence", help="Leave out joints that are less sure.")] = 0.3,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="State dict for keypointrcnn; default torchvision's download.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="Of keypointrcnn: auto, cpu or cuda.")] = "auto",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; default ROOT/heatmaps.npz.")] = None,
) -> None:
    """Draw the keypoint heatmaps that some methods train on and write them where training finds them.

    --from is a .json file, COCO's keypoint annotations or a list of detections; an .npz file with keypoints (images,
    joints, 3) or ready heatmaps, and paths; the word twin; or keypointrcnn, which finds the joints with torchvision's
    network. Images are named by their path below the data set's folder. A twin needs none of this: its keypoints are
    drawn when training starts.

    Example: vibench data heatmaps --dataset sysu-mm01 --root ~/SYSU-MM01 --from coco.json --height 288 --width 144
    """
    from rich.markup import escape
    from rich.table import Table

    from vibench.cli.console import out, progress, show
    from vibench.data.heatmap_sources import Detector, HeatmapForm, source_heatmaps, summarise_heatmaps
    from vibench.data.heatmaps import FILE_NAME, write_heatmaps
    from vibench.datasets.registry import dataset_root, get_dataset
    from vibench.files.places import keeping, require_writable
    from vibench.runtime.devices import resolve_device

    form = HeatmapForm(height, width, channels, sigma, confidence)
    chosen = get_dataset(dataset)
    folder = dataset_root(dataset, root)
    target = output or folder / FILE_NAME
    if folder.is_dir():  # else what is wrong is --root
        require_writable(target, "-o")
    detector = Detector(resolve_device(device), weights)
    found = source_heatmaps(source, chosen, folder, form, detector, progress)

    table = Table(title=escape(f"keypoints of {chosen.title} in {folder}"))
    for column in ("modality", "images", "with keypoints", "mean confidence"):
        table.add_column(column, justify="left" if column == "modality" else "right")
    for part in summarise_heatmaps(found):
        sure = "-" if part.confidence is None else f"{part.confidence:.2f}"
        table.add_row(part.modality, str(part.images), str(part.known), sure)
    show(table)
    with keeping() as keep:
        keep(target, partial(write_heatmaps, heatmaps=found.heatmaps, paths=found.index["path"].tolist()))
    cells = " x ".join(map(str, found.heatmaps.maps.shape))
    out.print(escape(f"{cells} heatmaps: {target}"), soft_wrap=True)
