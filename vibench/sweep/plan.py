"""The plan of a sweep, ``PLAN.toml``: what to train and evaluate, and where.

::

    [sweep]
    out = "sweeps/first"                # folder of everything; relative to this file
    seeds = [0, 1, 2]
    retries = 2                         # how often a failed job is tried again, per start of the sweep
    amp = "bf16"                        # precision: auto | off | bf16 | fp16
    pretrained = "imagenet"             # imagenet | none | a weights file
    profile = true                      # measure what it costs, once per recipe
    allow_incomplete = true             # train and evaluate on copies that lack images, too
    set = ["schedule.epochs=40"]        # changes of every recipe

    [roots]                             # where data sets lie, if not in the default places
    sysu-mm01 = "/data/SYSU-MM01"

    [[jobs]]                            # each entry: methods x data sets x trials x seeds
    methods = ["agw", "ddag:b-p"]       # METHOD or METHOD:VARIANT, or all
    datasets = ["sysu-mm01", "regdb"]

    [[jobs]]
    methods = ["cm-ssft"]
    variants = ["all"]                  # of every method given without one
    datasets = ["sysu-mm01"]
    protocols = ["sysu-all"]            # default: every protocol of the data set
    query_modes = ["all", "single"]

    [executor]                          # default: this machine, one process per GPU
    kind = "slurm"
    partition = "gpu"
    gres = "gpu:1"
    time_minutes = 240

The sections and their keys are the dataclasses below; `Plan` holds them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vibench.errors import UsageError, suggestion
from vibench.files.toml import parse_table, read_toml

EVERY = "all"
"""In ``methods``: every method; in ``variants``: a method's default variant and every other one."""


@dataclass(frozen=True)
class SweepTable:
    """The ``[sweep]`` table."""

    out: str
    """Folder of the sweep; relative to the plan's folder."""
    seeds: tuple[int, ...] = (0,)
    """Of every entry that names none."""
    retries: int = 1
    """How often a failed job is tried again; every start of the sweep gives the retries anew."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"
    """Precision of training and of extraction."""
    pretrained: str = "imagenet"
    """``imagenet``, ``none`` or a weights file, relative to the plan's folder."""
    profile: bool = False
    """Measure what embedding, training and matching cost as well, once per recipe."""
    leaderboards: str = ""
    """Where records and boards go, relative to the plan's folder; default: ``leaderboards`` in ``out``."""
    allow_incomplete: bool = False
    """Train and evaluate on copies that lack images, into records without rank; else such a job fails."""
    plugins: tuple[str, ...] = ()
    """Folders or files of methods of one's own, relative to the plan's folder."""
    set: tuple[str, ...] = ()
    """Changes of every recipe, ``section.key=value``."""
    lost_after: float = 120.0
    """Seconds without a heartbeat after which the job of another machine counts as lost."""

    def __post_init__(self) -> None:
        if not self.out:
            raise ValueError("'out' must name a folder.")
        if self.retries < 0:
            raise ValueError(f"'retries' must be at least 0, not {self.retries}.")
        if not self.lost_after >= 10:
            raise ValueError(f"'lost_after' must be at least 10 seconds, not {self.lost_after}.")
        _check_seeds(self.seeds)
        if not self.seeds:
            raise ValueError("'seeds' must name at least one seed.")


@dataclass(frozen=True)
class JobsTable:
    """One ``[[jobs]]`` entry: every combination of its lists."""

    methods: tuple[str, ...]
    """``METHOD`` or ``METHOD:VARIANT``, or ``all``."""
    datasets: tuple[str, ...]
    variants: tuple[str, ...] = ("",)
    """Of the methods given without a variant: names, ``""`` for the default one, or ``all``."""
    trials: tuple[int, ...] = ()
    """Train/test splits, of data sets that have several; default: all of them."""
    seeds: tuple[int, ...] = ()
    """Default: those of ``[sweep]``."""
    set: tuple[str, ...] = ()
    """Changes of the recipe, laid over those of ``[sweep]``."""
    pretrained: str = ""
    """Default: that of ``[sweep]``."""
    protocols: tuple[str, ...] = ()
    """Default: every protocol of the data set, but for those of corrupted images."""
    query_modes: tuple[str, ...] = ("all",)
    test_attributes: tuple[str, ...] = ("",)
    """``pred``, ``gt``, ``const``, ``shuffle``; ``""``: the method's default."""
    features: tuple[str, ...] = ("",)
    """Named features of the method to rank; ``""``: its embedding."""
    draws: tuple[str, ...] = ("seeded",)
    reranks: tuple[str, ...] = ("none",)

    def __post_init__(self) -> None:
        for name in ("methods", "datasets", "variants", "query_modes", "test_attributes", "features", "draws"):
            _check_list(name, getattr(self, name))
        _check_list("reranks", self.reranks)
        _check_choices("query_modes", self.query_modes, ("all", "single"))
        _check_choices("draws", self.draws, ("seeded", "official"))
        _check_choices("reranks", self.reranks, ("none", "k-reciprocal"))
        _check_seeds(self.seeds)


@dataclass(frozen=True)
class LocalTable:
    """``[executor]`` with ``kind = "local"``: a pool of processes on this machine."""

    kind: Literal["local"] = "local"
    gpus: tuple[int, ...] = ()
    """Numbers of the GPUs to use; default: all that this process sees."""
    jobs_per_gpu: int = 1
    workers: int = 0
    """Processes at a time where no GPU is used; default: one."""
    cores: int = 0
    """Processor cores of each process; default: an equal share."""

    def __post_init__(self) -> None:
        for name in ("workers", "cores"):
            if getattr(self, name) < 0:
                raise ValueError(f"'{name}' must be at least 1, or 0 for the default, not {getattr(self, name)}.")
        if self.jobs_per_gpu < 1:
            raise ValueError(f"'jobs_per_gpu' must be at least 1, not {self.jobs_per_gpu}.")
        if len(set(self.gpus)) < len(self.gpus) or any(gpu < 0 for gpu in self.gpus):
            raise ValueError(f"'gpus' must be different numbers from 0 on, not {list(self.gpus)}.")


@dataclass(frozen=True)
class SlurmTable:
    """``[executor]`` with ``kind = "slurm"``: job arrays, submitted through submitit."""

    kind: Literal["slurm"]
    time_minutes: int = 60
    """Time limit of a job. One that is at work then saves its state, is queued again and goes on."""
    parallel: int = 256
    """Jobs of an array that run at a time."""
    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    gres: str = ""
    """Such as ``gpu:1`` or ``gpu:a100:1``."""
    cpus: int = 0
    """Processor cores of a job; default: the cluster's."""
    memory_gb: float = 0.0
    """Default: the cluster's."""
    signal_seconds: int = 90
    """How long before its time limit a job is told to save its state."""
    requeues: int = 1000
    """How often a job may reach its time limit and go on."""
    setup: tuple[str, ...] = ()
    """Shell lines before the job, such as ``module load cuda``."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further ``#SBATCH`` options by their long names: ``exclude = "node7"``; true for one without a value."""
    poll_seconds: float = 15.0
    """How often the queue is asked."""
    cluster: Literal["slurm", "local", "debug"] = "slurm"
    """``local`` and ``debug`` are submitit's stand-ins for a cluster: processes of this machine, or this process."""

    def __post_init__(self) -> None:
        for name in ("time_minutes", "parallel", "signal_seconds"):
            if getattr(self, name) < 1:
                raise ValueError(f"'{name}' must be at least 1, not {getattr(self, name)}.")
        for name in ("cpus", "memory_gb", "requeues"):
            if getattr(self, name) < 0:
                raise ValueError(f"'{name}' must be at least 0, not {getattr(self, name)}.")
        if not self.poll_seconds > 0:
            raise ValueError(f"'poll_seconds' must be above 0, not {self.poll_seconds}.")


@dataclass(frozen=True)
class Plan:
    """A whole plan."""

    sweep: SweepTable
    jobs: tuple[JobsTable, ...]
    executor: LocalTable | SlurmTable = field(default_factory=LocalTable)
    roots: dict[str, str] = field(default_factory=dict)
    """Folder per data set, relative to the plan's folder; default: `vibench.datasets.registry.dataset_root`."""
    folder: Path = Path()
    """What the plan's relative paths are relative to."""
    name: str = "plan"
    """The file's name without its ending; the sweep's lists are kept by it."""

    @property
    def out(self) -> Path:
        """The folder of the sweep, absolute."""
        return self.path(self.sweep.out)

    @property
    def leaderboards(self) -> Path:
        """Where records and boards go, absolute."""
        return self.path(self.sweep.leaderboards) if self.sweep.leaderboards else self.out / "leaderboards"

    def path(self, text: str) -> Path:
        """A path of the plan, absolute."""
        return (self.folder / Path(text).expanduser()).absolute()


_TABLES = ("sweep", "roots", "jobs", "executor")
_EXECUTORS = {"local": LocalTable, "slurm": SlurmTable}


def read_plan(path: Path) -> Plan:
    """Read and check a plan file; `UsageError` names the table and the key that is wrong.

    Whether methods, data sets and protocols exist is checked by `vibench.sweep.expansion.expand`.
    """
    tables = read_toml(path)
    for name in tables:
        if name not in _TABLES:
            raise UsageError(
                f"{path}: unknown table [{name}]{suggestion(name, _TABLES)}; the known ones are "
                "[sweep], [roots], [[jobs]] and [executor]."
            )
    if "sweep" not in tables:
        raise UsageError(f"{path}: the table [sweep] is missing; it must name the folder 'out'.")
    entries = tables.get("jobs")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"{path}: name what to train in at least one table [[jobs]], with two pairs of brackets.")
    jobs = tuple(
        parse_table(JobsTable, entry, f"{path}: [[jobs]] number {number}")
        for number, entry in enumerate(entries, start=1)
    )
    return Plan(
        sweep=parse_table(SweepTable, _table(tables["sweep"], f"{path}: [sweep]"), f"{path}: [sweep]"),
        jobs=jobs,
        executor=_executor(_table(tables.get("executor", {}), f"{path}: [executor]"), f"{path}: [executor]"),
        roots=_roots(_table(tables.get("roots", {}), f"{path}: [roots]"), f"{path}: [roots]"),
        folder=Path(path).absolute().parent,
        name=Path(path).stem,
    )


def _executor(table: dict[str, Any], where: str) -> LocalTable | SlurmTable:
    kind = table.get("kind", "local")
    if not isinstance(kind, str) or kind not in _EXECUTORS:
        near = suggestion(kind, tuple(_EXECUTORS)) if isinstance(kind, str) else ""
        raise UsageError(f"{where}: 'kind' must be one of {', '.join(map(repr, _EXECUTORS))}, not {kind!r}{near}.")
    return parse_table(_EXECUTORS[kind], table, where)


def _roots(table: dict[str, Any], where: str) -> dict[str, str]:
    from vibench.datasets.registry import dataset_names

    known = dataset_names()
    for name, root in table.items():
        if name not in known:
            raise UsageError(
                f"{where}: unknown data set '{name}'{suggestion(name, known)}; there are {', '.join(known)}."
            )
        if not isinstance(root, str):
            raise UsageError(f"{where}: '{name}' must be a text in quotes, not {root!r}.")
    return dict(table)


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where} must be one table, with one pair of brackets.")
    return value


def _check_list(name: str, values: tuple[str, ...]) -> None:
    if not values:
        raise ValueError(f"'{name}' must not be empty.")
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"'{name}' names {value!r} twice.")


def _check_choices(name: str, values: tuple[str, ...], known: tuple[str, ...]) -> None:
    for value in values:
        if value not in known:
            raise ValueError(f"'{name}' may hold {', '.join(known)}, not '{value}'{suggestion(value, known)}.")


def _check_seeds(seeds: tuple[int, ...]) -> None:
    if any(seed < 0 for seed in seeds) or len(set(seeds)) < len(seeds):
        raise ValueError(f"'seeds' must be different numbers from 0 on, not {list(seeds)}.")
