"""Proves a copy of a data set complete, or names what is wrong with it, image by image."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from vibench.datasets import check_llcm, check_regdb, check_sysu_mm01, llcm, regdb, sysu_mm01
from vibench.datasets.image_file import ImageFileError, read_rgb
from vibench.datasets.listing import require_root
from vibench.datasets.registry import Dataset
from vibench.datasets.report import CheckReport, Problem
from vibench.errors import UsageError
from vibench.parallel import map_in_processes
from vibench.progress import Progress, silent

_CHUNK_IMAGES = 200
_LAYOUTS = {
    "sysu-mm01": (sysu_mm01.list_root, check_sysu_mm01.check),
    "regdb": (regdb.list_root, check_regdb.check),
    "llcm": (llcm.list_root, check_llcm.check),
}
"""How a layout's images are listed, and how what was listed is compared with what should be there."""


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
    root = Path(root)
    require_root(root, dataset.name)
    list_root, check = _LAYOUTS[dataset.layout]
    listing = list_root(root)
    if not listing.samples:
        raise UsageError(f"{root} holds no image of {dataset.name}; check --root and --dataset")
    counts, problems = check(root, listing.samples, dataset.synthetic)
    problems += decoding_problems(root, [sample.path for sample in listing.samples], workers, progress)
    problems += [
        Problem("ignored", path, "its name is not that of an image of this data set", warning=True)
        for path in listing.ignored
    ]
    return CheckReport(dataset.name, str(root), tuple(counts), tuple(problems))


def decoding_problems(
    root: Path, paths: list[str], workers: int | None = None, progress: Progress = silent
) -> list[Problem]:
    """The images among relative ``paths`` that cannot be decoded completely, sorted by path."""
    tasks = [(str(root), tuple(paths[at : at + _CHUNK_IMAGES])) for at in range(0, len(paths), _CHUNK_IMAGES)]
    problems: list[Problem] = []
    with (
        progress("decoding images", len(paths)) as advance,
        closing(map_in_processes(_decode, tasks, workers)) as decoded,
    ):
        for (_, chunk), found in decoded:
            problems += found
            advance(len(chunk))
    return sorted(problems, key=lambda problem: problem.path)


def _decode(task: tuple[str, tuple[str, ...]]) -> list[Problem]:
    root, paths = task
    problems = []
    for path in paths:
        try:
            read_rgb(Path(root) / path)
        except ImageFileError as error:
            problems.append(Problem(error.kind, path, error.detail))
    return problems
