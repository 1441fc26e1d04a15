"""``vibench data``: the commands about data sets."""

from __future__ import annotations

from collections.abc import Callable

import typer

from vibench.cli.data_attributes import attributes
from vibench.cli.data_cache import cache
from vibench.cli.data_check import check
from vibench.cli.data_heatmaps import heatmaps
from vibench.cli.data_info import info
from vibench.cli.data_twin import twin
from vibench.cli.prose import prose

COMMANDS: dict[str, Callable[..., None]] = {
    "twin": twin,
    "check": check,
    "cache": cache,
    "info": info,
    "attributes": attributes,
    "heatmaps": heatmaps,
}

data = typer.Typer(
    name="data",
    help="Make a twin; check a copy of a data set; build the image cache; add attributes and keypoints; count.\n\n"
    "Example: vibench data twin --scale small --out data/sysu-mm01-twin",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, command in COMMANDS.items():
    data.command(name, help=prose(command))(command)
