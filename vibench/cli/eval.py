"""``vibench eval``: evaluate a run, a checkpoint or features under protocols, and keep the records."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vibench.cli.options import Amp, CorruptModality, Deterministic, Device, Leaderboards, MovedRoot, Tf32
from vibench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vibench.distributed.world import World
    from vibench.files.places import Keep
    from vibench.protocols import Protocol
    from vibench.scoring.embedded import Embedded
    from vibench.scoring.rules import Rules
    from vibench.scoring.score import Scored
    from vibench.scoring.trained import TrainedModel


def evaluate(
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="A run folder of 'vibench train'.")] = None,
    features: Annotated[
        list[Path] | None,
        typer.Option(help="A features file of any code base instead; of RegDB one per split, in their order."),
    ] = None,
    gallery: Annotated[
        list[Path] | None,
        typer.Option(help="The gallery's features, where --features holds the queries alone; one per --features."),
    ] = None,
    names: Annotated[
        list[Path] | None,
        typer.Option(help="File that names the images of features that do not: one per --features, then --gallery."),
    ] = None,
    scores: Annotated[
        list[Path] | None,
        typer.Option(help="A file of scores of pairs, by a matcher without features; of RegDB one per split."),
    ] = None,
    test_time_information: Annotated[
        str | None,
        typer.Option(
            metavar="KINDS",
            help="With --scores, required: what they look at beside the two images: none, gallery, gallery+queries, "
            "attributes, ...",
        ),
    ] = None,
    allow_incomplete: Annotated[
        bool,
        typer.Option("--allow-incomplete", help="Evaluate although test images are missing; the record is unranked."),
    ] = False,
    method: Annotated[str | None, typer.Option(help="With --checkpoint: the method it must be of.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="A checkpoint file instead.")] = None,
    protocol: Annotated[list[str] | None, typer.Option(help="A protocol of 'vibench protocols'; repeatable.")] = None,
    draw: Annotated[
        list[str] | None,
        typer.Option(help="SYSU-MM01's galleries: seeded or official. Repeatable. Default: seeded."),
    ] = None,
    perm: Annotated[
        Path | None, typer.Option(help="File of the official draws. Default: exp/rand_perm_cam.mat of the data set.")
    ] = None,
    corrupt: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Corrupt the test images first: mixed (type and severity drawn by image), a type such as rain, rain:3 "
            "or rain:1-5, or curve (mixed:1-5; a record per severity). See 'vibench protocols corruption'.",
        ),
    ] = None,
    corrupt_modality: CorruptModality = None,
    distance: Annotated[str | None, typer.Option(help="cosine or euclidean. Default: the method's own.")] = None,
    query_mode: Annotated[
        list[str] | None,
        typer.Option(
            help="all or single: may the ranking of a query look at the other queries? Repeatable. Default: all."
        ),
    ] = None,
    rerank: Annotated[str, typer.Option(help="none or k-reciprocal.")] = "none",
    mask_same_location: Annotated[
        bool,
        typer.Option(
            "--mask-same-location",
            help="Of a method whose test images change one another's features (cm-ssft): keep the pairs apart there "
            "too that the protocol skips.",
        ),
    ] = False,
    auxiliary: Annotated[
        str | None,
        typer.Option(help="Measure as well how accuracy grows with the queries seen together, such as 1,4,16,64,all."),
    ] = None,
    auxiliary_partitions: Annotated[
        int, typer.Option(min=1, help="Random partitions of the queries per size of --auxiliary.")
    ] = 10,
    auxiliary_out: Annotated[Path, typer.Option(help="Table of --auxiliary; the plot lies beside it as .png.")] = Path(
        "auxiliary.csv"
    ),
    feature: Annotated[
        str, typer.Option(help="Rank this feature of the method by name, such as pooled. Default: its embedding.")
    ] = "",
    trial: Annotated[
        int | None, typer.Option(help="Of several trials only this; of one model, the split to evaluate it on.")
    ] = None,
    allow_leaking: Annotated[
        bool,
        typer.Option("--allow-leaking", help="Test on training identities too; the record is marked and unranked."),
    ] = False,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set to test on: another than RUN was trained on, or that of features or scores that do not say "
            "it. Default: RUN's own, or the protocol's."
        ),
    ] = None,
    root: MovedRoot = None,
    test_attributes: Annotated[
        str,
        typer.Option(
            help="What a method that takes attributes is given: pred (what it predicts itself), gt (labels; recorded "
            "apart), const (mean of the training images) or shuffle (labels of others). Default: pred."
        ),
    ] = "",
    attributes: Annotated[Path | None, typer.Option(help="File of the labels. Default: that of the data set.")] = None,
    attributes_only: Annotated[
        bool,
        typer.Option("--attributes-only", help="Rank by attribute labels of --dataset alone, without any image."),
    ] = False,
    name: Annotated[str | None, typer.Option(help="Label of the features or scores. Default: the file's name.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the records as a JSON list to this file as well.")] = None,
    leaderboards: Leaderboards = None,
    device: Device = "auto",
    amp: Amp = "auto",
    tf32: Tf32 = False,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile the network first; on CUDA, with graphs. Records say so.")
    ] = False,
    deterministic: Deterministic = False,
) -> None:
    """Evaluate a RUN, a checkpoint or features of any code under one or more protocols; store a record for each.

    Several processes share test images, or queries of features: torchrun --nproc-per-node 4 $(which vibench) eval ...

    Example: vibench eval runs/sysu-mm01/agw-s0 --protocol sysu-all --protocol sysu-indoor

    Example: vibench eval runs/sysu-mm01/agw-s0 --protocol sysu-all --corrupt curve

    Example: vibench eval --features features.npz --name my-method --protocol sysu-all

    Example: vibench eval --scores scores.npz --test-time-information none --protocol sysu-all
    """
    sources = (run, features or None, scores or None, checkpoint, attributes_only or None)
    if sum(source is not None for source in sources) != 1:
        raise UsageError(
            "name exactly one of RUN, --features, --scores, --checkpoint and --attributes-only; see 'vibench eval "
            "--help'."
        )
    if scores:
        _check_scores(test_time_information, bool(test_attributes or attributes is not None), trial)
    elif test_time_information is not None:
        raise UsageError("--test-time-information: is declared of --scores alone, since methods say it; leave it out.")
    if attributes_only and test_attributes not in ("", "gt"):
        raise UsageError(f"--test-attributes {test_attributes}: --attributes-only reads the labels; leave it out.")
    if features and (test_attributes or attributes is not None):
        raise UsageError("--test-attributes and --attributes: features are ranked as they are; leave both out.")
    if (gallery or names) and not features:
        raise UsageError("--gallery and --names: belong to --features; leave both out.")
    from vibench.cli.console import err, out, progress, show
    from vibench.cli.joint import joint_processes
    from vibench.cli.records_table import records_tables
    from vibench.files.places import keeping
    from vibench.files.writing import write_json
    from vibench.protocols import corrupted
    from vibench.records.record_json import record_dict
    from vibench.records.store import leaderboards_folder, write_record
    from vibench.runtime.determinism import deterministic as repeatable
    from vibench.scoring.attributes import GivenAttributes
    from vibench.scoring.auxiliary import auxiliary_sizes
    from vibench.scoring.embedded import embed_models
    from vibench.scoring.rules import Rules, load_protocols
    from vibench.scoring.score import score_embedded

    labels = GivenAttributes("gt" if attributes_only else test_attributes, attributes)
    protocols, modes = load_protocols(protocol or []), list(dict.fromkeys(query_mode or ["all"]))
    draws = tuple(dict.fromkeys(draw or ["seeded"]))
    rules = [
        Rules(protocols, draws, perm, distance, mode, rerank, feature, mask_same_location, allow_incomplete, labels)
        for mode in modes
    ]
    groups = corrupted(protocols, corrupt, corrupt_modality)
    if corrupt is not None and (features or scores or attributes_only):
        raise UsageError(f"--corrupt {corrupt}: needs a trained method; evaluate a RUN or a --checkpoint.")
    sizes = () if auxiliary is None else auxiliary_sizes(auxiliary)
    if sizes and (features or scores or attributes_only):
        raise UsageError("--auxiliary: needs a trained method; evaluate a RUN or a --checkpoint.")
    if sizes and any(group[0].corruption for group in groups):
        raise UsageError("--auxiliary: is measured on clean images; leave --corrupt and protocols of others out.")
    with repeatable(deterministic):
        with joint_processes(device) as world:
            folder = leaderboards_folder(leaderboards)
            world.from_leader(lambda: _require_places(folder, protocols, json, auxiliary_out if sizes else None))
            embedded = []
            if not (features or scores or attributes_only):
                models = _models(run, checkpoint, method, trial, root, allow_leaking, dataset)
                # Each group has images of its own.
                embedded = [
                    embed_models(
                        models,
                        replace(rules[0], protocols=group),
                        device=world.device,
                        amp=amp,
                        tf32=tf32,
                        compiled=compile_,
                        progress=progress,
                        world=world,
                    )
                    for group in groups
                ]
            elif features:
                files = (features, gallery or (), names or ())
                scored = _score_features(files, rules, name, dataset, root, world)
        if not world.leads:
            return
        if embedded:
            scored = [
                one
                for group, of_group in zip(groups, embedded, strict=True)
                for rule in rules
                for one in score_embedded(of_group, replace(rule, protocols=group), progress=progress)
            ]
            # What attribute labels reach alone is the same in every query mode.
            scored = list({one.record.id: one for one in scored}.values())
        elif scores:
            scored = _score_matrices(scores, rules, test_time_information or "", name, dataset, root, world.device)
        elif attributes_only:
            scored = _score_attributes(dataset, root, trial, rules[0], world.device)
    for table in records_tables([one.record for one in scored]):
        show(table)
    for note in dict.fromkeys(note for one in scored for note in one.record.notes):
        out.print(f"note: {note}", soft_wrap=True, markup=False)
    with keeping() as keep:
        for one in scored:
            keep(folder, partial(write_record, record=one.record, per_query=one.per_query))
        if json is not None:
            keep(json, partial(write_json, value=[record_dict(one.record) for one in scored]))
        if sizes and embedded:
            _auxiliary(embedded[0], rules[0], sizes, auxiliary_partitions, auxiliary_out, scored[0].record.label, keep)
    where = "" if leaderboards is None else f" --leaderboards {leaderboards}"
    said = f"{len(scored)} records in {folder / 'records'}; next: vibench leaderboard{where}"
    err.print(said, soft_wrap=True, markup=False)


def _require_places(folder: Path, protocols: Sequence[Protocol], json: Path | None, auxiliary: Path | None) -> str:
    """Try where results go before they are computed; answers as `World.from_leader` asks."""
    from vibench.files.places import require_writable
    from vibench.records.store import require_store

    require_store(folder, protocols)
    if json is not None:
        require_writable(json, "--json")
    if auxiliary is not None:
        require_writable(auxiliary, "--auxiliary-out")
        require_writable(auxiliary.with_suffix(".png"), "--auxiliary-out")
    return ""


def _auxiliary(
    embedded: Embedded, rules: Rules, sizes: Sequence[str], partitions: int, table: Path, label: str, keep: Keep
) -> None:
    from vibench.cli.console import err, out, progress
    from vibench.scoring.auxiliary import auxiliary_scores, plot_auxiliary, write_auxiliary_table

    scores = auxiliary_scores(embedded, rules, sizes, partitions=partitions, progress=progress)
    for score in scores:
        rank_1, mean_ap = score.mean["r1"], score.mean["map"]
        out.print(f"{score.protocol}, {score.size} queries per graph: rank-1 {rank_1:.2%}, mAP {mean_ap:.2%}")
    keep(table, partial(write_auxiliary_table, scores=scores))
    plot = table.with_suffix(".png")
    drawn = keep(plot, partial(plot_auxiliary, scores=scores, title=label))
    missing = "no plot, which needs matplotlib: pip install 'vibench[plots]'"
    err.print(f"{table} and {plot}" if drawn else f"{table}; {missing}", soft_wrap=True, markup=False)


def _score_features(
    files: tuple[Sequence[Path], Sequence[Path], Sequence[Path]],
    rules: Sequence[Rules],
    name: str | None,
    dataset: str | None,
    root: Path | None,
    world: World,
) -> list[Scored]:
    """``files``: of features, of galleries and of names."""
    from vibench.cli.console import progress
    from vibench.scoring.score import read_features_files, score_features

    features, galleries, names = files
    read = read_features_files(features, rules[0].protocols, galleries=galleries, names=names, dataset=dataset)
    label = _label(name or str(read.features[0].meta.get("method") or features[0].stem), "features")
    return [
        one
        for rule in rules
        for one in score_features(
            read.features,
            rule,
            name=label,
            dataset=dataset,
            digests=read.digests,
            notes=read.notes,
            root=root,
            device=world.device,
            progress=progress,
            world=world,
        )
    ]


def _check_scores(information: str | None, attributes: bool, trial: int | None) -> None:
    from vibench.scoring.matrix import INFORMATION, declared_information

    if information is None:
        raise UsageError(
            "--scores: nobody can see in them what they look at beside the two images; declare it with "
            f"--test-time-information none, or kinds joined by '+': {', '.join(INFORMATION)}."
        )
    declared_information(information)
    if attributes:
        raise UsageError(
            "--test-attributes and --attributes: scores are ranked as they are; declare the labels they use with "
            "--test-time-information attributes."
        )
    if trial is not None:
        raise UsageError(
            f"--trial {trial}: scores of one split are an array scores_{trial} in their file; leave it out."
        )


def _score_matrices(
    files: Sequence[Path],
    rules: Sequence[Rules],
    information: str,
    name: str | None,
    dataset: str | None,
    root: Path | None,
    device: str,
) -> list[Scored]:
    from vibench.cli.console import progress
    from vibench.scoring.matrix import check_rules, score_matrices

    for rule in rules:
        check_rules(rule)
    return score_matrices(
        files,
        rules[0],
        information=information,
        name=_label(name or files[0].stem, "scores"),
        dataset=dataset,
        root=root,
        device=device,
        progress=progress,
    )


def _label(text: str, what: str) -> str:
    if not text.isprintable():  # no record may hold it, and that is better known before they are made
        raise UsageError(f"{text!a}: is no printable text, so no label of {what}; give them another with --name.")
    return text


def _score_attributes(
    name: str | None, root: Path | None, trial: int | None, rules: Rules, device: str
) -> list[Scored]:
    from vibench.cli.console import progress
    from vibench.datasets.registry import dataset_root, get_dataset
    from vibench.datasets.testing import images_of_tests
    from vibench.scoring.score import score_attributes

    dataset = get_dataset(name or rules.protocols[0].dataset)
    folder = dataset_root(dataset.name, root)
    indices = images_of_tests(dataset, folder, trial)
    return score_attributes(dataset, folder, indices, rules, device=device, progress=progress)


def _models(
    run: Path | None,
    checkpoint: Path | None,
    method: str | None,
    trial: int | None,
    root: Path | None,
    allow_leaking: bool,
    dataset: str | None,
) -> list[TrainedModel]:
    from vibench.scoring.trained import models_of_checkpoint, models_of_run

    if checkpoint is not None:
        models = models_of_checkpoint(checkpoint, root, trial, allow_leaking, dataset)
    else:
        assert run is not None
        models = models_of_run(run, root, trial, allow_leaking, dataset)
    found = models[0].checkpoint.method
    if method is not None and method != found:
        raise UsageError(f"{models[0].path}: is a checkpoint of {found}, not of --method {method}.")
    return models
