"""Scores: a matrix of queries and gallery images, or one per trial, as pairwise matchers write them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vibench.datasets.registry import Dataset
from vibench.doctor.diagnosis import Claims, Diagnosis, Finding, claimed_query, options, shell
from vibench.doctor.features import judge_gallery
from vibench.doctor.images import Draws, dataset_of, looks_drawn, protocols_of
from vibench.doctor.performance import too_good
from vibench.errors import UsageError
from vibench.evaluation.images import Images, images_of
from vibench.modality import other
from vibench.protocols import HEADLINE_PROTOCOLS, Protocol
from vibench.scoring.foreign.containers import read_container
from vibench.scoring.foreign.keys import FEATURES, known_key, pairs_key
from vibench.scoring.foreign.names import relative_names
from vibench.scoring.matrix_file import Axis, ScoreMatrix, read_scores_file

_EXACT = 2e-6
"""How far from 1 float32 leaves a weighted sum of two ones."""
_BULK = 0.8
"""Below it the middle of re-ranked distances does not lie: those of images without common neighbours are 1 less the
weight at least."""
_STEEP = 16.0
"""How far true matches lie below the middle of a row, in widths of its middle half, where a row's largest is 1 in every
row: k-reciprocal distances press those of all other images together."""
_SOME_ROWS = 0.005
_ALL_ROWS = 0.98
_MOST_CELLS = 1 << 22


@dataclass(frozen=True)
class Matrix:
    """Scores (Q, G) of one trial or of all."""

    name: str
    values: np.ndarray
    similar: bool
    """True where larger is more alike."""
    queries: Images | None
    gallery: Images | None

    @property
    def distances(self) -> np.ndarray:
        """Smaller is more alike."""
        return -self.values if self.similar else self.values


def are_scores(names: Iterable[str]) -> bool:
    """Whether arrays of these names are a file of scores, and not of features."""
    fields = [key.field for name in names if (key := known_key(name)) is not None]
    return FEATURES not in fields and any(pairs_key(name) for name in names)


def diagnose_scores(path: Path, claims: Claims) -> Diagnosis:
    """What scores are and what looks wrong; `UsageError` where the file cannot be read."""
    diagnosis = Diagnosis(str(path), "scores")
    rules = claims.rules()
    try:
        read = read_scores_file(path)
    except UsageError as error:
        for name, array in read_container(path, "scores").arrays.items():
            if are_scores([name]):
                diagnosis.note(name, f"{' x '.join(map(str, array.shape))} {array.dtype}")
                if array.ndim == 2 and array.dtype.kind == "f" and array.size and np.isfinite(array).all():
                    key = pairs_key(name)
                    diagnosis.findings += _of_numbers(Matrix(name, array, key is None or key.similar, None, None))
        diagnosis.findings.append(
            Finding("wrong", "cannot be evaluated as it is", str(error), "write the file again as it says")
        )
        return diagnosis
    diagnosis.findings += [
        Finding("note", "reading it took conclusions", note, "name the arrays as protocols/README.md does")
        for note in read.notes
    ]
    named = [name for one in read.matrices for name in (*(one.query.names or ()), *(one.gallery.names or ()))]
    dataset = dataset_of(named[:1000] or None, claims)
    diagnosis.note("data set", "" if dataset is None else dataset.title)
    if dataset is not None and rules is not None and rules.layout != dataset.layout:
        raise UsageError(f"--protocol {rules.name}: is of {rules.layout}, but {path} is of {dataset.name}.")
    matrices = [_matrix(one, dataset, diagnosis) for one in read.matrices]
    for matrix in matrices:
        diagnosis.note(matrix.name, f"{' x '.join(map(str, matrix.values.shape))} {matrix.values.dtype}")
    for finding in (find for matrix in matrices for find in _judge(path, matrix, rules, dataset)):
        if all(finding.what != one.what for one in diagnosis.findings):
            diagnosis.findings.append(finding)
    diagnosis.findings += _galleries(matrices, rules, dataset, claims, diagnosis)
    name = rules.name if rules else HEADLINE_PROTOCOLS[dataset.layout] if dataset else "PROTOCOL"
    further = options(("--draw", claims.draw), ("--perm", claims.perm), ("--root", claims.root))
    asked = ("--protocol", name, "--test-time-information", "none")
    diagnosis.actions.append(shell("eval", "--scores", path, *asked, *further))
    return diagnosis


def _matrix(read: ScoreMatrix, dataset: Dataset | None, diagnosis: Diagnosis) -> Matrix:
    name = read.where.rpartition(": ")[2]
    sides = [
        _images(name, side, axis, dataset, diagnosis)
        for side, axis in (("query", read.query), ("gallery", read.gallery))
    ]
    return Matrix(name, read.values, not read.distances, sides[0], sides[1])


def _images(matrix: str, side: str, axis: Axis, dataset: Dataset | None, diagnosis: Diagnosis) -> Images | None:
    if axis.names is None or dataset is None:
        return None
    try:
        return images_of(dataset.index_from_names(relative_names(axis.names, dataset)))
    except UsageError as error:
        what = f"{side} names that are none"
        if all(finding.what != what for finding in diagnosis.findings):
            evidence = f"{matrix}: {error}"
            diagnosis.findings.append(Finding("wrong", what, evidence, f"write names such as {dataset.name_form}"))
        return None


def _judge(path: Path, matrix: Matrix, rules: Protocol | None, dataset: Dataset | None) -> list[Finding]:
    """What is wrong with one matrix."""
    return [
        *_of_numbers(matrix),
        *_sign(matrix),
        *_exchanged(path, matrix, rules, dataset),
        *_perfect(matrix, rules, dataset),
    ]


def _of_numbers(matrix: Matrix) -> list[Finding]:
    """What is wrong whatever images it is of."""
    return [*_constant(matrix), *reranked(matrix)]


def _constant(matrix: Matrix) -> list[Finding]:
    values = matrix.values
    same = int((values == values[:, :1]).all(axis=1).sum()) if values.shape[1] > 1 else 0
    doubled = len(values) - len(np.unique(values, axis=0)) if values.size <= _MOST_CELLS else 0
    if same:
        return [
            Finding(
                "wrong",
                "rows that rank nothing",
                f"{same} of {len(values)} rows of {matrix.name} hold one number alone",
                "compute these queries again",
            )
        ]
    if doubled:
        return [
            Finding(
                "doubtful",
                "identical rows",
                f"{doubled} of {len(values)} rows of {matrix.name} are equal to another one",
                "see whether these queries are the same image; if they are not, rows were written twice",
            )
        ]
    return []


def reranked(matrix: Matrix) -> list[Finding]:
    """The signature of k-reciprocal re-ranking (Zhong et al., CVPR 2017).

    Its distances are (1 - w) J + w D: D is divided by the largest of the query's distances to all images, so that it is
    1 at the farthest image, and so is J for all images without common neighbours. So nothing is above 1, the farthest
    gallery image is at 1 exactly in those rows whose farthest image is of the gallery, and most others lie close below.
    Cosine and Euclidean distances end at no such number, or, where features are sparse, many of a row end there.
    """
    for values in (matrix.values, 1.0 - matrix.values) if not matrix.similar else (-matrix.values, 1 - matrix.values):
        values = values[:: max(1, values.size // _MOST_CELLS)].astype(np.float64)
        if values.min() < 0 or values.max() > 1 + _EXACT or values.shape[1] < 20 or len(values) < 20:
            continue
        ones = (np.abs(values - 1) <= _EXACT).sum(axis=1)
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], axis=1)
        share = float((ones > 0).mean())
        if share < _SOME_ROWS or ones.sum() > 1.5 * (ones > 0).sum() or np.median(low) < _BULK:
            continue
        steep = float(np.median((middle - values.min(axis=1)) / np.maximum(high - low, 1e-12)))
        if share >= _ALL_ROWS and steep < _STEEP:
            continue
        also = ", or distances that were divided by the largest of their row" if share >= _ALL_ROWS else ""
        return [
            Finding(
                "doubtful",
                "scores look re-ranked",
                f"{matrix.name} has no distance above 1, and {share:.1%} of its rows end at 1 exactly; the middle half "
                f"of a row lies at {np.median(low):.3f} to {np.median(high):.3f} and its nearest image at "
                f"{np.median(values.min(axis=1)):.3f}, as k-reciprocal distances do{also}",
                "declare what the ranking looks at with --test-time-information gallery+queries, or store the scores "
                "before re-ranking; boards keep the two apart",
            )
        ]
    return []


def _pairs(matrix: Matrix) -> np.ndarray | None:
    """(Q, G) bool: the true matches; None where identities are unknown."""
    if matrix.queries is None or matrix.gallery is None:
        return None
    return matrix.queries.pids[:, None] == matrix.gallery.pids[None, :]


def _sign(matrix: Matrix) -> list[Finding]:
    """Similarities that are distances, or the reverse: true matches lie on the wrong side."""
    same = _pairs(matrix)
    if same is None or not same.any() or same.all():
        return []
    distances = matrix.distances.astype(np.float64)
    near, far = distances[same], distances[~same]
    # Both means have errors that this many pairs leave; a difference within them says nothing.
    with np.errstate(all="ignore"):
        error = np.sqrt(near.var() / len(near) + far.var() / len(far))
        gap = near.mean() - far.mean()
    if len(near) < 10 or not gap >= 6 * error:
        return []
    sign = -1 if matrix.similar else 1
    what, instead = ("scores", "distances") if matrix.similar else ("distances", "scores")
    return [
        Finding(
            "wrong",
            f"{what} that are {instead}",
            f"in {matrix.name} pairs of one person have {sign * near.mean():.4g} and others {sign * far.mean():.4g} "
            "in the mean",
            f"store them as '{instead}', or with the other sign",
        )
    ]


def _exchanged(path: Path, matrix: Matrix, rules: Protocol | None, dataset: Dataset | None) -> list[Finding]:
    if matrix.queries is None or dataset is None:
        return []
    shown = set(matrix.queries.modalities.tolist())
    said, where = claimed_query(path, rules)
    directions = {protocol.query.modality for protocol in protocols_of(dataset.layout)}
    if not said and len(directions) == 1:
        said, where = directions.pop(), f"every protocol of {dataset.title}"
    if len(shown) > 1:
        return [
            Finding(
                "wrong",
                "queries of both modalities",
                f"the rows of {matrix.name} are visible and infrared images",
                "keep the queries of one modality in the rows and the gallery of the other in the columns",
            )
        ]
    if said and shown == {other(said)}:
        return [
            Finding(
                "wrong",
                "directions exchanged",
                f"the rows of {matrix.name} are {other(said)} images, but {where} has {said} queries",
                "transpose the matrix and exchange the names, or name the other direction",
            )
        ]
    return []


def _perfect(matrix: Matrix, rules: Protocol | None, dataset: Dataset | None) -> list[Finding]:
    """A first image of the query's identity in every row; images that a protocol skips are not left out here."""
    same = _pairs(matrix)
    if same is None or dataset is None or matrix.queries is None or not matrix.gallery:
        return []
    reachable = same.any(axis=1)
    if not reachable.any():
        return []
    first = matrix.distances.argmin(axis=1)
    hit = float(same[np.arange(len(same)), first][reachable].mean())
    fitting = (
        [rules] if rules else [one for one in protocols_of(dataset.layout) if one.name in HEADLINE_PROTOCOLS.values()]
    )
    people = len(np.unique(matrix.queries.pids))
    return [
        Finding(one.severity, one.what, one.evidence.replace(", mAP 0.00%", ""), one.remedy)
        for one in too_good(hit, 0.0, fitting[0], people, dataset.synthetic, " (nothing skipped)")
    ]


def _galleries(
    matrices: Sequence[Matrix], rules: Protocol | None, dataset: Dataset | None, claims: Claims, diagnosis: Diagnosis
) -> list[Finding]:
    """Which draws the galleries are, and whether they are those that are claimed."""
    if dataset is None or dataset.layout == "regdb":
        return []
    draws = Draws(dataset, claims)
    found: list[Finding] = []
    shots = max((one.shots for one in ([rules] if rules else protocols_of(dataset.layout))), default=0)
    for matrix in matrices:
        if matrix.gallery is None or matrix.gallery.paths is None or not draws.known:
            continue
        names = matrix.gallery.paths.tolist()
        if draws.whole(names):
            diagnosis.note("gallery", "all images, of which vibench draws every trial's")
        elif looks_drawn(matrix.gallery, shots) or draws.matching(names):
            remedy = "score the galleries that the protocol draws, or all gallery images"
            found += judge_gallery(names, draws, rules, claims, diagnosis, f"gallery of {matrix.name}", remedy)
        elif not dataset.synthetic:
            found.append(
                Finding(
                    "doubtful",
                    "gallery images are missing",
                    f"the {len(names)} gallery images of {matrix.name} are neither all of a protocol nor drawn",
                    "score all gallery images, or the galleries that the protocol draws",
                )
            )
    unique = {finding.what: finding for finding in reversed(found)}
    return list(unique.values())
