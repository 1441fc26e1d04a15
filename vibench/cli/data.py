"""``vibench data``: the commands about data sets."""

from __future__ import annotations

import typer

from vibench.cli.data_attributes import attributes
from vibench.cli.data_cache import cache
from vibench.cli.data_check import check
from vibench.cli.data_heatmaps import heatmaps
from vibench.cli.data_info import info
from vibench.cli.data_twin import twin

data = typer.Typer(
    name="data",
    help="Make a synthetic twin; verify a data set's copy; build the image cache; add labels and keypoints; show all.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data.command("twin")(twin)
data.command("check")(check)
data.command("cache")(cache)
data.command("info")(info)
data.command("attributes")(attributes)
data.command("heatmaps")(heatmaps)
