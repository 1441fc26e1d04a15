"""Doing a job: training, evaluating or profiling, by what its file says."""

from __future__ import annotations

import dataclasses
from functools import partial
from itertools import product
from pathlib import Path

from vibench.datasets.registry import get_dataset
from vibench.files.places import keeping, require_writable
from vibench.methods.recipe import recipe_from_dict
from vibench.methods.registry import build_method
from vibench.profiling.measure import profile_method
from vibench.profiling.profile import write_profile
from vibench.profiling.target import TRAINING_IDENTITIES
from vibench.records.schema import Record
from vibench.records.store import record_path, require_store, write_record
from vibench.runtime.devices import resolve_device, resolve_precision
from vibench.runtime.progress import Progress
from vibench.scoring.attributes import GivenAttributes
from vibench.scoring.embedded import embed_models
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import score_embedded
from vibench.scoring.trained import models_of_run
from vibench.sweep.job import Evaluating, Job, Profiling, Training, job_folder
from vibench.training.run import train_or_resume
from vibench.training.spec import TrainingSpec

_ALLOW_INCOMPLETE = "'allow_incomplete = true' in [sweep] of the plan"


def execute(out: Path, job: Job, progress: Progress) -> tuple[str, ...]:
    """Do the job and return its results (`vibench.sweep.attempts.End`); what was done of it before is taken up."""
    if job.train is not None:
        return _train(out, job.train, progress)
    if job.evaluate is not None:
        return _evaluate(out, job.evaluate, job_folder(out, job.id), progress)
    assert job.profile is not None
    return _profile(job.profile, job_folder(out, job.id), progress)


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
        allow_incomplete_by=_ALLOW_INCOMPLETE,
    )
    run = train_or_resume(spec, training.device, progress=progress)
    return (str(run.checkpoint_path.relative_to(out)),)


def _evaluate(out: Path, job: Evaluating, kept: Path, progress: Progress) -> tuple[str, ...]:
    """Extract once per feature and source of attributes, then rank under every combination of the other rules.

    Records that cannot be written to their store are kept in the folder ``kept``, and the job fails.
    """
    protocols = load_protocols(job.protocols)
    models = [model for run in job.runs for model in models_of_run(out / run, Path(job.root))]
    folder = Path(job.leaderboards)
    require_store(folder, protocols)
    results: dict[str, None] = {}
    with keeping(kept) as keep:
        for feature, source in product(job.features, job.test_attributes):
            first = Rules(
                protocols,
                job.draws,
                feature=feature,
                given=GivenAttributes(source),
                allow_incomplete=job.allow_incomplete,
                allow_incomplete_by=_ALLOW_INCOMPLETE,
            )
            embedded = embed_models(models, first, device=job.device, amp=job.precision, progress=progress)
            for rerank, mode in product(job.reranks, job.query_modes):
                rules = dataclasses.replace(first, rerank=rerank, query_mode=mode)
                for one in score_embedded(embedded, rules, progress=progress):
                    # In the job's log the scores outlast whatever becomes of the record.
                    print(_scores(one.record), flush=True)
                    keep(folder, partial(write_record, record=one.record, per_query=one.per_query))
                    results[str(record_path(folder, one.record).relative_to(folder))] = None
    return tuple(results)


def _scores(record: Record) -> str:
    rules = (record.protocol, record.draw, f"query mode {record.query_mode}", f"re-ranking {record.rerank}")
    return f"{', '.join(rules)}: rank-1 {record.mean['r1']:.2%}, mAP {record.mean['map']:.2%}"


def _profile(job: Profiling, kept: Path, progress: Progress) -> tuple[str, ...]:
    target = Path(job.leaderboards) / job.file
    require_writable(target, "'leaderboards' in the plan")
    device = resolve_device(job.device)
    recipe = recipe_from_dict(job.recipe, job.file)
    method = build_method(recipe, TRAINING_IDENTITIES[get_dataset(recipe.dataset).layout], "none")
    measured = profile_method(method, device, resolve_precision(job.precision, device), progress=progress)
    with keeping(kept) as keep:
        keep(target, partial(write_profile, profile=measured))
    return (job.file,)
