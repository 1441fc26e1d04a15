"""Tracklets, one person's walk past one camera, as rows of a sample index; what the layouts of video share."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from vibench.datasets.listing import Sample


@dataclass(frozen=True)
class Tracklet:
    """One row of a list of tracklets."""

    frames: tuple[str, ...]
    """The names of all its frames, in the order of time."""
    sampled: tuple[str, ...]
    """Those that are looked at, the first frame among them; one may stand there twice."""
    pid: int
    camera: int
    modality: str

    @property
    def name(self) -> str:
        """That of its first frame."""
        return self.frames[0]


def whole(tracklets: Iterable[Tracklet], found: Collection[str]) -> list[Tracklet]:
    """Those of which all frames that are looked at are in the set ``found``."""
    return [tracklet for tracklet in tracklets if all(frame in found for frame in tracklet.sampled)]


def frame_rows(training: Iterable[Tracklet], test: Iterable[Tracklet]) -> list[Sample]:
    """The frames that are looked at, each once, sorted by path.

    Those of training tracklets are images of the split ``train``. A test tracklet is its first frame, split ``test``;
    those behind it are ``unused``, unless another test tracklet begins with them.
    """
    rows: dict[str, Sample] = {}
    for split, tracklets in (("train", training), ("unused", test)):
        for one in tracklets:
            rows |= {frame: Sample(frame, one.pid, one.camera, one.modality, split) for frame in one.sampled}
    rows |= {one.name: rows[one.name]._replace(split="test") for one in test}
    return sorted(rows.values())
