"""Run folders of vibench: what was trained on what, how far it came, and whether anything looks wrong."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

from vibench.datasets.joined import first_test
from vibench.datasets.registry import get_dataset
from vibench.doctor.checkpoint import checkpoint_findings, show_checkpoint
from vibench.doctor.diagnosis import Claims, Diagnosis, Finding, options, shell
from vibench.doctor.training_log import judge_log
from vibench.errors import UsageError, cited
from vibench.files.lock import give_back, take
from vibench.methods.registry import method_names
from vibench.protocols import HEADLINE_PROTOCOLS
from vibench.training.checkpoint import read_checkpoint
from vibench.training.folder import RunFolder, open_runs

_MOST_RUNS = 200


def runs_below(folder: Path) -> list[Path]:
    """The run folders in a folder of runs, at most `_MOST_RUNS`, in order."""
    found: list[Path] = []
    for pattern in ("*/run.json", "*/*/run.json", "*/*/*/run.json"):
        found += [path.parent for path in islice(folder.glob(pattern), _MOST_RUNS - len(found))]
    return sorted(found)


def diagnose_run(path: Path, claims: Claims) -> Diagnosis:
    """A run, or the runs of several splits."""
    runs = open_runs(path)
    diagnosis = Diagnosis(str(path), "run" if len(runs) == 1 else f"run with {len(runs)} splits")
    sound = True
    for run in runs:
        one = diagnosis if len(runs) == 1 else Diagnosis(str(run.path), "run")
        try:
            _judge(run, claims, one)
        except UsageError as error:
            one.findings.append(_unreadable(run, error, "copy its files again from where it was trained"))
            sound = False
        if one is not diagnosis:
            for name, value in one.facts.items():
                diagnosis.note(f"{run.path.name} {name}", value)
            diagnosis.findings += [
                Finding(found.severity, f"{run.path.name}: {found.what}", found.evidence, found.remedy)
                for found in one.findings
            ]
            diagnosis.actions += [action for action in one.actions if "--resume" in action]
    if sound and all(run.checkpoint_path.is_file() for run in runs):
        name = runs[0].description().dataset
        # Of several trained on together, one is to be named to test on.
        try:
            tested = first_test(name, len(runs)).name
        except UsageError:
            tested = name
        trial = runs[0].description().trial if len(runs) > 1 else None
        target = options(("--dataset", tested if tested != name else None))
        protocol = HEADLINE_PROTOCOLS.get(_layout(tested), "PROTOCOL")
        moved = _moved(runs[0], claims)
        diagnosis.actions.append(shell("eval", path, *target, "--protocol", protocol, *moved))
        diagnosis.actions.append(
            shell("extract", path, *target, *options(("--trial", trial)), *moved, "-o", "features.npz")
        )
    return diagnosis


def diagnose_runs(path: Path, runs: list[Path]) -> Diagnosis:
    """A folder of runs: how far each came."""
    diagnosis = Diagnosis(str(path), f"folder of {len(runs)} runs")
    for run in runs:
        folder = RunFolder(run)
        try:
            state = "finished" if folder.finished() else f"{folder.timing().epochs} epochs"
            diagnosis.note(str(run.relative_to(path)), state)
        except UsageError as error:
            diagnosis.findings.append(_unreadable(folder, error, f"see 'vibench doctor {run}', or remove it"))
    diagnosis.actions += [shell("doctor", runs[0]), shell("report", "--runs", path)]
    return diagnosis


def _unreadable(run: RunFolder, error: UsageError, remedy: str) -> Finding:
    """A run is damaged, unless its method is somebody's own, which must be named to be known."""
    with suppress(UsageError):
        if run.description().method not in method_names():
            again = shell("doctor", run.path, "--plugin", "PATH")
            return Finding("note", "a method that is not registered here", str(error), f"name its folder: {again}")
    return Finding("wrong", "a damaged run", str(error), remedy)


def _layout(name: str) -> str:
    try:
        return get_dataset(name).layout
    except UsageError:
        return ""


def _judge(run: RunFolder, claims: Claims, diagnosis: Diagnosis) -> None:
    description = run.description()
    recipe, timing = run.recipe(), run.timing()
    for name, value in (
        ("id", description.id),
        ("method", " ".join(part for part in (description.method, description.variant) if part)),
        ("data set", f"{description.dataset} {description.dataset_version}".strip()),
        ("split", description.trial or ""),
        ("seed", description.seed),
        ("epochs", f"{timing.epochs} of {recipe.schedule.epochs}"),
        ("training time", f"{timing.train_seconds:.0f} s" if timing.train_seconds else ""),
        (
            "training images lie in",
            description.root + ("" if Path(description.root).is_dir() else " (no longer there)"),
        ),
    ):
        diagnosis.note(name, value)
    _judge_progress(run, _moved(run, claims), timing.epochs, recipe.schedule.epochs, diagnosis)
    if recipe.method != description.method or recipe.dataset != description.dataset:
        diagnosis.findings.append(
            Finding(
                "wrong",
                "recipe and run disagree",
                f"recipe.toml is of {recipe.method} on {recipe.dataset}, run.json of {description.method} on "
                f"{description.dataset}",
                "a file was replaced; train anew",
            )
        )
    if run.log_path.is_file():
        try:
            judge_log(run.log_path, diagnosis)
        except UsageError as error:
            diagnosis.findings.append(Finding("wrong", "a damaged log", str(error), "move it away; the run goes on"))
    if not run.checkpoint_path.is_file():
        return
    try:
        checkpoint = read_checkpoint(run.checkpoint_path)
    except UsageError as error:
        diagnosis.findings.append(Finding("wrong", "a damaged checkpoint", str(error), "train anew"))
        return
    described = dict(diagnosis.facts)
    show_checkpoint(checkpoint, diagnosis)
    diagnosis.facts |= described
    diagnosis.findings += checkpoint_findings(run.checkpoint_path, checkpoint, _of_run(run, claims))
    pairs = {
        "method": (checkpoint.method, description.method),
        "data set": (checkpoint.dataset, description.dataset),
        "split": (checkpoint.trial, description.trial),
        "seed": (checkpoint.seed, description.seed),
    }
    odd = [f"{name} {one} in the checkpoint and {two} in run.json" for name, (one, two) in pairs.items() if one != two]
    if odd:
        diagnosis.findings.append(
            Finding(
                "wrong", "checkpoint and run disagree", cited(odd), "the checkpoint is of another run; find its own"
            )
        )


def _of_run(run: RunFolder, claims: Claims) -> Claims:
    """What is claimed, with the data set where the run found it, if it is still there."""
    root = Path(run.description().root)
    return replace(claims, root=root) if claims.root is None and root.is_dir() else claims


def _moved(run: RunFolder, claims: Claims) -> Sequence[object]:
    """The words that say where the data set lies, if it is not where the run found it."""
    gone = not Path(run.description().root).is_dir()
    return options(("--root", claims.root or ("PATH" if gone else None)))


def _judge_progress(run: RunFolder, moved: Sequence[object], epochs: int, wanted: int, diagnosis: Diagnosis) -> None:
    if epochs >= wanted and run.checkpoint_path.is_file():
        return
    if _is_training(run):
        diagnosis.findings.append(
            Finding("note", "it is being trained", f"a process holds {run.path / 'lock'}", "wait for it")
        )
        return
    if epochs >= wanted:
        diagnosis.findings.append(
            Finding(
                "doubtful",
                "the checkpoint is missing",
                f"all {wanted} epochs are trained, and there is no {run.checkpoint_path.relative_to(run.path)}",
                "copy it from where the run was trained; without it nothing can be evaluated",
            )
        )
        return
    resume = shell("train", "--resume", run.path, *moved)
    diagnosis.actions.append(resume)
    diagnosis.findings.append(
        Finding(
            "doubtful",
            "training is not finished",
            f"{epochs} of {wanted} epochs are trained"
            + ("" if run.checkpoint_path.is_file() else " and there is no checkpoint yet"),
            f"go on with '{resume}'",
        )
    )


def _is_training(run: RunFolder) -> bool:
    """Whether a process holds the lock of a run."""
    try:
        with (run.path / "lock").open("rb") as handle:
            if not take(handle.fileno(), wait=False):
                return True
            give_back(handle.fileno())
    except OSError:
        pass
    return False
