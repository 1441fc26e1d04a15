"""Checkpoints, of vibench's and of other codes: of which method, trained on whom."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vibench.datasets.check_hitsz_vcm import IDENTITIES as HITSZ_IDENTITIES
from vibench.datasets.check_llcm import IDENTITIES as LLCM_IDENTITIES
from vibench.datasets.check_regdb import IDENTITIES as REGDB_IDENTITIES
from vibench.datasets.registry import Dataset, get_dataset
from vibench.datasets.sysu_mm01 import sysu_skeleton
from vibench.datasets.testing import images_of_tests
from vibench.doctor.diagnosis import Claims, Diagnosis, Finding, claimed_trial, options, shell
from vibench.doctor.features import split_identities
from vibench.doctor.images import copy_of
from vibench.errors import UsageError, cited
from vibench.protocols import HEADLINE_PROTOCOLS
from vibench.training.checkpoint import Checkpoint, leaked_identities, read_checkpoint
from vibench.training.official import TRAINING_IDENTITIES
from vibench.training.official_file import OfficialFile, read_official_file
from vibench.training.official_guess import fitting_methods, plain_backbone

_CITED = 3
_HEAD = re.compile(r"(^|[._])(classifier|cls|fc|head|logits?|id_?head)\w*(\.\d+)*\.weight$", re.IGNORECASE)
_LAYOUT = re.compile(r"(sysu|regdb|llcm|hitsz|bupt)", re.IGNORECASE)
_LAYOUTS = {"sysu": "sysu-mm01", "regdb": "regdb", "llcm": "llcm", "hitsz": "hitsz-vcm", "bupt": "buptcampus"}
_IMAGENET = 1000
_SHOWN = {"r1": "rank-1"}


class Count(NamedTuple):
    """What a number of classes means."""

    layout: str
    what: str
    leaks: bool = False


@lru_cache(maxsize=1)
def class_counts() -> dict[int, Count]:
    """Numbers of identities that a classifier of a real data set's training can have, and what each says."""
    skeleton = sysu_skeleton()

    def people(*splits: str) -> int:
        return int(skeleton.loc[skeleton["split"].isin(splits), "pid"].nunique())

    counts = {
        people("train"): Count("sysu-mm01", "its training identities without those for validation"),
        people("train", "val"): Count("sysu-mm01", "its training identities"),
        people("train", "val", "test"): Count("sysu-mm01", "all its listed identities, those of the test too", True),
        people("train", "test"): Count("sysu-mm01", "its training and its test identities", True),
        int(skeleton["pid"].nunique()): Count("sysu-mm01", "all identities on disk, those of the test too", True),
        TRAINING_IDENTITIES["regdb"]: Count("regdb", "the training identities of a split"),
        REGDB_IDENTITIES: Count("regdb", "both halves of every split", True),
        TRAINING_IDENTITIES["llcm"]: Count("llcm", "its training identities"),
        LLCM_IDENTITIES: Count("llcm", "all its identities, those of the test too", True),
        TRAINING_IDENTITIES["hitsz-vcm"]: Count("hitsz-vcm", "its training identities"),
        TRAINING_IDENTITIES["buptcampus"]: Count("buptcampus", "its training identities"),
        HITSZ_IDENTITIES: Count("hitsz-vcm", "all its identities, those of the test too", True),
    }
    return counts


def diagnose_checkpoint(path: Path, claims: Claims) -> Diagnosis:
    """A checkpoint of vibench's; `UsageError` where it is damaged."""
    checkpoint = read_checkpoint(path)
    diagnosis = Diagnosis(str(path), "checkpoint of vibench")
    show_checkpoint(checkpoint, diagnosis)
    diagnosis.findings += checkpoint_findings(path, checkpoint, claims)
    dataset = _dataset(checkpoint.dataset)
    if dataset is not None:
        words = options(("--protocol", HEADLINE_PROTOCOLS[dataset.layout]), ("--root", claims.root))
        diagnosis.actions.append(shell("eval", "--checkpoint", path, *words))
        diagnosis.actions.append(shell("profile", path))
    return diagnosis


def show_checkpoint(checkpoint: Checkpoint, diagnosis: Diagnosis) -> None:
    for name, value in (
        ("method", " ".join(part for part in (checkpoint.method, checkpoint.variant) if part)),
        ("data set", f"{checkpoint.dataset} {checkpoint.dataset_version}".strip()),
        ("split", checkpoint.trial or ""),
        ("source", checkpoint.source),
        ("epochs", checkpoint.epoch or ""),
        ("steps of the next epoch", checkpoint.step or ""),
        ("training identities", checkpoint.num_classes),
        ("seed", checkpoint.seed),
        ("start", checkpoint.pretrained),
        ("precision", checkpoint.precision),
    ):
        diagnosis.note(name, value)


def checkpoint_findings(path: Path, checkpoint: Checkpoint, claims: Claims) -> list[Finding]:
    """What looks wrong with a checkpoint of vibench's."""
    found = not_finite(checkpoint.model)
    if checkpoint.incomplete:
        found.append(
            Finding(
                "doubtful",
                "trained on an incomplete copy",
                f"its training split {checkpoint.incomplete}",
                "complete the copy ('vibench data check') and train anew; boards give such a row no rank",
            )
        )
    if checkpoint.source == "imported":
        found.append(best_on_test("it was imported from an official checkpoint"))
    found += _class_findings(checkpoint.num_classes, checkpoint.dataset, "its head")
    dataset = _dataset(checkpoint.dataset)
    if dataset is None:
        return found
    claimed, where = claimed_trial(path, claims)
    if dataset.trials > 1 and claimed is not None and checkpoint.trial not in (None, claimed):
        found.append(_other_split(f"{where} says split {claimed}, the checkpoint itself split {checkpoint.trial}"))
    return found + _leaks(checkpoint, dataset, claims)


def _other_split(evidence: str) -> Finding:
    return Finding(
        "wrong",
        "a RegDB checkpoint of another split",
        evidence,
        "evaluate it on the split that it was trained on, without --trial; on another one about half of the test "
        "identities are training identities",
    )


def _leaks(checkpoint: Checkpoint, dataset: Dataset, claims: Claims) -> list[Finding]:
    """Training identities that are test identities of the data set."""
    root = copy_of(dataset, claims)
    if not checkpoint.train_pids:
        return [
            Finding(
                "note",
                "training identities are unknown",
                "the checkpoint names none, so testing on them cannot be refused",
                "import it with --root, a copy of the data set",
            )
        ]
    if dataset.trials > 1:
        return _leaks_of_splits(checkpoint, dataset, root)
    if root is None and dataset.name != "sysu-mm01":
        return [_needs_copy(dataset)]
    try:
        tested = {int(pid) for pid in images_of_tests(dataset, root or Path("-"))[1]["pid"]}
    except UsageError as error:
        return [Finding("note", "the copy could not be compared", str(error), "see what the doctor says of the copy")]
    leaked = leaked_identities(checkpoint, dataset.name, tested)
    return [_leaked(leaked, len(tested))] if leaked else []


def _leaks_of_splits(checkpoint: Checkpoint, dataset: Dataset, root: Path | None) -> list[Finding]:
    if root is None:
        return [_needs_copy(dataset)]
    halves = split_identities(dataset, root)
    trained = set(checkpoint.train_pids)
    own = halves.get(checkpoint.trial or 0)
    if own is None:
        return []
    if trained & own[1]:
        fitting = [split for split, (training, _) in halves.items() if training == trained]
        if fitting:
            return [
                _other_split(
                    f"it says split {checkpoint.trial}, but its {len(trained)} training identities are those of split "
                    f"{cited(fitting)}"
                )
            ]
        return [_leaked(sorted(trained & own[1]), len(own[1]))]
    return []


def _leaked(pids: Sequence[int], tested: int) -> Finding:
    return Finding(
        "wrong",
        "test identities in training",
        f"{len(pids)} of the {tested} test identities are training identities (pid {cited(pids, _CITED)})",
        "train without them: no score of this model on this test split means anything",
    )


def _needs_copy(dataset: Dataset) -> Finding:
    return Finding(
        "note",
        "training and test identities were not compared",
        f"the test identities of {dataset.title} are known from a copy alone",
        "name a copy with --root",
    )


def best_on_test(evidence: str) -> Finding:
    return Finding(
        "note",
        "the epoch was chosen by the test",
        f"{evidence}; the authors' codes keep the epoch with the best rank-1 of their test",
        "compare with figures of the last epoch with care: the choice is worth about a point",
    )


def not_finite(state: Mapping[str, Tensor]) -> list[Finding]:
    """Weights that are no numbers."""
    odd = [
        name
        for name, tensor in state.items()
        if tensor.is_floating_point() and tensor.numel() and not torch.isfinite(tensor.float()).all()
    ]
    if not odd:
        return []
    return [
        Finding(
            "wrong",
            "weights that are no numbers",
            f"{len(odd)} of {len(state)} tensors hold NaN or infinite values, such as {cited(odd, _CITED)}",
            "take an earlier checkpoint; the training has diverged",
        )
    ]


def diagnose_weights(path: Path, claims: Claims) -> Diagnosis:
    """A file of weights of another code; `UsageError` where it holds none."""
    file = read_official_file(path)
    diagnosis = Diagnosis(str(path), "weights of another code")
    diagnosis.note("weights", f"{len(file.state)} tensors" + (f" in {file.key!r}" if file.key else ""))
    diagnosis.note("epochs", "" if file.epoch is None else file.epoch + 1)
    diagnosis.note("seed", "" if file.seed is None else file.seed)
    if file.metrics:
        said = ", ".join(f"{_SHOWN.get(name, name)} {value:.2%}" for name, value in file.metrics.items())
        diagnosis.note("its own test", said)
        diagnosis.findings.append(best_on_test(f"the file states its test's score ({said})"))
    diagnosis.findings += not_finite(file.state)
    classes, head = _classes(file.state)
    claimed = _claimed_layout(path, claims)
    plain = plain_backbone(file.state)
    if plain is not None:
        diagnosis.note("network", f"a plain {plain.network} with {plain.library}'s names")
        if classes in (None, _IMAGENET):
            diagnosis.actions.append(shell("train", plain.method, "--pretrained", path))
            return diagnosis
    counted = class_counts().get(classes or 0)
    layout = claimed or (counted.layout if counted else "")
    fits = fitting_methods(file.state, layout or "sysu-mm01")
    if fits:
        how, fit = next(iter(fits.items()))
        classes = fit.classes if fit.classes is not None else classes
        counted = class_counts().get(classes or 0)
        layout = claimed or (counted.layout if counted else "")
        diagnosis.note("method", cited(list(fits), 5))
    else:
        diagnosis.findings.append(
            Finding(
                "note",
                "a network that no method here has",
                f"its names begin with {cited(sorted({name.split('.')[0] for name in file.state}), 5)}",
                "extract features with its own code and evaluate them with 'vibench eval --features'",
            )
        )
    if classes is not None:
        meaning = "" if counted is None else f", {counted.what} ({get_dataset(counted.layout).title})"
        diagnosis.note("classes", f"{classes}{meaning}")
        diagnosis.findings += _class_findings(classes, claimed, f"its head {head}" if head else "its head")
    trial = _split_of(path, file, claims, layout, diagnosis)
    if fits:
        words = options(("--dataset", layout), ("--trial", trial), ("--root", claims.root))
        diagnosis.actions.append(shell("import", *how.split(), path, "-o", f"{path.stem}-vibench.pt", *words))
    return diagnosis


def _split_of(path: Path, file: OfficialFile, claims: Claims, layout: str, diagnosis: Diagnosis) -> int | str:
    if layout != "regdb":
        return ""
    diagnosis.note("split", file.trial or "")
    if claims.trial is not None and file.trial not in (None, claims.trial):
        diagnosis.findings.append(
            _other_split(f"--trial {claims.trial} is asked for, and {path.name} says that it is of split {file.trial}")
        )
    if file.trial is None and claims.trial is None:
        diagnosis.findings.append(
            Finding(
                "doubtful",
                "a RegDB checkpoint that does not say its split",
                "neither the file nor its name tells which of the ten splits it was trained on",
                "find out before testing it, and name it with --trial; features of its test images tell it, too: "
                "give them to the doctor with --root",
            )
        )
    return file.trial or claims.trial or "SPLIT"


def _claimed_layout(path: Path, claims: Claims) -> str:
    if claims.dataset:
        return get_dataset(claims.dataset).layout
    rules = claims.rules()
    if rules is not None:
        return rules.layout
    found = {_LAYOUTS[mark.lower()] for mark in _LAYOUT.findall(path.name)}
    return found.pop() if len(found) == 1 else ""


def _classes(state: Mapping[str, Tensor]) -> tuple[int | None, str]:
    """Classes that a head tells apart, and its name: of several the first with a number that is known."""
    heads = {name: int(tensor.shape[0]) for name, tensor in state.items() if tensor.ndim == 2 and _HEAD.search(name)}
    known = [name for name, classes in heads.items() if classes in class_counts()]
    for name in (*known, *heads):
        return heads[name], name
    return None, ""


def _class_findings(classes: int, dataset: str, head: str) -> list[Finding]:
    """What the number of classes says of the identities in training; of real data sets alone."""
    counted = class_counts().get(classes)
    layout = dataset if dataset in TRAINING_IDENTITIES else ""
    if dataset and not layout:
        return []
    if counted is not None and counted.leaks and counted.layout == (layout or counted.layout):
        return [
            Finding(
                "wrong",
                "test identities in training",
                f"{head} has {classes} classes: {counted.what} of {get_dataset(counted.layout).title}, whose training "
                f"identities are {TRAINING_IDENTITIES[counted.layout]}",
                "train without the test identities: no score of this model on this data set means anything",
            )
        ]
    if not layout:
        return []
    wanted = TRAINING_IDENTITIES[layout]
    if counted is not None and counted.layout != layout:
        return [
            Finding(
                "wrong",
                "weights of another data set",
                f"{head} has {classes} classes, {counted.what} of {get_dataset(counted.layout).title}, and not the "
                f"{wanted} of {get_dataset(layout).title}",
                f"name the data set that it was trained on, with --dataset {counted.layout}",
            )
        ]
    if classes > wanted:
        return [
            Finding(
                "doubtful",
                "more classes than training identities",
                f"{head} has {classes} classes, and {get_dataset(layout).title} {wanted} training identities",
                "find out which identities were trained on; classes may also be counted by the largest label",
            )
        ]
    if classes < wanted:
        said = f": {counted.what}" if counted is not None else ""
        return [
            Finding(
                "note",
                "fewer classes than training identities",
                f"{head} has {classes} classes{said}, and {get_dataset(layout).title} {wanted} training identities",
                "nothing need be done; say so beside its score",
            )
        ]
    return []


def _dataset(name: str) -> Dataset | None:
    try:
        return get_dataset(name)
    except UsageError:
        return None
