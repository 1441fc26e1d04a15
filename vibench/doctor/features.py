"""Features: of which images, drawn and directed how, with what numbers, and what they score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vibench.datasets.index import training_rows
from vibench.datasets.registry import Dataset
from vibench.datasets.testing import named_differences
from vibench.doctor import performance, values
from vibench.doctor.diagnosis import Claims, Diagnosis, Finding, claimed_query, claimed_trial, options, shell
from vibench.doctor.images import Draws, copy_of, dataset_of, looks_drawn, protocols_of
from vibench.errors import UsageError, cited
from vibench.evaluation.features import Features, of_rows
from vibench.evaluation.images import Images, identify
from vibench.modality import MODALITIES, other
from vibench.protocols import HEADLINE_PROTOCOLS, Protocol, load_protocol
from vibench.runtime.progress import Progress, silent
from vibench.scoring.foreign.assemble import assemble
from vibench.scoring.foreign.containers import read_container
from vibench.scoring.foreign.fit import fit_to_test_split, missing_test_images
from vibench.scoring.foreign.keys import GALLERY, QUERY
from vibench.scoring.foreign.layout import Part
from vibench.scoring.foreign.names import relative_names
from vibench.scoring.foreign.read import Found, find_features

_CITED = 3
_GALLERY = "the gallery"


@dataclass(frozen=True)
class Known:
    """Features whose images are known."""

    features: Features
    images: Images
    sides: np.ndarray | None
    """(N,) str, ``query`` | ``gallery``, where the file says so."""
    dataset: Dataset
    version: str
    split: int
    own: bool = False
    """Whether vibench extracted them, and so compares them as their method does."""

    def rows(self, kept: np.ndarray) -> Known:
        """Those of ``kept`` (N,) bool."""

        def column(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else np.asarray(values)[kept]

        one, images = self.features, self.images
        paths = None if one.paths is None else tuple(np.array(one.paths)[kept].tolist())
        labels: dict[str, Any] = {name: column(getattr(one, name)) for name in ("pids", "cameras", "modalities")}
        return replace(
            self,
            features=replace(one, features=one.features[kept], paths=paths, extras={}, **labels),
            images=Images(images.pids[kept], images.cameras[kept], images.modalities[kept], column(images.paths)),
            sides=column(self.sides),
        )


def diagnose_features(path: Path, claims: Claims, progress: Progress = silent) -> Diagnosis:
    """What features are and what looks wrong; `UsageError` where the file holds none that are known."""
    diagnosis = Diagnosis(str(path), "features")
    try:
        found = find_features(path, gallery=claims.gallery, names=claims.names)
    except UsageError as error:
        matrix = _only_matrix(path)
        if matrix is None:
            raise
        diagnosis.note("rows", len(matrix))
        diagnosis.note("dimensions", matrix.shape[1])
        diagnosis.note("numbers", matrix.dtype)
        diagnosis.findings.append(
            Finding("wrong", "nothing says whose features these are", str(error), "name the images with --names FILE")
        )
        _judge_values(values.Rows(matrix, lambda row: f"row {row}"), diagnosis)
        return diagnosis
    sizes = {part.features.shape[1:] for part in found.parts}
    rows = sum(len(part.features) for part in found.parts)
    diagnosis.note("rows", rows)
    diagnosis.note("dimensions", " and ".join("x".join(map(str, size)) for size in sorted(sizes)))
    diagnosis.note("numbers", ", ".join(sorted({str(part.features.dtype) for part in found.parts})))
    diagnosis.note("sides", ", ".join(f"{part.side} {len(part.features)}" for part in found.parts if part.side))
    for name in ("method", "variant", "checkpoint_sha256"):
        diagnosis.note(name, found.meta.get(name, ""))
    diagnosis.findings += [
        Finding("note", "reading it took conclusions", note, "if one is wrong, name the arrays as in the README")
        for note in found.notes
    ]
    names = _names(found.parts)
    dataset = dataset_of(names, claims, str(found.meta.get("dataset", "")))
    known = _known(path, found, dataset, names, claims, diagnosis)
    if known is None:
        part = max(found.parts, key=lambda one: len(one.features))
        _judge_values(values.Rows(part.features, lambda row: f"row {row}"), diagnosis)
        if dataset is None:
            diagnosis.findings.append(_unknown_images(names))
        return diagnosis
    sound = _judge_values(
        values.Rows(known.features.features, _namer(known), known.images.pids, known.images.modalities), diagnosis
    )
    rules = claims.rules()
    if known.own:
        diagnosis.findings = [one for one in diagnosis.findings if one.what != values.NOT_NORMALISED]
    diagnosis.findings += exchanged(path, known, rules)
    diagnosis.findings += _drawn(path, known, rules, claims, diagnosis)
    diagnosis.findings += _missing(known, drawn=_GALLERY in diagnosis.facts)
    diagnosis.findings += _splits(path, known, claims, diagnosis)
    whole = bool(sound.all())
    _evaluate(known if whole else known.rows(sound), rules, claims, diagnosis, whole, progress)
    _actions(path, known, rules, claims, diagnosis)
    return diagnosis


def _only_matrix(path: Path) -> np.ndarray | None:
    """The one matrix of a file that says nothing of its images, to look at its numbers at least; else None."""
    if not path.is_file():
        return None
    arrays = [array for array in read_container(path).arrays.values() if array.ndim == 2 and array.dtype.kind == "f"]
    return arrays[0] if len(arrays) == 1 and arrays[0].size else None


def _names(parts: Sequence[Part]) -> list[str] | None:
    if any(part.names is None for part in parts):
        return None
    return [str(name) for part in parts if part.names is not None for name in part.names]


def _namer(known: Known):  # type: ignore[no-untyped-def]
    paths = known.images.paths
    return (lambda row: f"row {row}") if paths is None else (lambda row: str(paths[row]))


def _unknown_images(names: Sequence[str] | None) -> Finding:
    if names is None:
        return Finding(
            "note",
            "of which data set these are is not said",
            "the images have labels and no names",
            "name the data set with --dataset, or a protocol with --protocol, and more can be told",
        )
    return Finding(
        "doubtful",
        "names of no known data set",
        f"the images are called {cited(names, _CITED)}",
        "give names relative to the data set's folder, such as cam3/0006/0001.jpg",
    )


def _known(
    path: Path, found: Found, dataset: Dataset | None, names: list[str] | None, claims: Claims, diagnosis: Diagnosis
) -> Known | None:
    """The features with their images; None, with a finding that says why, where these cannot be told."""
    if dataset is None:
        return None
    version = str(found.meta.get("dataset_version", ""))
    root = copy_of(dataset, claims)
    if dataset.synthetic and not version and root is not None:
        version = dataset.version(root)
    diagnosis.note("data set", f"{dataset.title} {version}".strip())
    rules = claims.rules()
    if rules is not None and rules.layout != dataset.layout:
        raise UsageError(f"--protocol {rules.name}: is of {rules.layout}, but {path} is of {dataset.name}.")
    trial = claims.trial or found.meta.get("trial") or claimed_trial(path, claims)[0]
    split = trial if isinstance(trial, int) and 1 <= trial <= dataset.trials else 1
    parts = found.parts
    if names is not None:
        parts = _nameable(parts, dataset, diagnosis)
        if not sum(len(part.features) for part in parts):
            return None
    try:
        features, concluded = assemble(parts, dataset, [rules] if rules else _usual(path, dataset), found.where)
    except UsageError as error:
        diagnosis.findings.append(_not_evaluable(error))
        return None
    diagnosis.findings += [
        Finding("note", "labels were interpreted", note, "correct the array if it is another") for note in concluded
    ]
    try:
        images = identify(features, dataset)
    except UsageError as error:
        # Modalities that contradict names or cameras.
        diagnosis.findings.append(
            Finding("wrong", "labels contradict one another", str(error), "correct the array that is wrong")
        )
        if features.paths is None:
            return None
        features = replace(features, modalities=None)
        images = identify(features, dataset)
    sides = [np.full(len(part.features), part.side) for part in parts if part.side in (QUERY, GALLERY)]
    known = Known(
        features,
        images,
        np.concatenate(sides) if len(sides) == len(parts) else None,
        dataset,
        version,
        split,
        own="checkpoint_sha256" in found.meta,
    )
    counts = [f"{int((images.modalities == modality).sum())} {modality}" for modality in MODALITIES]
    diagnosis.note("images", ", ".join(counts))
    diagnosis.note("identities", len(np.unique(images.pids)))
    diagnosis.note("cameras", ", ".join(map(str, np.unique(images.cameras).tolist())))
    return known


def _not_evaluable(error: UsageError) -> Finding:
    return Finding("wrong", "cannot be evaluated as it is", str(error), "make a file that says what is what")


def _usual(path: Path, dataset: Dataset) -> list[Protocol]:
    """The protocol that images without names of two sides are taken to be of."""
    query, _ = claimed_query(path, None)
    protocols = protocols_of(dataset.layout)
    fitting = [rules for rules in protocols if rules.query.modality == query]
    return fitting[:1] or [load_protocol(HEADLINE_PROTOCOLS[dataset.layout])]


def _nameable(parts: Sequence[Part], dataset: Dataset, diagnosis: Diagnosis) -> list[Part]:
    """The rows with names of the data set's images, each image once, and findings on all others."""
    strange: list[str] = []
    seen: set[str] = set()
    doubled: list[str] = []
    kept_parts = []
    for part in parts:
        names = relative_names(map(str, part.names if part.names is not None else ()), dataset)
        kept = np.zeros(len(names), dtype=bool)
        for row, name in enumerate(names):
            if not dataset.is_image(name):
                strange.append(name)
            elif name in seen:
                doubled.append(name)
            else:
                seen.add(name)
                # Names of training images of LLCM are of no test image's form.
                kept[row] = dataset.is_test_form(name)
        labels = {
            field: None if (column := getattr(part, field)) is None else column[kept]
            for field in ("pids", "cameras", "modalities")
        }
        kept_parts.append(
            replace(part, features=part.features[kept], names=np.array(names, dtype=np.str_)[kept], extras={}, **labels)
        )
    if strange:
        diagnosis.findings.append(
            Finding(
                "wrong",
                f"names of no image of {dataset.title}",
                f"{len(strange)} names, such as {cited(strange, _CITED)}",
                f"write names such as {dataset.name_form}, or leave these rows out",
            )
        )
    if doubled:
        diagnosis.findings.append(
            Finding(
                "wrong",
                "images with more than one row",
                f"{len(doubled)} names come again, such as {cited(doubled, _CITED)}",
                "give every image one row: was a last batch filled up, or the data set read twice?",
            )
        )
    return kept_parts


def _judge_values(rows: values.Rows, diagnosis: Diagnosis) -> np.ndarray:
    """Findings on the numbers; answers which rows can be evaluated, (N,) bool."""
    if rows.values.ndim != 2 or not rows.values.size:
        diagnosis.findings.append(
            Finding("wrong", "no rows of features", f"the array has the shape {rows.values.shape}", "extract them")
        )
        return np.zeros(len(rows.values), dtype=bool)
    finite = of_rows(rows.values, np.isfinite)
    diagnosis.findings += values.not_finite(rows, finite)
    whole = rows
    if not finite.all():
        at = np.flatnonzero(finite)
        whole = values.Rows(
            rows.values[at],
            lambda row: rows.name(int(at[row])),
            None if rows.pids is None else rows.pids[at],
            None if rows.modalities is None else rows.modalities[at],
        )
    if len(whole.values):
        length = values.lengths(whole.values)
        diagnosis.findings += values.zero_rows(whole, length)
        diagnosis.findings += values.not_normalised(length)
        diagnosis.findings += values.dead_columns(whole.values)
        diagnosis.findings += values.identical_rows(whole)
        diagnosis.findings += values.collapsed(whole)
    return finite


def exchanged(path: Path, known: Known, rules: Protocol | None) -> list[Finding]:
    """Queries of the gallery's modality, by the protocol, by the file's name or, of SYSU-MM01, by any protocol."""
    if known.sides is None:
        return []
    found = []
    reversed_sides = []
    said, where = claimed_query(path, rules)
    directions = {protocol.query.modality for protocol in protocols_of(known.dataset.layout)}
    if not said and len(directions) == 1:
        said, where = directions.pop(), f"every protocol of {known.dataset.title}"
    for side, wanted in ((QUERY, said), (GALLERY, other(said) if said else "")):
        shown = known.images.modalities[known.sides == side]
        kinds = {modality: int((shown == modality).sum()) for modality in MODALITIES}
        if min(kinds.values()) > 0:
            counted = " and ".join(f"{count} {modality}" for modality, count in kinds.items())
            found.append(
                Finding(
                    "wrong",
                    f"the {side} side mixes modalities",
                    f"it holds {counted} images",
                    "vibench eval takes the sides from the names; in a code of your own, separate them by modality",
                )
            )
        elif wanted and kinds[wanted] == 0 and len(shown):
            reversed_sides.append(f"the {side} rows are {other(wanted)} images")
    if reversed_sides:
        found.append(
            Finding(
                "wrong",
                "directions exchanged",
                f"{' and '.join(reversed_sides)}, but {where} has {said} queries",
                "vibench eval takes the sides from the names, so its figures are right; a figure computed with "
                "these sides is that of the other direction: exchange the two arrays, or name the other direction",
            )
        )
    return found


def _drawn(path: Path, known: Known, rules: Protocol | None, claims: Claims, diagnosis: Diagnosis) -> list[Finding]:
    """A file that holds one drawn gallery alone: which it is, and whether that is the one that is claimed."""
    protocols = [rules] if rules is not None else protocols_of(known.dataset.layout)
    wanted = [one for one in protocols if one.gallery.drawn]
    if not wanted or known.images.paths is None:
        return []
    side = wanted[0].gallery
    rows = (known.images.modalities == side.modality) & np.isin(known.images.cameras, side.cameras)
    if known.sides is not None and (known.sides[known.images.modalities == side.modality] == GALLERY).all():
        rows = known.images.modalities == side.modality
    gallery = Images(
        known.images.pids[rows], known.images.cameras[rows], known.images.modalities[rows], known.images.paths[rows]
    )
    if not looks_drawn(gallery, max(one.shots for one in wanted)):
        return []
    draws = Draws(known.dataset, claims, known.version)
    assert gallery.paths is not None
    if not draws.known or draws.whole(gallery.paths.tolist()):
        return []
    remedy = "extract all test images, of which vibench draws every trial's gallery itself"
    found = judge_gallery(gallery.paths.tolist(), draws, rules, claims, diagnosis, _GALLERY, remedy)
    if not found and not known.dataset.synthetic:
        shown = diagnosis.facts[_GALLERY]
        found.append(
            Finding("doubtful", "a drawn gallery alone", f"the gallery is {shown}, and no other is there", remedy)
        )
    return found


def judge_gallery(
    gallery: Sequence[str],
    draws: Draws,
    rules: Protocol | None,
    claims: Claims,
    diagnosis: Diagnosis,
    what: str,
    remedy: str,
) -> list[Finding]:
    """Which draw a gallery is, as a fact, and whether that is another than claimed."""
    matches = draws.matching(gallery)
    if matches:
        shown = cited(list(map(str, matches)), _CITED)
        diagnosis.note(what, shown)
        right = [
            drawn
            for drawn in matches
            if (rules is None or drawn.protocol == rules.name) and claims.draw in (None, drawn.draw)
        ]
        usual = [drawn for drawn in matches if "none of its trials" not in str(drawn)]
        if right and (usual or claims.draw is None):
            return [] if usual else [_other_draw(what, shown, "a seed of the protocol's trials", remedy)]
        asked = " ".join(part for part in (rules.name if rules else "", claims.draw or "") if part)
        return [_other_draw(what, shown, f"that of {asked}", remedy)]
    official = "" if draws.official else "; official draws could not be compared: name their file with --perm"
    return [
        Finding(
            "doubtful",
            "a gallery of no known draw",
            f"{what} holds {len(gallery)} images, nobody's more than a draw takes, and equals no draw of any protocol"
            f"{official}",
            remedy,
        )
    ]


def _other_draw(what: str, shown: str, expected: str, remedy: str) -> Finding:
    return Finding("wrong", "another gallery draw than claimed", f"{what} is {shown}, not {expected}", remedy)


def _splits(path: Path, known: Known, claims: Claims, diagnosis: Diagnosis) -> list[Finding]:
    """Of RegDB: whose test identities these are, and whether they are those of the split that is claimed."""
    if known.dataset.trials == 1:
        return []
    people = set(known.images.pids.tolist())
    claimed, where = claimed_trial(path, claims)
    root = copy_of(known.dataset, claims)
    if root is None:
        return [
            Finding(
                "note",
                f"of which split of {known.dataset.title} these are, names do not tell",
                f"{len(people)} identities; the lists of the {known.dataset.trials} splits lie in a copy of the data "
                "set",
                "name the copy with --root: test identities that were training identities are then found",
            )
        ]
    halves = split_identities(known.dataset, root)
    fitting = [split for split, (_, test) in halves.items() if people <= test]
    diagnosis.note("test identities of split", ", ".join(map(str, fitting)))
    if claimed in halves and claimed not in fitting:
        inside = sorted(people & halves[claimed][0])
        return [
            Finding(
                "wrong",
                "images of another split",
                f"{where} says split {claimed}, of which {len(inside)} of the {len(people)} identities here are "
                f"training identities (such as {cited(inside, _CITED)})"
                + (f"; they are the test identities of split {cited(fitting)}" if fitting else ""),
                "evaluate the images of the test half of the split that the model was trained on",
            )
        ]
    if not fitting:
        return [
            Finding(
                "doubtful",
                "identities of no single split",
                f"{len(people)} identities, which are the test half of none of the {known.dataset.trials} splits",
                "keep the test images of one split, one file for each; 'vibench eval' takes them from more itself",
            )
        ]
    return []


def split_identities(dataset: Dataset, root: Path) -> dict[int, tuple[set[int], set[int]]]:
    """Training and test identities of every split of a copy, as far as its lists can be read."""
    found = {}
    for split in range(1, dataset.trials + 1):
        try:
            index = dataset.index(root, split, missing_ok=True)
        except UsageError:
            continue
        training = {int(pid) for pid in training_rows(index)["pid"]}
        found[split] = (training, {int(pid) for pid in index.loc[index["split"] == "test", "pid"]})
    return found


def _evaluate(
    known: Known, rules: Protocol | None, claims: Claims, diagnosis: Diagnosis, whole: bool, progress: Progress
) -> None:
    """The scores as facts, and findings on them; ``whole``: no row had to be left out."""
    if not len(known.features.features):
        return
    root = copy_of(known.dataset, claims)
    try:
        fitted, remarks = fit_to_test_split(known.features, known.dataset, known.split, root)
    except UsageError as error:
        diagnosis.findings.append(_not_evaluable(error))
        return
    for remark in remarks:
        # Rows of zeros have a finding of their own.
        if "are zeros" not in remark:
            diagnosis.findings.append(Finding("note", "more than the test images", remark, "nothing need be done"))
    # Rows that were left out are not missing, and of another split other images are.
    fits = whole and all(finding.what != "images of another split" for finding in diagnosis.findings)
    missing = missing_test_images(fitted, known.dataset, known.split, root) if fits else ""
    if missing:
        remedy = "extract all test images; what is there is evaluated, unranked, with --allow-incomplete"
        diagnosis.findings.append(Finding("wrong", "test images are missing", missing, remedy))
    if fitted.features.dtype not in (np.float32, np.float64):
        fitted = replace(fitted, features=fitted.features.astype(np.float32))
    protocols = [rules] if rules is not None else _measured_under(known.dataset.layout)
    measured, reason = performance.measure(fitted, known.dataset, protocols, known.split, progress)
    if not measured:
        diagnosis.findings.append(
            Finding("doubtful", "could not be evaluated", reason, "see what 'vibench eval --features' says of it")
        )
        return
    performance.show_scores(measured, diagnosis, known.dataset.synthetic)
    if whole:
        diagnosis.findings += _other_counts(known, measured)
    differing = [] if known.own else performance.distances_differ(measured)
    if differing:
        diagnosis.findings = [one for one in diagnosis.findings if one.what != values.NOT_NORMALISED]
    diagnosis.findings += differing
    diagnosis.findings += performance.chance(measured)
    diagnosis.findings += performance.perfect_scores(measured, known.dataset)
    if known.dataset.trials > 1 and root is not None:
        training = {split: halves[0] for split, halves in split_identities(known.dataset, root).items()}
        diagnosis.findings += performance.known_better(measured, training, known.split)


def _measured_under(layout: str) -> list[Protocol]:
    """The protocols that features are tried under: of RegDB and LLCM both directions."""
    headline = HEADLINE_PROTOCOLS[layout]
    if layout == "sysu-mm01":
        return [load_protocol(headline)]
    return [protocol for protocol in protocols_of(layout) if not protocol.name.endswith("-as-scripted")]


def _missing(known: Known, drawn: bool) -> list[Finding]:
    """Test images without a row, where all are known by name."""
    names = () if known.images.paths is None else known.images.paths.tolist()
    missing = [sentence for sentence in named_differences(known.dataset, names) if "are missing" in sentence]
    if not missing or drawn:
        return []
    return [
        Finding(
            "note" if known.dataset.synthetic else "wrong",
            "test images are missing",
            missing[0],
            "extract all test images; what is there is evaluated, unranked, with --allow-incomplete",
        )
    ]


def _other_counts(known: Known, measured: Sequence[performance.Measured]) -> list[Finding]:
    """Other numbers of images than the complete data set has, where it is not named images that are missing."""
    if known.dataset.synthetic or known.dataset.layout == "sysu-mm01":
        return []
    notes = [note for one in measured for note in one.evaluation.notes if "complete data set" in note]
    if not notes:
        return []
    return [
        Finding(
            "note" if "reported by" in notes[0] else "wrong",
            "not the number of test images",
            notes[0],
            "extract all test images; what is there is evaluated, unranked, with --allow-incomplete",
        )
    ]


def _actions(path: Path, known: Known, rules: Protocol | None, claims: Claims, diagnosis: Diagnosis) -> None:
    name = rules.name if rules is not None else HEADLINE_PROTOCOLS[known.dataset.layout]
    words = options(
        ("--gallery", claims.gallery),
        *(("--names", file) for file in claims.names),
        ("--protocol", name),
        ("--dataset", known.dataset.name if known.dataset.name != known.dataset.layout else ""),
        ("--draw", claims.draw),
        ("--perm", claims.perm),
        ("--root", claims.root),
    )
    diagnosis.actions.append(shell("eval", "--features", path, *words))
