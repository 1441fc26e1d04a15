"""Options that mean the same in every command that has them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Amp = Annotated[str, typer.Option("--amp", help="Precision: auto (the recipe's), off, bf16 or fp16.")]
Tf32 = Annotated[bool, typer.Option("--tf32", help="Let float32 round to TF32 on a GPU; records say so.")]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="Repeatable algorithms on a GPU too, slower; records say so.")
]
DatasetName = Annotated[str, typer.Option("--dataset", "-d", help="Data set, e.g. sysu-mm01.")]
DatasetRoot = Annotated[
    Path | None, typer.Option("--root", help="Its folder; default $VIBENCH_DATA/DATASET or data/DATASET.")
]
MovedRoot = Annotated[
    Path | None, typer.Option("--root", help="Folder of the data set, if it has moved since training.")
]
CorruptModality = Annotated[
    str | None,
    typer.Option(
        "--corrupt-modality", help="Whose images --corrupt concerns: visible, infrared or both. Default: visible."
    ),
]
Leaderboards = Annotated[
    Path | None,
    typer.Option(
        "--leaderboards", help="Folder of records and boards; else $VIBENCH_LEADERBOARDS, else leaderboards/."
    ),
]
