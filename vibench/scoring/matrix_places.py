"""Where images stand in matrices of scores, as the evaluator takes it.

The features of an image are its row and its column in every matrix, -1 for none, and the distance of two images is
looked up there. So draws, skips, ties and metrics are those of every other evaluation, and scores count exactly as they
were given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vibench.datasets.index import SampleIndex
from vibench.datasets.registry import Dataset, dataset_root
from vibench.datasets.testing import images_of_tests, sysu_test_names
from vibench.errors import UsageError, cited
from vibench.evaluation.distances import DistanceFunction
from vibench.evaluation.draws import PermutationsLike, Trial, draw_trials
from vibench.evaluation.features import Features
from vibench.evaluation.images import Images, identify
from vibench.protocols import Protocol, Side
from vibench.scoring.foreign.assemble import assemble
from vibench.scoring.foreign.fit import only_test_images
from vibench.scoring.foreign.keys import GALLERY, QUERY
from vibench.scoring.foreign.layout import Part
from vibench.scoring.foreign.names import relative_names
from vibench.scoring.matrix_file import Axis, ScoreMatrix
from vibench.scoring.rules import Rules

COMPLETE_SCORES = (
    "give the scores of all test images, name their data set with --dataset if it is another, or evaluate what is "
    "there, unranked, with --allow-incomplete"
)
"""What to do where images are missing from scores."""
_CITED = 3


@dataclass(frozen=True)
class Placed:
    """One matrix, or one per trial, of one train/test split."""

    features: Features
    """(N, 2) or (N, 2 x trials): row and column."""
    distance: DistanceFunction
    notes: tuple[str, ...] = ()
    incomplete: bool = False
    """Images are known to be missing that the evaluator does not know of."""


def placed_by_split(
    files: Sequence[Sequence[ScoreMatrix]],
    rules: Rules,
    dataset: Dataset,
    root: Path | None,
    permutations: PermutationsLike | None,
) -> dict[int, Placed]:
    """The matrices of several files by train/test split; errors as `vibench.scoring.matrix.score_matrices`."""
    for protocol in rules.protocols:
        if protocol.layout != dataset.layout:
            raise UsageError(
                f"protocol {protocol.name} is for {protocol.layout}, but the scores are of {dataset.name}; "
                "choose protocols of one data set."
            )
    matrices = [matrix for of_file in files for matrix in of_file]
    first = matrices[0]
    numbered = [matrix for matrix in matrices if matrix.number is not None]
    if numbered and len(files) > 1:
        raise UsageError(f"{numbered[0].where}: one of several files holds one split, and no number in its names.")
    if dataset.trials > 1:
        splits = [at if one.number is None else one.number for at, one in enumerate(matrices, start=1)]
        return {
            split: _of_all(matrix, rules.protocols, dataset, split, root)
            for split, matrix in zip(splits, matrices, strict=True)
        }
    if len(files) > 1:
        raise UsageError(
            f"--scores: {dataset.name} has one train/test split and so one file, not {len(files)}; matrices of several "
            "trials are scores_1, scores_2, ... of one file."
        )
    if not numbered:
        return {1: _of_all(first, rules.protocols, dataset, 1, root)}
    if len(rules.protocols) > 1 or len(rules.draws) > 1:
        raise UsageError(
            f"{first.where}: matrices of single trials are those of one protocol and one draw; evaluate one at a time, "
            "or give one matrix with all gallery images."
        )
    (protocol,), (draw,) = rules.protocols, rules.draws
    draw = protocol.resolve_draw(draw)
    return {1: _of_trials(matrices, protocol, draw, dataset, root, permutations, rules.allow_incomplete)}


def _of_all(
    matrix: ScoreMatrix, protocols: Sequence[Protocol], dataset: Dataset, split: int, root: Path | None
) -> Placed:
    """Of one matrix, whose columns are all images that a gallery can have."""
    notes: list[str] = []
    if matrix.query.names is None or matrix.gallery.names is None:
        drawn = next((protocol for protocol in protocols if protocol.draws != ("none",)), None)
        if drawn is not None:
            raise UsageError(
                f"{matrix.where}: protocol {drawn.name} draws images by name; give query_paths and gallery_paths."
            )
        parts = [_part(QUERY, matrix.query, 0), _part(GALLERY, matrix.gallery, 1)]
        features, notes = assemble(parts, dataset, protocols, matrix.where)
    else:
        rows, columns = _places(matrix, dataset)
        names = tuple(dict.fromkeys([*rows, *columns]))
        features = Features(_table(names, [(rows, columns)]), paths=names)
        features, notes = only_test_images(features, dataset, split, root, "scores")
        features = _with_unasked(features, protocols, dataset)
    images = identify(features, dataset)
    for protocol in protocols:
        _require_places(matrix, features, images, protocol, protocol.query, 0)
        _require_places(matrix, features, images, protocol, protocol.gallery, 1)

    def distances(query: Tensor, gallery: Tensor, query_mode: str) -> Tensor:
        return _looked_up(matrix, query[:, 0], gallery[:, 1])

    return Placed(features, DistanceFunction(distances, name="scores"), tuple(notes))


def _of_trials(
    matrices: Sequence[ScoreMatrix],
    protocol: Protocol,
    draw: str,
    dataset: Dataset,
    root: Path | None,
    permutations: PermutationsLike | None,
    allow_incomplete: bool,
) -> Placed:
    """Of one matrix per trial, whose columns (or rows, where queries are drawn) are what the trial draws."""
    places = [_places(matrix, dataset) for matrix in matrices]
    index = _test_images(dataset, root, matrices[0].where)
    lacking, others = [], 0
    for side, axis in ((protocol.query, 0), (protocol.gallery, 1)):
        if side.drawn:
            continue
        # What is not drawn must be in every trial.
        there = set.intersection(*(set(of_trial[axis]) for of_trial in places))
        of_side = index["modality"].eq(side.modality) & index["camera"].isin(side.cameras)
        absent = index.loc[of_side & ~index["path"].isin(there), "path"].tolist()
        others = len(there - set(index.loc[of_side, "path"]))
        if absent:
            said = f"{len(absent)} of the {int(of_side.sum())} {_role(protocol, side)} of {protocol.name} lack scores"
            lacking.append(f"{said} ({cited(absent, _CITED)})")
            index = index[~index["path"].isin(absent)]
    if lacking and not allow_incomplete:
        raise UsageError(f"{matrices[0].where}: {lacking[0]}; {COMPLETE_SCORES}.")
    paths = tuple(index["path"])
    features = Features(_table(paths, places), paths=paths)
    trials = draw_trials(protocol, identify(features, dataset), draw, permutations)
    numbers = [matrix.number for matrix in matrices]
    if numbers not in (list(range(len(trials))), list(range(1, len(trials) + 1))):
        raise UsageError(
            f"{matrices[0].where}: the matrices are numbered {cited(numbers, 12)}, but {protocol.name} has "
            f"{len(trials)} trials; number them from 1 to {len(trials)}."
        )
    for at, (matrix, trial) in enumerate(zip(matrices, trials, strict=True)):
        _require_draw(matrix, places[at], protocol, draw, trial, trials, paths)
    at_number = {trial.number: at for at, trial in enumerate(trials)}

    def distances(query: Tensor, gallery: Tensor, query_mode: str, trial: int) -> Tensor:
        at = at_number[trial]
        return _looked_up(matrices[at], query[:, 2 * at], gallery[:, 2 * at + 1])

    return Placed(
        features,
        DistanceFunction(distances, pairwise=False, takes_trial=True, name="scores"),
        (
            *lacking,
            *((f"{others} images of the scores are not of the test split and were left out",) if others else ()),
        ),
        incomplete=bool(lacking),
    )


def _looked_up(matrix: ScoreMatrix, rows: Tensor, columns: Tensor) -> Tensor:
    """Distances (q, g) float64 of some rows and columns: scores with the other sign, which changes no digit."""
    chosen = matrix.values[np.ix_(rows.long().cpu().numpy(), columns.long().cpu().numpy())].astype(np.float64)
    return torch.from_numpy(chosen if matrix.distances else -chosen).to(rows.device)


def _places(matrix: ScoreMatrix, dataset: Dataset) -> tuple[dict[str, int], dict[str, int]]:
    """The row of every query and the column of every gallery image, by the data set's own names."""

    def places(axis: Axis, side: str) -> dict[str, int]:
        if axis.names is None:
            raise UsageError(f"{matrix.where}: images that are drawn are known by name; give {side}_paths.")
        names = relative_names(axis.names, dataset)
        misfits = [name for name in names if not dataset.is_image(name)]
        if misfits:
            raise UsageError(
                f"{matrix.where}: {len(misfits)} of the {len(names)} {side} names are of no image of "
                f"{dataset.title} ({cited([repr(name[:200]) for name in misfits], _CITED)}); write paths such as "
                f"{dataset.name_form}."
            )
        if len(set(names)) < len(names):
            name, count = Counter(names).most_common(1)[0]
            raise UsageError(
                f"{matrix.where}: '{name}' occurs {count} times among the {side} names; give it one place."
            )
        return {name: at for at, name in enumerate(names)}

    return places(matrix.query, QUERY), places(matrix.gallery, GALLERY)


def _table(names: Sequence[str], places: Sequence[tuple[Mapping[str, int], Mapping[str, int]]]) -> np.ndarray:
    """(N, 2 x matrices) float64: row and column of every name in every matrix."""
    columns = [[of_side.get(name, -1) for name in names] for of_matrix in places for of_side in of_matrix]
    return np.array(columns, dtype=np.float64).T


def _part(side: str, axis: Axis, column: int) -> Part:
    """The images of a side of which one at least has no names, for `assemble`."""
    images = axis.pids if axis.names is None else np.array(axis.names, dtype=np.str_)
    assert images is not None
    places = np.full((len(images), 2), -1.0)
    places[:, column] = np.arange(len(images))
    return Part(side, places, None if axis.names is None else images, axis.pids, axis.cameras, axis.modalities)


def _with_unasked(features: Features, protocols: Sequence[Protocol], dataset: Dataset) -> Features:
    """With the images of SYSU-MM01 that no protocol asks for, of which indoor search has many: they are not missing."""
    if dataset.name != "sysu-mm01" or features.paths is None:
        return features
    sides = [side for protocol in protocols for side in (protocol.query, protocol.gallery)]
    asked = {(side.modality, camera) for side in sides for camera in side.cameras}
    index, given = dataset.index_from_names(sysu_test_names()), set(features.paths)
    rows = zip(index["path"], index["modality"], index["camera"], strict=True)
    more = tuple(path for path, *of in rows if tuple(of) not in asked and path not in given)
    table = np.concatenate([features.features, np.full((len(more), 2), -1.0)])
    return replace(features, features=table, paths=(*features.paths, *more))


def _require_places(
    matrix: ScoreMatrix, features: Features, images: Images, protocol: Protocol, side: Side, axis: int
) -> None:
    """Refuse a protocol that asks for images which the matrix has on its other side alone, or not at all."""
    wanted = (images.modalities == side.modality) & np.isin(images.cameras, side.cameras)
    absent = wanted & (features.features[:, axis] < 0)
    if wanted.any() and not absent.any():
        return
    what, role = ("row", "column")[axis], _role(protocol, side)
    said = f"no {what} for the {role} of {protocol.name}, {side.modality} images of camera {cited(side.cameras, 12)}"
    if absent.any():
        first = "" if features.paths is None else f" ({features.paths[int(np.argmax(absent))]})"
        said = f"no {what} for {int(absent.sum())} of the {int(wanted.sum())} {role} of {protocol.name}{first}"
    raise UsageError(
        f"{matrix.where}: has {said}; its rows are queries and its columns gallery images, so give the scores of the "
        "other direction in a file of their own."
    )


def _require_draw(
    matrix: ScoreMatrix,
    places: tuple[Mapping[str, int], Mapping[str, int]],
    protocol: Protocol,
    draw: str,
    trial: Trial,
    trials: Sequence[Trial],
    paths: Sequence[str],
) -> None:
    """Refuse a matrix of other images than the trial draws."""

    def drawn_in(one: Trial) -> list[str]:
        return [paths[row] for row in (one.query if protocol.query.drawn else one.gallery)]

    given, drawn = set(places[0] if protocol.query.drawn else places[1]), drawn_in(trial)
    differing = [name for name in drawn if name not in given]
    if not differing and len(given) == len(drawn):
        return
    role = _role(protocol, protocol.query if protocol.query.drawn else protocol.gallery)
    others = [one.number for one in trials if set(drawn_in(one)) == given]
    said = f"it has those of trial {others[0]}" if others else f"it lacks {cited(differing, _CITED) or 'none'}"
    raise UsageError(
        f"{matrix.where}: {max(len(differing), len(given - set(drawn)))} of its {len(given)} {role} are not the "
        f"{len(drawn)} that trial {trial.number} of the {draw} draw of {protocol.name} draws ({said}); write the "
        "matrices in the order of the trials, choose the draw with --draw, or give one matrix with all images that "
        "can be drawn."
    )


def _test_images(dataset: Dataset, root: Path | None, where: str) -> SampleIndex:
    """All images that a draw chooses from."""
    if dataset.name == "sysu-mm01":
        return dataset.index_from_names(sysu_test_names())
    folder = dataset_root(dataset.name, root)
    if not folder.is_dir():
        raise UsageError(
            f"{where}: matrices of single trials are compared with the draw, for which a copy of {dataset.name} is "
            f"needed, and {folder} is none; name it with --root, or give one matrix with all images that can be drawn."
        )
    return images_of_tests(dataset, folder)[1]


def _role(protocol: Protocol, side: Side) -> str:
    return "queries" if side is protocol.query else "gallery images"
