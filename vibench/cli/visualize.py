"""``vibench visualize``: pictures of what a trained model does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vibench.cli.options import Amp, Device, MovedRoot
from vibench.errors import UsageError


def visualize(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write the PNG files into.")],
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="A run folder of 'vibench train'.")] = None,
    method: Annotated[str | None, typer.Option(help="With --checkpoint: the method it must be of.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="A checkpoint file instead.")] = None,
    protocol: Annotated[
        str | None, typer.Option(help="A protocol of 'vibench protocols'. Default: the data set's first.")
    ] = None,
    what: Annotated[
        str, typer.Option(help="ranked, tsne, distances, gradcam, cmc, parts (the method's own pictures) or all.")
    ] = "all",
    queries: Annotated[
        str,
        typer.Option(
            metavar="random|best|worst|PATH,...",
            help="Whose ranked lists: a selection, or paths of query images; several with commas. Grad-CAM and parts "
            "take the first selection.",
        ),
    ] = "random,best,worst",
    count: Annotated[
        int, typer.Option(help="Queries per selection; best and worst show everybody once before anybody twice.")
    ] = 5,
    trial: Annotated[
        int | None,
        typer.Option(
            help="The gallery draw to show, from 0; on RegDB the train/test split, from 1. Default: the first."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of random queries, and of what is left out where there is too much.")
    ] = 0,
    dataset: Annotated[str | None, typer.Option(help="Data set to test on. Default: that RUN was trained on.")] = None,
    root: MovedRoot = None,
    device: Device = "auto",
    amp: Amp = "auto",
) -> None:
    """Draw ranked lists, distances, t-SNE, Grad-CAM, the CMC curve, and what only the method of RUN has.

    In the place of Grad-CAM, a transformer has its attention roll-out.

    Example: vibench visualize runs/sysu-mm01/agw-s0 --queries worst -o pictures
    """
    if (run is None) == (checkpoint is None):
        raise UsageError("name either RUN or --checkpoint; see 'vibench visualize --help'.")
    from vibench.cli.console import err, out, progress
    from vibench.files.places import require_folder
    from vibench.pictures.figure import require_matplotlib
    from vibench.protocols import HEADLINE_PROTOCOLS, load_protocol
    from vibench.visualize.gallery import visualize as draw
    from vibench.visualize.pictured_run import find_model, picture_run
    from vibench.visualize.request import ALL, WHAT, PictureRequest, left_out

    require_matplotlib()
    require_folder(output, "-o")
    model, number = find_model(run, checkpoint, root, trial, dataset)
    if method is not None and method != model.checkpoint.method:
        raise UsageError(f"{model.path}: is a checkpoint of {model.checkpoint.method}, not of --method {method}.")
    rules = load_protocol(protocol or HEADLINE_PROTOCOLS[model.dataset.layout])
    words = tuple(word.strip() for word in queries.split(",") if word.strip())
    request = PictureRequest(what, words, count, number, seed)
    pictured = picture_run(model, rules, request, device=device, amp=amp, progress=progress)
    for path in draw(pictured, request, output, progress=progress):
        out.print(str(path), soft_wrap=True, markup=False)
    for reason in (left_out(pictured.method, name) for name in WHAT if what == ALL):
        if reason:
            err.print(f"left out: {reason}", soft_wrap=True, markup=False)
