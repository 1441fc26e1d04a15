"""Proves a copy of a data set complete, or names what is wrong with it, image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from vibench.datasets import check_buptcampus, check_hitsz_vcm, check_llcm, check_regdb, check_sysu_mm01
from vibench.datasets.image_file import ImageFileError, read_rgb
from vibench.datasets.listing import Listing, Sample
from vibench.datasets.passed_over import passed_over, passed_over_note
from vibench.datasets.pixels import PixelFacts, View, count_colours, equal_images, modality_finding, pixel_facts
from vibench.datasets.registry import Dataset
from vibench.datasets.report import CheckReport, Problem
from vibench.errors import UsageError
from vibench.runtime.parallel import map_in_processes
from vibench.runtime.progress import Progress, silent

_CHUNK_IMAGES = 200
_CHECKS = {
    "sysu-mm01": check_sysu_mm01.check,
    "regdb": check_regdb.check,
    "llcm": check_llcm.check,
    "hitsz-vcm": check_hitsz_vcm.check,
    "buptcampus": check_buptcampus.check,
}
"""How the images of a layout are compared with what should be there."""


def check_dataset(dataset: Dataset, root: Path, workers: int | None = None, progress: Progress = silent) -> CheckReport:
    """Compare the copy below ``root`` with the published counts and decode every image.

    A twin is compared with the counts in its own ``truth/skeleton.csv``.

    Args:
        dataset: The data set.
        root: Its root folder.
        workers: Worker processes that decode; default one per core.
        progress: Told about the images decoded.

    Raises:
        UsageError: ``root`` is no folder or holds no image of the data set, or a twin lacks its truth.
    """
    listing, report = _checked_names(dataset, Path(root))
    pixels = image_problems(Path(root), listing.samples, workers, progress, listing.files)
    return replace(report, problems=(*report.problems, *pixels))


def check_names(dataset: Dataset, root: Path) -> CheckReport:
    """As `check_dataset`, by the names of the files and the lists alone: no image is decoded."""
    return _checked_names(dataset, Path(root))[1]


def _checked_names(dataset: Dataset, root: Path) -> tuple[Listing, CheckReport]:
    listing = dataset.list_root(root)
    if not listing.samples:
        note = passed_over_note(dataset, root, listing)
        said = f" ({note.removeprefix(f'{root}: ')})" if note else ""
        raise UsageError(f"{root} holds no image of {dataset.name}; check --root and --dataset{said}")
    counts, problems = _CHECKS[dataset.layout](root, listing.samples, dataset.synthetic)
    problems = [
        *(problem for problem in problems if problem.kind != "missing" or problem.path not in listing.empty),
        *(Problem("truncated", file, "0 bytes") for file in listing.empty.values()),
    ]
    problems += [
        Problem("ambiguous", image, f"{' and '.join(files)} are all this image; keep the right one of them")
        for image, files in listing.doubles.items()
    ]
    problems += [Problem("ignored", path, reason, warning=True) for path, reason in passed_over(dataset, root, listing)]
    if dataset.is_twin(root):
        said = f"synthetic people, no copy of {dataset.name}; give --dataset {dataset.name}-twin"
        problems.append(Problem("list", "truth/twin.json", said))
    return listing, CheckReport(dataset.name, str(root), tuple(counts), tuple(problems))


def image_problems(
    root: Path,
    samples: Sequence[Sample],
    workers: int | None = None,
    progress: Progress = silent,
    files: Mapping[str, str] | None = None,
) -> list[Problem]:
    """The images that cannot be decoded completely, that show another identity's pixels, or the other modality's.

    ``files`` has the names of the image files where they are others than those of the samples.
    """
    paths = [(sample.path, (files or {}).get(sample.path, sample.path)) for sample in samples]
    tasks = [(str(root), tuple(paths[at : at + _CHUNK_IMAGES])) for at in range(0, len(paths), _CHUNK_IMAGES)]
    problems: list[Problem] = []
    facts: dict[str, PixelFacts] = {}
    with (
        progress("decoding images", len(paths)) as advance,
        closing(map_in_processes(_decode, tasks, workers)) as decoded,
    ):
        for (_, chunk), (found, known) in decoded:
            problems += found
            facts |= known
            advance(len(chunk))
    whole = [sample for sample in samples if sample.path in facts]
    known_facts = [facts[sample.path] for sample in whole]
    problems += _duplicates([[whole[place] for place in places] for places in equal_images(known_facts)])
    views = [View(sample.modality, sample.camera) for sample in whole]
    finding = modality_finding(count_colours(known_facts, views))
    if finding is not None:
        said = finding.sentence + (": visible and infrared have changed places" if finding.exchanged else "")
        named = next(sample.path for sample, view in zip(whole, views, strict=True) if view == finding.views[0])
        problems.append(Problem("modality", named, said, warning=not finding.exchanged))
    # Where a file lies is what helps to mend it.
    located = dict(paths)
    problems = [replace(problem, path=located[problem.path]) for problem in problems]
    return sorted(problems, key=lambda problem: problem.path)


def _duplicates(groups: Sequence[Sequence[Sample]]) -> list[Problem]:
    """Images with equal pixels that are said to show different people, and may stand on both sides of a split."""
    problems = []
    for first, *others in groups:
        for sample in others:
            if sample.pid != first.pid:
                said = f"has the pixels of {first.path}, which is of another identity; training and test may share them"
                problems.append(Problem("duplicate", sample.path, said, warning=True))
    return problems


def _decode(task: tuple[str, tuple[tuple[str, str], ...]]) -> tuple[list[Problem], dict[str, PixelFacts]]:
    root, paths = task
    problems, facts = [], {}
    for path, file in paths:
        try:
            facts[path] = pixel_facts(np.asarray(read_rgb(Path(root) / file)))
        except ImageFileError as error:
            problems.append(Problem(error.kind, path, error.detail))
    return problems, facts
