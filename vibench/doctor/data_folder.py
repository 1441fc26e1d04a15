"""Folders of data sets: which, whether it is whole by its names and lists, and whether it is this very folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from vibench.datasets.check import check_names
from vibench.datasets.listing import holds_any, located, nearby_root
from vibench.datasets.registry import Dataset, dataset_names, get_dataset
from vibench.datasets.report import Problem
from vibench.doctor.diagnosis import Claims, Diagnosis, Finding, shell
from vibench.errors import UsageError, cited

_CITED = 3
_WORDS = {
    "missing": ("images are missing", "copy them again from the data set's archive"),
    "surplus": ("images that do not belong to it", "take them out, or see whether they are of another data set"),
    "list": ("lists that are wrong", "copy the lists again from the data set's archive"),
    "ambiguous": ("files that are the same image", "keep the right one of them"),
    "ignored": ("files that are not used", "nothing need be done, unless they should be images of it"),
}


def dataset_in(folder: Path, claims: Claims) -> tuple[Dataset, Path] | None:
    """The data set whose image folders a folder holds, and the folder that does, which may lie deeper; or None."""
    names = [claims.dataset] if claims.dataset else dataset_names()
    real = [get_dataset(name) for name in names]
    for dataset in real:
        if _holds(folder, dataset):
            return _synthetic(dataset, folder), folder
    for dataset in real:
        nearby = nearby_root(folder, dataset.image_folders)
        # The folder above holds it where an image folder was named.
        if nearby is None or (nearby == folder.resolve().parent and not _is_image_folder(folder, dataset)):
            continue
        if _holds(nearby, dataset):
            return _synthetic(dataset, nearby), nearby
    return None


def _is_image_folder(folder: Path, dataset: Dataset) -> bool:
    return folder.resolve().name.casefold() in {name.casefold() for name in dataset.image_folders}


def _holds(folder: Path, dataset: Dataset) -> bool:
    return holds_any(folder, dataset.image_folders) and all(located(folder, mark).exists() for mark in dataset.marks)


def _synthetic(dataset: Dataset, folder: Path) -> Dataset:
    """The twin, where the folder has its truth."""
    twin = f"{dataset.layout}-twin"
    return get_dataset(twin) if (folder / "truth" / "twin.json").is_file() and twin in dataset_names() else dataset


def diagnose_data(path: Path, dataset: Dataset, root: Path) -> Diagnosis:
    """A copy of ``dataset`` at ``root``, which ``path`` holds or is part of."""
    diagnosis = Diagnosis(str(path), f"copy of {dataset.title}")
    if root.resolve() != path.resolve():
        deeper = path.resolve() in root.resolve().parents
        diagnosis.note("its folder", root)
        diagnosis.findings.append(
            Finding(
                "doubtful",
                "the data set lies deeper" if deeper else "a part of the data set",
                f"the folders of images lie in {root}",
                f"pass --root {root}",
            )
        )
    where = ("--dataset", dataset.name, "--root", root)
    diagnosis.actions += [
        shell("data", "check", *where),
        shell("data", "info", *where),
        shell("train", "agw", *where),
    ]
    try:
        diagnosis.note("version", dataset.version(root))
        report = check_names(dataset, root)
    except UsageError as error:
        diagnosis.findings.append(Finding("wrong", "cannot be read", str(error), "copy it again"))
        return diagnosis
    odd = [count for count in report.counts if not count.agrees]
    for count in report.counts[:6]:
        diagnosis.note(count.quantity, f"{count.found}" if count.agrees else f"{count.found} of {count.expected}")
    diagnosis.note(
        "names and lists", f"{report.verdict}; pixels were not looked at" if report.complete else report.verdict
    )
    differing = [f"{one.quantity} {one.found}, not {one.expected}" for one in odd if one.verified]
    kinds = Counter(problem.kind for problem in report.problems)
    for kind in kinds:
        diagnosis.findings += _problems(kind, [one for one in report.problems if one.kind == kind])
    if differing:
        diagnosis.findings.append(
            Finding(
                "wrong",
                "not the numbers that are published",
                cited(differing, _CITED),
                f"find out what is missing with '{shell('data', 'check', *where)}'",
            )
        )
    unverified = [f"{one.quantity} {one.found}, reported {one.expected}" for one in odd if not one.verified]
    if unverified and not differing:
        diagnosis.findings.append(
            Finding("note", "other numbers than reported", cited(unverified, _CITED), "they are reported second-hand")
        )
    return diagnosis


def _problems(kind: str, problems: list[Problem]) -> list[Finding]:
    what, remedy = _WORDS.get(kind, (kind, "see 'vibench data check'"))
    found = []
    for warning in (False, True):
        some = [f"{one.path}: {one.detail}" for one in problems if one.warning == warning]
        if some:
            found.append(Finding("note" if warning else "wrong", what, f"{len(some)}: {cited(some, _CITED)}", remedy))
    return found
