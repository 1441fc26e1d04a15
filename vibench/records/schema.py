"""The evaluation record: what was measured, under which rules, and what it cost."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from typing import Any, Literal

from vibench.corruption import Corruption
from vibench.evaluation.result import METRICS, Evaluation, TrialScore
from vibench.files.digests import canonical_json, sha256_text
from vibench.records.migrations import SCHEMA_VERSION
from vibench.runtime.environment import Environment
from vibench.runtime.memory import PeakMemory

OFFICIAL = "official"
"""In place of changed keys: the recipe is the method's own, with its precision and its start from ImageNet."""

Source = Literal["trained", "imported", "features", "scores", "published"]

LABELLED = ("gt", "shuffle")
"""Sources of test-time attributes that read the labels of query and gallery images, and so know of their identity."""

_VOLATILE = ("schema_version", "profile", "environment", "created", "notes", "complete")
_VOLATILE_RUN = ("train_seconds", "images_per_second", "processes", "deterministic")
_RESERVED = ("records", "published")
"""Folders beside those of the data sets."""
_LARGEST = 2**64
"""No whole number of a record is larger; seeds have 64 bits at most."""
_CREATED = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class RunInfo:
    """The training run, or the features, that were evaluated; empty or None where unknown."""

    id: str = ""
    seed: int | None = None
    recipe_sha256: str = ""
    checkpoint_sha256: str = ""
    """Of the checkpoint; of several (RegDB splits) the SHA-256 of their SHA-256 lines in trial order."""
    features_sha256: str = ""
    """Of the file where features, or scores, alone were evaluated; of several likewise."""
    epochs: int | None = None
    train_seconds: float | None = None
    images_per_second: float | None = None
    """Training throughput."""
    input: str = ""
    """Height and width of the network input, such as ``288x144``."""
    backbone: str = ""
    pretrained: str = ""
    """``imagenet``, ``none`` or the name of a weights file."""
    precision: str = ""
    """Of extraction: ``fp32``, ``tf32``, ``bf16`` or ``fp16``."""
    training_precision: str = ""
    """Likewise, of training."""
    recipe: str = ""
    """`OFFICIAL` for the method's own recipe, else the keys that differ, as ``section.key, ...``; empty: unknown."""
    compiled: str = ""
    """What ran as compiled by `torch.compile`: ``training``, ``extraction`` or ``training+extraction``; or nothing."""
    processes: int | None = None
    """Processes that trained together, to which ``train_seconds`` belongs."""
    deterministic: bool | None = None
    """Whether training was set to repeat itself (`vibench.runtime.determinism`); of testing the environment says it."""
    incomplete: str = ""
    """What the training split lacked or had too much; empty for the whole one."""
    trained_on: str = ""
    """The data set of the training, or several joined by ``+``, with its version and split, where it is not the one of
    the test; empty where it is."""


@dataclass(frozen=True)
class Cost:
    """What training, extraction and matching took; None where it was not measured."""

    device: str = ""
    """GPU or CPU model that the timings belong to."""
    parameters_train: int | None = None
    parameters_test: int | None = None
    flops_per_image: int | None = None
    """Floating-point operations to embed one image; a multiply-accumulate counts as two."""
    embedding_size: int | None = None
    extraction_images_per_second: float | None = None
    matching_ms_per_query: float | None = None
    """Milliseconds for the distances, ranking and metrics of one query against one drawn gallery."""
    repaired_queries: int | None = None
    """Of all trials' queries together, those whose order float32 left open somewhere, and float64 settled."""
    training_memory: PeakMemory = field(default_factory=PeakMemory)
    extraction_memory: PeakMemory = field(default_factory=PeakMemory)

    @property
    def peak_memory(self) -> int | None:
        """Bytes: the training's peak where there was one, else the extraction's."""
        training = self.training_memory.headline
        return training if training is not None else self.extraction_memory.headline


@dataclass(frozen=True)
class Record:
    """One evaluation of one method under one protocol and draw. Metrics are fractions."""

    schema_version: int
    method: str
    variant: str
    source: Source
    dataset: str
    dataset_version: str
    """Empty for real data; ``<scale>-s<seed>-r<renderer version>`` for a twin."""
    protocol: str
    protocol_version: int
    fingerprint: str
    """SHA-256 of the canonical protocol and draw."""
    draw: Literal["seeded", "official", "none"]
    query_mode: Literal["all", "single"]
    test_time_information: str
    """What a ranking looked at beside the query and each gallery image, see `effective_information`."""
    distance: str
    rerank: str
    complete: bool
    """Query and gallery counts equal those of the full data set, and so did the training images as far as known."""
    leaking: bool
    """The model was trained on identities that it was tested on."""
    trials: tuple[TrialScore, ...]
    mean: dict[str, float]
    std: dict[str, float]
    """Population standard deviation over trials."""
    cmc: tuple[float, ...]
    run: RunInfo
    profile: Cost
    environment: Environment
    created: str
    """UTC, such as ``2025-01-31T12:00:00Z``."""
    feature: str
    """The named feature that was ranked in place of the method's embedding; empty for the embedding."""
    test_attributes: str
    """Where the attributes of test images came from: ``pred``, ``gt``, ``const`` or ``shuffle``; empty for none."""
    notes: tuple[str, ...] = ()
    corruption: Corruption | None = None
    """What happened to the test images; None, and absent from the file: they were as they are."""

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise ValueError(problem)

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits that follow from what was evaluated, under which rules, with which outcome.

        Timings, hardware, date and notes do not enter, and scores enter rounded to nine decimals: repeating the
        same evaluation, on whichever device, gives the same id.
        """
        names = [field.name for field in dataclasses.fields(self) if field.name not in _VOLATILE]
        content = {name: _rounded(getattr(self, name)) for name in names}
        for key in _VOLATILE_RUN:
            del content["run"][key]
        for key in ("feature", "test_attributes", "corruption"):
            # Older records have no such field, and keep the ids they were given then.
            if not content[key]:
                del content[key]
        for key in ("compiled", "training_precision", "recipe", "incomplete", "trained_on"):
            if not content["run"][key]:
                del content["run"][key]
        return sha256_text(canonical_json(content))[:12]

    @property
    def galleries(self) -> tuple[tuple[int, int, int, str], ...]:
        """What was ranked: of every trial its number, queries, size of its gallery and hash of that."""
        return tuple((trial.trial, trial.queries, trial.gallery, trial.gallery_sha256) for trial in self.trials)

    @property
    def label(self) -> str:
        """``method``, and behind hyphens its variant and the named feature that was ranked, where there are any."""
        return "-".join(part for part in (self.method, self.variant, self.feature) if part)


def record_from_evaluation(
    evaluation: Evaluation,
    *,
    method: str,
    source: Source,
    environment: Environment,
    variant: str = "",
    feature: str = "",
    dataset_version: str = "",
    test_time_information: str = "none",
    leaking: bool = False,
    run: RunInfo | None = None,
    cost: Cost | None = None,
    created: str | None = None,
    notes: tuple[str, ...] = (),
    test_attributes: str = "",
    corruption: Corruption | None = None,
) -> Record:
    """The record of an evaluation.

    ``test_time_information`` is the method's own; query mode, re-ranking and attribute labels are taken into account
    here. The matching time is filled in from the evaluation where ``cost`` has none; that of scores, which come from
    elsewhere, is unknown. ``created`` defaults to now.
    """
    cost = cost or Cost()
    matched = sum(trial.queries for trial in evaluation.trials)
    if cost.matching_ms_per_query is None and matched and source != "scores":
        cost = dataclasses.replace(cost, matching_ms_per_query=1000.0 * evaluation.matching_seconds / matched)
    cost = dataclasses.replace(cost, repaired_queries=evaluation.repaired)
    return Record(
        schema_version=SCHEMA_VERSION,
        method=method,
        variant=variant,
        source=source,
        dataset=evaluation.dataset,
        dataset_version=dataset_version,
        protocol=evaluation.protocol,
        protocol_version=evaluation.protocol_version,
        fingerprint=evaluation.fingerprint,
        draw=evaluation.draw,  # type: ignore[arg-type]  # Record checks the value
        query_mode=evaluation.query_mode,  # type: ignore[arg-type]
        test_time_information=effective_information(
            f"{test_time_information}+attributes" if test_attributes in LABELLED else test_time_information,
            evaluation.query_mode,
            evaluation.rerank,
        ),
        distance=evaluation.distance,
        rerank=evaluation.rerank,
        complete=evaluation.complete and not (run and run.incomplete),
        leaking=leaking,
        trials=evaluation.trials,
        mean=dict(evaluation.mean),
        std=dict(evaluation.std),
        cmc=tuple(evaluation.cmc),
        run=run or RunInfo(),
        profile=cost,
        environment=environment,
        created=created or datetime.now(timezone.utc).strftime(_CREATED),
        notes=evaluation.notes + notes,
        feature=feature,
        test_attributes=test_attributes,
        corruption=corruption,
    )


def effective_information(own: str, query_mode: str, rerank: str) -> str:
    """Test-time information of an evaluation, from the method's own.

    Parts are joined by ``+``: gallery, queries, then others by name; ``none`` without any. Query mode ``single``
    hides the other queries; re-ranking looks at the gallery and at all queries.
    """
    parts = set(own.split("+")) - {"none", ""}
    if query_mode == "single":
        parts.discard("queries")
    if rerank != "none":
        parts |= {"gallery", "queries"}
    return "+".join(sorted(parts, key=lambda part: (part not in ("gallery", "queries"), part))) or "none"


def _rounded(value: Any) -> Any:
    """As JSON has it, numbers to nine decimals."""
    if isinstance(value, float):
        return round(value, 9)
    if dataclasses.is_dataclass(value):
        return {field.name: _rounded(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return value


def _problem(record: Record) -> str:
    """What makes a record's content impossible, as the rest of a sentence; empty for a sound record."""
    for name in ("method", "dataset", "protocol", "fingerprint", "test_time_information", "distance", "rerank"):
        text = getattr(record, name)
        if not text or not text.isprintable():
            return f"'{name}' must be a printable text, not {text!r}."
    # These become names of folders and files.
    for name in ("dataset", "protocol", "dataset_version"):
        text = getattr(record, name)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text or "empty") or text.lower() in _RESERVED:
            return f"'{name}' must be a name of letters, digits, '.', '_' and '-', not {text!r}."
    # Boards lie in folders of their data sets, beside files with these suffixes.
    if record.dataset.lower().endswith((".md", ".csv", ".html", ".png")):
        return f"'dataset' must not end like a file, {record.dataset!r}."
    if record.test_attributes not in ("", "pred", "const", *LABELLED):
        return f"'test_attributes' must be pred, gt, const, shuffle or empty, not {record.test_attributes!r}."
    for name, text in (
        ("variant", record.variant),
        ("feature", record.feature),
        ("trained_on", record.run.trained_on),
    ):
        if not text.isprintable():
            return f"'{name}' must be a printable text, not {text!r}."
    if not re.fullmatch(r"[0-9a-f]{64}", record.fingerprint):
        return f"'fingerprint' must be a SHA-256 in hexadecimal, not {record.fingerprint!r}."
    if record.draw not in ("seeded", "official", "none") or record.query_mode not in ("all", "single"):
        return f"draw {record.draw!r} or query mode {record.query_mode!r} is unknown."
    try:
        datetime.strptime(record.created, _CREATED)
    except ValueError:
        return f"'created' must be a date such as 2025-01-31T12:00:00Z, not {record.created!r}."
    return _whole_number_problem(record) or _score_problem(record) or _cost_problem(record)


def _whole_number_problem(record: Record) -> str:
    """JSON knows whole numbers of any size, and no float could hold them."""
    tables = (record, record.run, record.profile, record.profile.training_memory, record.profile.extraction_memory)
    for table in (*tables, *record.trials):
        for name, value in vars(table).items():
            if isinstance(value, int) and abs(value) > _LARGEST:
                return f"'{name}' must not be larger than 2^64, but has {len(str(value))} digits."
    return ""


def _score_problem(record: Record) -> str:
    if not record.trials:
        return "'trials' is empty."
    numbers = [trial.trial for trial in record.trials]
    if len(set(numbers)) < len(numbers):
        return f"'trials' names a trial twice: {numbers}."
    for name in ("mean", "std"):
        found = getattr(record, name)
        if set(found) != set(METRICS):
            return f"'{name}' must hold exactly {', '.join(METRICS)}, not {', '.join(found) or 'nothing'}."
    for trial in record.trials:
        if not 0 <= trial.valid_queries <= trial.queries or trial.gallery < 0:
            return f"trial {trial.trial} has impossible counts of queries, valid queries or gallery images."
    for metric in METRICS:
        values = [getattr(trial, metric) for trial in record.trials]
        for value in (*values, record.mean[metric], record.std[metric]):
            if not 0.0 <= value <= 1.0:
                return f"'{metric}' must be a fraction between 0 and 1, not {value!r}."
        if not math.isclose(record.mean[metric], math.fsum(values) / len(values), abs_tol=1e-6):
            return f"the mean of '{metric}' is not the mean over the trials."
    if not all(0.0 <= value <= 1.0 for value in record.cmc):
        return "'cmc' must hold fractions between 0 and 1."
    return ""


def _cost_problem(record: Record) -> str:
    cost = dataclasses.asdict(record.profile)
    memory = {
        f"{phase}.{kind}": size
        for phase in ("training_memory", "extraction_memory")
        for kind, size in cost.pop(phase).items()
    }
    times = {name: getattr(record.run, name) for name in _VOLATILE_RUN}
    for name, value in {**cost, **memory, **times}.items():
        if isinstance(value, (int, float)) and (problem := figure_problem(name, value)):
            return problem
    return ""


def figure_problem(name: str, value: float) -> str:
    """What makes a time, a size or a count impossible, as the rest of a sentence; empty for a sound one.

    Nothing was ever measured beyond these bounds, and sums and inverses of it would leave the numbers.
    """
    if value == 0 or 1e-30 <= value <= 1e30:
        return ""
    return f"'{name}' must be 0 or a number from 1e-30 to 1e30, but is {value!r}."
