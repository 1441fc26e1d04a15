"""``vibench compare``: is one method really better than another?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vibench.cli.options import CorruptModality, Leaderboards


def compare(
    sides: Annotated[
        list[str],
        typer.Argument(
            metavar="A B [C ...]",
            help="Each a record file, a record id or its beginning, a method such as agw or ddag:b-p, or several "
            "of these joined by commas: runs of one method.",
        ),
    ],
    protocol: Annotated[
        str, typer.Option("--protocol", help="Where a method is named: its records under this protocol.")
    ] = "",
    dataset: Annotated[str, typer.Option("--dataset", help="Likewise: on this data set, such as sysu-mm01-twin.")] = "",
    draw: Annotated[str, typer.Option("--draw", help="Likewise: of this draw, seeded or official.")] = "",
    query_mode: Annotated[
        str, typer.Option("--query-mode", help="Likewise: in this query mode, all or single.")
    ] = "all",
    rerank: Annotated[
        str, typer.Option("--rerank", help="Likewise: with this re-ranking, none or k-reciprocal.")
    ] = "none",
    corrupt: Annotated[
        str | None,
        typer.Option("--corrupt", metavar="KIND", help="Likewise: of images so corrupted, such as mixed or rain:3."),
    ] = None,
    corrupt_modality: CorruptModality = None,
    breakdown: Annotated[
        bool | None,
        typer.Option(
            "--breakdown/--no-breakdown",
            help="Show differences by query camera, gallery camera and trial. Default: for two methods, not for more.",
            show_default=False,
        ),
    ] = None,
    resamples: Annotated[
        int, typer.Option("--resamples", min=100, metavar="N", help="Bootstrap resamples and sign flips.")
    ] = 10000,
    level: Annotated[
        float, typer.Option("--level", metavar="X", help="Confidence level of the intervals, 0.5 to 0.999.")
    ] = 0.95,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Seed of the resampling.")] = 0,
    json_: Annotated[
        Path | None,
        typer.Option("--json", metavar="OUT", help="Write the comparison as JSON as well; scores as fractions."),
    ] = None,
    leaderboards: Leaderboards = None,
) -> None:
    """Compare methods query by query: difference in mAP and rank-1, its interval and p, and whether it is noise.

    Several runs (seeds) of a method are averaged query by query. Intervals resample identities, p values swap the two
    methods identity by identity, and Holm's correction covers all pairs. The exit code is 0 whatever the outcome.

    Example: vibench compare agw ddag:b-p --protocol sysu-all
    """
    from dataclasses import asdict
    from functools import partial

    from rich.markup import escape

    from vibench.cli.comparison_tables import differences_table, parts_tables, verdicts
    from vibench.cli.console import err, out, progress, show
    from vibench.errors import UsageError
    from vibench.files.places import keeping, require_writable
    from vibench.files.writing import write_json
    from vibench.records.comparison import compare as compare_runs
    from vibench.records.selection import Wanted, select, wanted_corruption
    from vibench.records.significance import Resampling
    from vibench.records.store import find_records, leaderboards_folder

    if len(sides) < 2:
        raise UsageError(
            f"{' '.join(sides)}: name two methods or records at least, such as 'vibench compare agw ddag'."
        )
    if not 0.5 <= level <= 0.999:
        raise UsageError(f"--level {level}: give a number from 0.5 to 0.999.")
    corruption = wanted_corruption(protocol, corrupt, corrupt_modality)
    if json_ is not None:
        require_writable(json_, "--json")
    stored, problems = find_records(leaderboards_folder(leaderboards))
    wanted = Wanted(dataset, protocol, draw, query_mode, rerank, corruption)
    chosen = [select(side, stored, wanted) for side in sides]
    result = compare_runs(chosen, Resampling(resamples, seed, level), breakdown=breakdown, progress=progress)
    show(differences_table(result))
    for table in parts_tables(result):
        out.print()
        show(table)
    out.print()
    for verdict in verdicts(result):
        out.print(escape(verdict), soft_wrap=True)
    for note in result.notes:
        out.print(f"note: {note}", soft_wrap=True, markup=False)
    if problems:
        err.print(f"attention: {len(problems)} files of the store were passed over; see 'vibench leaderboard'.")
    if json_ is not None:
        with keeping() as keep:
            keep(json_, partial(write_json, value=asdict(result)))
