"""Doing a job: training, evaluating or profiling, by what its file says."""

from __future__ import annotations

import dataclasses
from itertools import product
from pathlib import Path

from vibench.datasets.registry import get_dataset
from vibench.methods.recipe import recipe_from_dict
from vibench.methods.registry import build_method
from vibench.profiling.measure import profile_method
from vibench.profiling.profile import write_profile
from vibench.profiling.target import TRAINING_IDENTITIES
from vibench.records.store import record_path, write_record
from vibench.runtime.devices import resolve_device, resolve_precision
from vibench.runtime.progress import Progress
from vibench.scoring.attributes import GivenAttributes
from vibench.scoring.embedded import embed_models
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import score_embedded
from vibench.scoring.trained import models_of_run
from vibench.sweep.job import Evaluating, Job, Profiling, Training
from vibench.training.run import train_or_resume
from vibench.training.spec import TrainingSpec


def execute(out: Path, job: Job, progress: Progress) -> tuple[str, ...]:
    """Do the job and return its results (`vibench.sweep.attempts.End`); what was done of it before is taken up."""
    if job.train is not None:
        return _train(out, job.train, progress)
    if job.evaluate is not None:
        return _evaluate(out, job.evaluate, progress)
    assert job.profile is not None
    return _profile(job.profile, progress)


def _train(out: Path, training: Training, progress: Progress) -> tuple[str, ...]:
    spec = TrainingSpec(
        recipe=recipe_from_dict(training.recipe, training.run),
        root=Path(training.root),
        trial=training.trial,
        seed=training.seed,
        amp=training.precision,
        pretrained=training.pretrained,
        folder=out / training.run,
        allow_incomplete=training.allow_incomplete,
    )
    run = train_or_resume(spec, training.device, progress=progress)
    return (str(run.checkpoint_path.relative_to(out)),)


def _evaluate(out: Path, job: Evaluating, progress: Progress) -> tuple[str, ...]:
    """Extract once per feature and source of attributes, then rank under every combination of the other rules."""
    protocols = load_protocols(job.protocols)
    models = [model for run in job.runs for model in models_of_run(out / run, Path(job.root))]
    folder = Path(job.leaderboards)
    results: dict[str, None] = {}
    for feature, source in product(job.features, job.test_attributes):
        first = Rules(protocols, job.draws, feature=feature, given=GivenAttributes(source))
        embedded = embed_models(models, first, device=job.device, amp=job.precision, progress=progress)
        for rerank, mode in product(job.reranks, job.query_modes):
            rules = dataclasses.replace(first, rerank=rerank, query_mode=mode)
            for one in score_embedded(embedded, rules, progress=progress):
                write_record(folder, one.record, one.per_query)
                results[str(record_path(folder, one.record).relative_to(folder))] = None
    return tuple(results)


def _profile(job: Profiling, progress: Progress) -> tuple[str, ...]:
    device = resolve_device(job.device)
    recipe = recipe_from_dict(job.recipe, job.file)
    method = build_method(recipe, TRAINING_IDENTITIES[get_dataset(recipe.dataset).layout], "none")
    measured = profile_method(method, device, resolve_precision(job.precision, device), progress=progress)
    write_profile(Path(job.leaderboards) / job.file, measured)
    return (job.file,)
