"""What a board holds: every method, its own baseline, main rows of its ablation table, and its other evaluations."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.board.scale import REGDB, SYSU, Scale
from tests.methods.built_in import BUILT_IN
from vibench.methods.recipe import load_recipe, recipe_sha256

BASELINES = {
    "agw": "baseline",
    "caj": "caj:no-channel",
    "cal": "cal:baseline",
    "cm-ssft": "cm-ssft:shl",
    "ddag": "baseline",
    "deen": "deen:base",
    "hct": "hct:global",
    "mmd": "mmd:no-mmd",
    "mpanet": "mpanet:b",
    "paenet": "mmd",
    "pmt": "pmt:base",
    "pose": "pose:baseline",
}
"""What each method's paper starts from. AGW's and DDAG's first rows are the method `baseline`; PAENet's host is MMD."""


@dataclass(frozen=True)
class Row:
    """A variant of a method with the evaluations of its runs."""

    name: str
    """``METHOD`` or ``METHOD:VARIANT``."""
    query_modes: tuple[str, ...] = ("all",)
    test_attributes: tuple[str, ...] = ("",)
    features: tuple[str, ...] = ("",)

    @property
    def method(self) -> str:
        """Name of the method."""
        return self.name.partition(":")[0]

    @property
    def variant(self) -> str:
        """Name of the variant; empty for the default one."""
        return self.name.partition(":")[2]


ABLATIONS = (
    Row("cal:baseline"),
    Row("cal:tca", features=("", "parts")),
    Row("cal:kd1", features=("", "parts")),
    Row("cal:kd2", features=("", "parts")),
    Row("paenet:pae", test_attributes=("pred", "gt")),
    Row("paenet:aal"),
    Row("pose:baseline"),
    Row("pose:peb"),
    Row("pose:peb-pose"),
    Row("ddag:b-p"),
    Row("ddag:b-g"),
    Row("cm-ssft:shl-spl"),
    Row("cm-ssft:shl-spl-moa"),
    Row("cm-ssft:shl-spl-moa-pa"),
    Row("cm-ssft:shl-spl-moa-pa-re"),
)
"""Between a baseline and its method, and baselines with changes of their own."""

_METHODS = {
    "cal": Row("cal", features=("", "parts")),
    "pose": Row("pose", features=("", "id")),
    "paenet": Row("paenet", test_attributes=("pred", "const", "gt", "shuffle")),
    "cm-ssft": Row("cm-ssft", query_modes=("all", "single")),
}
"""Those with more than one evaluation, which are the slow ones."""


_ORDER = (*(name for name in BUILT_IN if name not in _METHODS), *_METHODS)


def sysu_rows() -> list[Row]:
    """Methods with what they start from, slow ones last."""
    between = {row.name: row for row in ABLATIONS}
    rows: dict[str, Row] = {}
    for name in _ORDER:
        baseline = BASELINES.get(name, name)
        for one in (_METHODS.get(name, Row(name)), between.get(baseline) or _METHODS.get(baseline) or Row(baseline)):
            rows.setdefault(one.name, one)
    return list(rows.values())


def between_rows() -> list[Row]:
    """What lies between a method and what it starts from."""
    known = {row.name for row in sysu_rows()}
    return [row for row in ABLATIONS if row.name not in known]


def regdb_rows() -> list[Row]:
    """Every method as it is."""
    return [Row(name) for name in _ORDER]


Finished = Collection[tuple[str, int | None]]
"""SHA-256 of the recipe and seed of every run of which there are records already."""


def plan_toml(
    scale: Scale,
    roots: dict[str, str],
    *,
    out: str,
    leaderboards: str,
    starts: Mapping[str, str],
    workers: int,
    finished: Finished = (),
) -> str:
    """The plan of `vibench sweep` for a board, as TOML, without the runs that are ``finished``.

    ``starts``: what each backbone starts from, if anything.
    """
    lines = head(out, leaderboards, roots, workers, profile=True)
    # One seed of everything first, so that a board that is interrupted holds every method.
    sysu, regdb = scale.budgets[SYSU], scale.budgets[REGDB]
    blocks = (
        (SYSU, sysu_rows(), sysu.seeds[:1]),
        (REGDB, regdb_rows(), regdb.seeds),
        (SYSU, between_rows(), sysu.seeds[:1]),
        (SYSU, sysu_rows(), sysu.seeds[1:]),
        (SYSU, between_rows(), sysu.seeds[1:]),
    )
    for dataset, rows, seeds in blocks:
        for row in rows:
            settings = scale.settings(row.method, row.variant, dataset)
            sha256 = recipe_sha256(load_recipe(row.method, row.variant, dataset, settings))
            left = [seed for seed in seeds if (sha256, seed) not in finished]
            if left:
                lines += job(scale, row, dataset, left, starts)
    return "\n".join(lines) + "\n"


def head(out: str, leaderboards: str, roots: Mapping[str, str], workers: int, *, profile: bool) -> list[str]:
    """The lines of a plan before its jobs."""
    return [
        "[sweep]",
        f"out = {_text(out)}",
        f"leaderboards = {_text(leaderboards)}",
        'pretrained = "none"',
        f"profile = {str(profile).lower()}",
        "retries = 1",
        "",
        "[roots]",
        *(f"{name} = {_text(root)}" for name, root in roots.items()),
        "",
        "[executor]",
        'kind = "local"',
        f"workers = {workers}",
    ]


def job(
    scale: Scale,
    row: Row,
    dataset: str,
    seeds: Sequence[int],
    starts: Mapping[str, str],
    protocols: Sequence[str] = (),
) -> list[str]:
    """The lines of a plan for the runs of a row, evaluated under ``protocols``, by default all of the data set."""
    budget = scale.budgets[dataset]
    return [
        "",
        "[[jobs]]",
        f"methods = {_texts([row.name])}",
        f"datasets = {_texts([dataset])}",
        *(f"pretrained = {_text(start)}" for start in _start(scale, row, starts)),
        f"seeds = {list(seeds)}",
        f"trials = {list(budget.trials)}",
        f"protocols = {_texts(protocols)}",
        f"draws = {_texts(budget.draws)}",
        f"set = {_texts(scale.settings(row.method, row.variant, dataset))}",
        f"query_modes = {_texts(row.query_modes)}",
        f"test_attributes = {_texts(row.test_attributes)}",
        f"features = {_texts(row.features)}",
    ]


def _start(scale: Scale, row: Row, starts: Mapping[str, str]) -> list[str]:
    backbone = scale.backbone(row.method)
    return [starts[backbone]] if backbone in starts else []


def _text(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _texts(values: Sequence[str]) -> str:
    return f"[{', '.join(_text(value) for value in values)}]"
