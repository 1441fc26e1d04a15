"""A first run: synthetic people, two methods that learn to find them, boards and a page, within a budget of minutes.

What the budget has room for is measured once, on first steps of training, and kept in ``demo.json``. From then on the
demo is fixed: killed at any moment and started again, it goes on with the same plan to the same end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from PIL import Image

from vibench.data.cache import open_cache
from vibench.datasets.index import test_rows
from vibench.datasets.registry import get_dataset
from vibench.datasets.twin.camera import CAMERAS
from vibench.datasets.twin.make import make_twin
from vibench.datasets.twin.plan import plan_twin
from vibench.datasets.twin.preview import preview_row, write_preview
from vibench.errors import UsageError, suggestion
from vibench.files.json_table import read_json_table, write_json_table
from vibench.files.writing import write_text
from vibench.leaderboard.board import Board, build_boards
from vibench.leaderboard.certainty import certainty_of
from vibench.leaderboard.render import write_boards
from vibench.methods.recipe import load_recipe
from vibench.modality import VISIBLE
from vibench.records.comparison import Comparison, compare
from vibench.records.schema import Record
from vibench.records.selection import Runs
from vibench.records.store import find_records, write_record
from vibench.report.libraries import require_libraries
from vibench.report.write import render_report
from vibench.runtime.devices import resolve_device
from vibench.runtime.fastest import fastest_amp
from vibench.runtime.progress import Progress, silent
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import score_models
from vibench.scoring.trained import TrainedModel, models_of_run
from vibench.training.folder import RunFolder
from vibench.training.interrupt import TrainingInterrupted
from vibench.training.pace import Pace, Work, measure_pace, quickest_threads, torch_threads
from vibench.training.run import train_or_resume
from vibench.training.spec import TrainingSpec

METHODS = ("baseline", "agw")
DATASET, LAYOUT = "sysu-mm01-twin", "sysu-mm01"
PROTOCOLS = ("sysu-all", "sysu-indoor")
SCALES = ("demo", "tiny")
"""Of the twin. ``tiny`` trains for a few steps whatever the budget is, and proves only that everything runs."""

MINUTES, LEAST_MINUTES, MOST_MINUTES = 2.0, 0.5, 60.0
HEIGHT, WIDTH = 64, 32
EPOCHS = 8
"""Each ends with a checkpoint; how many steps it has is what the budget decides."""
FEWEST_BATCHES, ENOUGH_BATCHES = 1, 20
"""Per epoch: trained even where the budget has no room for them, and below which scores stay near those of guessing."""
_REST_SHARE, _MOST_REST = 0.05, 10.0
"""Of the budget, and seconds at most: for evaluation, boards and page."""


@dataclass(frozen=True)
class Plan:
    """``demo.json``: what a demo was begun as, and how long it trains."""

    scale: str
    seed: int
    minutes: float
    batches_per_epoch: int
    threads: int
    """Of PyTorch, on a CPU."""
    pace: dict[str, Pace] = field(default_factory=dict)
    """Per method; empty where nothing was measured."""

    def __post_init__(self) -> None:
        if min(self.batches_per_epoch, self.threads) < 1:
            raise ValueError("'batches_per_epoch' and 'threads' must be at least 1.")

    @property
    def steps(self) -> int:
        """Of each method."""
        return EPOCHS * self.batches_per_epoch


@dataclass(frozen=True)
class Outcome:
    """What a finished demo has to show."""

    boards: tuple[Board, ...]
    comparisons: dict[str, Comparison]
    """Of the last method with the first, by protocol."""
    page: Path | None
    """None where the libraries of the page are not installed."""
    run: Path
    """Of the last method."""
    leaderboards: Path


@dataclass(frozen=True)
class _Session:
    """How one process runs the demo; fields as the arguments of `run_demo`."""

    out: Path
    scale: str
    seed: int
    device: str
    amp: str
    progress: Progress
    say: Callable[[str], None]

    @property
    def root(self) -> Path:
        return self.out / "data" / DATASET

    @property
    def cache(self) -> Path:
        return self.out / "cache"

    @property
    def leaderboards(self) -> Path:
        return self.out / "leaderboards"

    def folder(self, method: str) -> Path:
        return self.out / "runs" / DATASET / f"{method}-s{self.seed}"

    def specification(self, method: str, changes: tuple[str, ...], folder: Path) -> TrainingSpec:
        recipe = load_recipe(method, "", DATASET, changes)
        return TrainingSpec(recipe, self.root, seed=self.seed, amp=self.amp, pretrained="none", folder=folder)


def run_demo(
    out: Path,
    *,
    minutes: float | None = None,
    scale: str = "demo",
    seed: int = 0,
    device: str = "auto",
    amp: str = "auto",
    progress: Progress = silent,
    say: Callable[[str], None],
    show: Callable[[Image.Image, list[str]], None],
) -> Outcome:
    """Run the demo in the folder ``out``; what is finished there already is kept.

    ``minutes``: None means those of an earlier start, else `MINUTES`. ``say`` gets a line per stage, ``show`` a first
    picture: small, of equal parts side by side, each with its caption. Raises `UsageError` for an unknown scale, a
    budget out of bounds and a folder that holds something else, and `TrainingInterrupted` after Ctrl-C.
    """
    start = time.monotonic()
    if amp == "auto":
        amp = fastest_amp(resolve_device(device))
    session = _Session(out, scale, seed, device, amp, progress, say)
    plan = begun_plan(out, minutes, scale, seed)
    minutes = plan.minutes if plan else MINUTES if minutes is None else minutes
    say(f"going on with the demo in {out}" if plan else _introduction(minutes))
    people = out / "people.png"
    if not people.exists():
        captions = [f"{'day' if camera.modality == VISIBLE else 'night'} {camera.number}" for camera in CAMERAS[LAYOUT]]
        show(preview_row(LAYOUT, seed, 2, (32, 13)), captions)
        write_preview(people, LAYOUT, seed, (192, 96), identities=6)
        say(f"six of the people, in all six cameras: {people}")
    try:
        if plan is None:
            say(f"rendering {len(plan_twin(LAYOUT, scale, seed)):,} pictures of them")
        make_twin(LAYOUT, scale, seed, session.root, progress=progress)
        if plan is None:
            plan = _measured_plan(session, minutes, start)
            write_json_table(out / "demo.json", plan)
        with torch_threads(plan.threads):
            models = {method: _train_and_score(session, method, plan) for method in METHODS}
    except TrainingInterrupted:
        raise TrainingInterrupted(f"stopped; the same command goes on with what is in {out}.") from None
    return _outcome(session, models)


def begun_plan(out: Path, minutes: float | None, scale: str, seed: int) -> Plan | None:
    """The plan of the demo that was begun in a folder; None where none was.

    Raises `UsageError` for what no demo can be, and where the folder holds a demo of another kind.
    """
    if scale not in SCALES:
        raise UsageError(f"--scale {scale}: unknown scale{suggestion(scale, SCALES)}; choose {' or '.join(SCALES)}.")
    if minutes is not None and not LEAST_MINUTES <= minutes <= MOST_MINUTES:
        raise UsageError(f"--minutes {minutes:g}: a demo takes {LEAST_MINUTES:g} to {MOST_MINUTES:g} minutes.")
    if not (out / "demo.json").exists():
        return None
    plan = read_json_table(Plan, out / "demo.json")
    for name, asked, begun in (
        ("scale", scale, plan.scale),
        ("seed", str(seed), str(plan.seed)),
        ("minutes", f"{plan.minutes if minutes is None else minutes:g}", f"{plan.minutes:g}"),
    ):
        if asked != begun:
            raise UsageError(
                f"{out / 'demo.json'}: the demo was begun with --{name} {begun}, not {asked}; repeat that, or name "
                "another folder with --out."
            )
    return plan


def settings(batches_per_epoch: int) -> tuple[str, ...]:
    """The changes of every recipe: a small network and a schedule with which few steps from scratch teach something.

    Of the rates 0.0015, 0.003 and 0.006 the last had the highest mAP on held-out identities after 400 steps of
    ``baseline``: 33.2, 41.0 and 43.1 %.
    """
    return (
        'model.backbone="resnet18-slim"',
        f"input.height={HEIGHT}",
        f"input.width={WIDTH}",
        f"augmentation.pad={HEIGHT // 20}",
        'optimizer.name="adamw"',
        "optimizer.lr=0.006",
        "optimizer.backbone_lr_factor=1.0",
        "sampler.images=2",
        f"sampler.batches_per_epoch={batches_per_epoch}",
        f"schedule.epochs={EPOCHS}",
        "schedule.warmup_epochs=2",
        f"schedule.milestones=[{EPOCHS - 3}, {EPOCHS - 1}]",
        "schedule.gamma=0.2",
    )


def _introduction(minutes: float) -> str:
    return (
        f"In about {minutes:g} minutes this will\n"
        "1. render synthetic people, as six cameras see them by day and by night,\n"
        f"2. train {' and '.join(METHODS)} to find by day who was seen by night,\n"
        "3. evaluate both by the rules of SYSU-MM01, and say whether they differ,\n"
        "4. put every board, chart and training curve on one page.\n"
        "Ctrl-C stops it, and the same command goes on."
    )


def _measured_plan(session: _Session, minutes: float, start: float) -> Plan:
    """See how long first steps of every method take, and how many fit into what the budget has left since ``start``."""
    plan = Plan(session.scale, session.seed, minutes, FEWEST_BATCHES, torch.get_num_threads())
    if session.scale == "tiny":
        return plan
    end = start + 60.0 * minutes - min(60.0 * minutes * _REST_SHARE, _MOST_REST)
    # Where the budget is spent already, there is nothing to find out.
    if time.monotonic() < end:
        session.say("measuring how fast this machine learns")
        threads, paces, work = _measure(session)
        fitting = work.fitting_batches(end - time.monotonic(), list(paces.values()))
        plan = replace(plan, batches_per_epoch=max(FEWEST_BATCHES, fitting), threads=threads, pace=paces)
    if plan.batches_per_epoch < ENOUGH_BATCHES:
        few = f"only {plan.steps} steps of training fit into {minutes:g} minutes here, too few to learn much:"
        session.say(f"{few}\ngive it more --minutes, in another folder")
    return plan


def _measure(session: _Session) -> tuple[int, dict[str, Pace], Work]:
    """With how many threads to train, the pace of every method then, and what is to be done with each."""
    dataset, cache = get_dataset(DATASET), session.cache
    changes = (*settings(2), "schedule.epochs=2", "schedule.warmup_epochs=0", "schedule.milestones=[]")
    specs = {method: session.specification(method, changes, session.out / "first-steps") for method in METHODS}
    recipe = specs[METHODS[0]].recipe
    kind, batch_size = recipe.input.interpolation, 2 * recipe.sampler.identities * recipe.sampler.images
    # Made once, so that it is no part of what every start costs.
    open_cache(dataset, session.root, HEIGHT, WIDTH, kind, folder=cache, progress=session.progress)
    tests = test_rows(dataset.index(session.root))
    threads = quickest_threads()
    with torch_threads(threads):
        paces = {method: measure_pace(spec, session.device, cache) for method, spec in specs.items()}
    return threads, paces, Work(EPOCHS, batch_size, len(tests))


def _train_and_score(session: _Session, method: str, plan: Plan) -> TrainedModel:
    """Train and evaluate a method, as far as that is not done yet; the records lie in the leaderboards."""
    folder = session.folder(method)
    if not RunFolder(folder).finished():
        pace = plan.pace.get(method)
        session.say(f"training {method}: {plan.steps} steps" + (f", {plan.steps * pace.step:.0f} s" if pace else ""))
    specification = session.specification(method, settings(plan.batches_per_epoch), folder)
    run = train_or_resume(specification, session.device, session.cache, session.progress)
    (model,) = models_of_run(run.path, session.root)
    done = [record for _, record in _records(session, model).values()]
    if len(done) == len(PROTOCOLS):
        _say_score(session, method, done[0])
        return model
    rules, cache = Rules(load_protocols(PROTOCOLS)), session.cache
    scored = score_models(
        [model], rules, device=session.device, amp=session.amp, cache=cache, progress=session.progress
    )
    _say_score(session, method, scored[0].record)
    for one in scored:
        write_record(session.leaderboards, one.record, one.per_query)
    return model


def _say_score(session: _Session, method: str, record: Record) -> None:
    session.say(f"{method}: the right person comes first in {100 * record.mean['r1']:.1f} % of searches")


def _records(session: _Session, model: TrainedModel) -> dict[str, tuple[Path, Record]]:
    """The records that the demo itself made of a model, by protocol, in the order of `PROTOCOLS`."""
    found, _ = find_records(session.leaderboards)
    plain = {
        record.protocol: (path, record)
        for path, record in found.items()
        if record.run.checkpoint_sha256 == model.sha256
        and (record.rerank, record.query_mode, record.corruption) == ("none", "all", None)
    }
    return {protocol: plain[protocol] for protocol in PROTOCOLS if protocol in plain}


def _outcome(session: _Session, models: Mapping[str, TrainedModel]) -> Outcome:
    """Write boards and page from the records, and compare the methods under every protocol."""
    records, problems = find_records(session.leaderboards)
    for problem in problems:
        session.say(f"attention: {problem}")
    boards = build_boards(records.values(), (), certainty=certainty_of(session.leaderboards, records))
    write_boards(session.leaderboards, boards)
    page = _write_page(session)
    own = {method: _records(session, model) for method, model in models.items()}
    comparisons = {}
    for protocol in PROTOCOLS:
        sides = [Runs(method, dict([own[method][protocol]])) for method in reversed(METHODS)]
        comparisons[protocol] = compare(sides, breakdown=False, progress=session.progress)
    return Outcome(tuple(boards), comparisons, page, session.folder(METHODS[-1]), session.leaderboards)


def _write_page(session: _Session) -> Path | None:
    """The page of the boards and runs; None where its libraries are not installed, and the line that installs them."""
    try:
        require_libraries()
    except UsageError as missing:
        session.say(f"without a page: {missing}")
        return None
    page = session.out / "report.html"
    write_text(page, render_report(session.leaderboards, page, runs=session.out / "runs").html)
    return page
