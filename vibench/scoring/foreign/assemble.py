"""Parts of files become the features of one split: by names, or by labels and what tells the modality."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vibench.datasets.registry import Dataset
from vibench.errors import UsageError
from vibench.evaluation.features import Features
from vibench.modality import INFRARED, MODALITIES, VISIBLE, other
from vibench.protocols import Protocol
from vibench.scoring.foreign.keys import QUERY
from vibench.scoring.foreign.layout import Part
from vibench.scoring.foreign.names import relative_names
from vibench.scoring.foreign.recipes import make_right

_CODES = {(0, 1): (VISIBLE, INFRARED), (1, 2): (VISIBLE, INFRARED)}
"""What numbers for modalities mean where nothing else tells: the AGW code line counts from 1, others from 0."""


def assemble(
    parts: Sequence[Part], dataset: Dataset, protocols: Sequence[Protocol], where: str
) -> tuple[Features, list[str]]:
    """The features of all parts, in their order, and notes on what was concluded.

    Raises `UsageError`, beginning with ``where``, for parts that do not fit one another, and where identity, camera or
    modality of images without names stays unknown.
    """
    if all(part.names is None for part in parts):
        require_names_of(protocols, where, [part.side for part in parts if part.side is not None])
    dimensions = {part.features.shape[1:] for part in parts}
    if len(dimensions) > 1:
        said = " and ".join(str(part.features.shape) for part in parts)
        raise UsageError(f"{where}: features of {said} do not fit one another; extract both with one model.")
    features = np.concatenate([part.features for part in parts]) if len(parts) > 1 else parts[0].features
    features = np.asarray(features, features.dtype.newbyteorder("="))
    extras = parts[0].extras if len(parts) == 1 else {}
    if all(part.names is not None for part in parts):
        names = relative_names((str(name) for part in parts if part.names is not None for name in part.names), dataset)
        # Words for modalities can contradict names, which evaluation then says; numbers mean what names say.
        columns = [part.modalities for part in parts]
        words = [column for column in columns if column is not None and column.dtype.kind == "U"]
        modalities = np.concatenate(words) if len(words) == len(parts) else None
        return Features(features, tuple(names), modalities=modalities, extras=extras), []
    if any(part.names is not None for part in parts):
        raise UsageError(f"{where}: one side names its images and the other does not; give names to both.")
    notes: list[str] = []
    # A part without names has identities: `recognise` has made sure of it.
    pids = np.concatenate([part.pids for part in parts if part.pids is not None])
    modalities = np.concatenate([_modalities(part, dataset, protocols, where, notes) for part in parts])
    cameras = _cameras(parts, modalities, dataset, where, notes)
    return Features(features, pids=pids, cameras=cameras, modalities=modalities, extras=extras), notes


def require_names_of(protocols: Sequence[Protocol], where: str, sides: Sequence[str] = ()) -> None:
    """`UsageError` where a protocol draws images by their names, of which ``where`` has none: no label helps then.

    ``sides`` are those that its features come in.
    """
    drawn = next((protocol for protocol in protocols if protocol.draws != ("none",)), None)
    if drawn is not None:
        keys = " and ".join(f"{side}_paths" for side in sides)
        how = f"in it as {keys}" if keys else "with --names FILE, one a line"
        raise UsageError(
            f"{where}: names none of its images, and protocol {drawn.name} draws them by name; give the names {how}.",
            recipe=make_right(),
        )


def _modalities(
    part: Part, dataset: Dataset, protocols: Sequence[Protocol], where: str, notes: list[str]
) -> np.ndarray:
    """The modality (N,) of images without names."""
    said, rows = part.modalities, len(part.features)
    if said is not None and said.dtype.kind == "U":
        return said
    if part.side is not None:
        modality = _of_side(part.side, protocols, where)
        if said is not None and len(np.unique(said)) > 1:
            raise UsageError(f"{where}: its {part.side} images are of two modalities; they must be {modality} alone.")
        return np.full(rows, modality)
    cameras = part.cameras
    if cameras is not None and dataset.layout != "regdb":
        of_camera = [dataset.modality_of(int(camera)) for camera in cameras]
        if all(modality is not None for modality in of_camera):
            return np.array(of_camera)
    if said is not None:
        codes = tuple(int(code) for code in np.unique(said))
        meaning = _CODES.get(codes)  # type: ignore[arg-type]
        if meaning is None:
            raise UsageError(
                f"{where}: the numbers {', '.join(map(str, codes[:5]))} say no modality; write visible and infrared."
            )
        notes.append(f"modality {codes[0]} was taken as {meaning[0]} and {codes[1]} as {meaning[1]}")
        return np.where(said == codes[0], *meaning)
    if cameras is not None:
        of_camera = [dataset.modality_of(int(camera)) for camera in cameras]
        if all(modality is not None for modality in of_camera):
            return np.array(of_camera)
        strange = np.unique(cameras)[[one is None for one in map(dataset.modality_of, np.unique(cameras).tolist())]]
        raise UsageError(
            f"{where}: its cameras {', '.join(map(str, strange[:5].tolist()))} are none of {dataset.title}, so nothing "
            "says which images are visible; correct the numbers or give the names of the images.",
            recipe=make_right(),
        )
    raise _missing(where, "modalities ('modalities' of visible and infrared, or two sides)")


def _of_side(side: str, protocols: Sequence[Protocol], where: str) -> str:
    if side in MODALITIES:
        return side
    queries = {protocol.query.modality for protocol in protocols}
    if len(queries) != 1:
        names = " and ".join(protocol.name for protocol in protocols)
        raise UsageError(
            f"{where}: {side} images without names are of one modality in one protocol and of the other in another "
            f"({names}); evaluate one protocol at a time, or give names."
        )
    query = str(queries.pop())
    return query if side == QUERY else other(query)


def _cameras(
    parts: Sequence[Part], modalities: np.ndarray, dataset: Dataset, where: str, notes: list[str]
) -> np.ndarray:
    """The camera (N,) of images without names; of RegDB, which has one per modality, by the modality."""
    given = [part.cameras for part in parts]
    cameras = None if any(column is None for column in given) else np.concatenate([c for c in given if c is not None])
    if dataset.layout == "regdb":
        camera_of = {modality: camera for camera in (1, 2) if (modality := dataset.modality_of(camera)) is not None}
        right = np.array([camera_of[str(modality)] for modality in modalities], dtype=np.int64)
        if cameras is not None and (right != cameras).any():
            if all(part.side is None for part in parts):
                # Nothing but the two columns speaks for either: evaluation says what is wrong.
                return cameras
            notes.append(f"camera numbers of the features were left out; {dataset.title} has one camera per modality")
        return right
    if cameras is None:
        raise _missing(where, "cameras ('camids')")
    return cameras


def _missing(where: str, what: str) -> UsageError:
    return UsageError(
        f"{where}: has neither names of its images nor their {what}; give either of them.", recipe=make_right()
    )
