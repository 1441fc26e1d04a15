"""What the names of arrays usually mean: a field, and the side that it is of."""

from __future__ import annotations

import re
from typing import NamedTuple

FEATURES, NAMES, PIDS, CAMERAS, MODALITIES = "features", "names", "pids", "cameras", "modalities"
QUERY, GALLERY = "query", "gallery"
SIDES = {
    QUERY: ("queries", "query", "probes", "probe", "prob", "qry", "q"),
    GALLERY: ("galleries", "gallery", "gall", "gal", "g"),
    "visible": ("visible", "vis", "rgb", "color", "colour", "v"),
    "infrared": ("infrared", "thermal", "nir", "tir", "ir", "t"),
}
"""Before or behind the name of a field. The last two are the modalities themselves."""
FIELDS = {
    FEATURES: "features feature feats feat feas fea embeddings embedding embeds embed embs emb vectors vecs "
    "descriptors fs f",
    NAMES: "paths path names name imgpaths imgpath imagepaths imagepath impaths filenames filename filepaths filepath "
    "fnames fname imgnames imgname imagenames imagename imgs img images image files file",
    PIDS: "pids pid personids personid labels label identities identity ids id targets target lbls y",
    CAMERAS: "cams cam camids camid cameras camera cameraids cameraid camidx cids cid",
    MODALITIES: "modalities modality modals modal mods mod spectra domains domain",
}
"""The names of each field, those that say it best first."""
_SCORES = ("scores", "score", "similarities", "similarity", "sim", "sims", "simmat")
_DISTANCES = ("distances", "distance", "distmat", "dist", "dists")
"""The names of matrices of pairs, larger and smaller for what is more alike."""
_NUMBERED = re.compile(r"(.+?)_([0-9]{1,3})")
_FIELD_OF = {word: field for field, words in FIELDS.items() for word in words.split()}
_NOISE = {"test", "all", "list", "array", "arr", "np", "numpy", "tensor", "tensors"}


class Key(NamedTuple):
    """What a name means."""

    side: str | None
    """A key of `SIDES`; None: all images."""
    field: str
    """A key of `FIELDS`, or empty."""
    word: str
    """The name of the field that stood there."""


class PairsKey(NamedTuple):
    """What the name of a matrix of queries and gallery images means."""

    similar: bool
    """Larger is more alike."""
    trial: int | None
    """The number behind the name, as in ``scores_3``."""


def pairs_key(name: str) -> PairsKey | None:
    """What the name of an array means that may compare pairs; None for any other."""
    word, trial = numbered(name)
    if word.lower() not in (*_SCORES, *_DISTANCES):
        return None
    return PairsKey(word.lower() in _SCORES, trial)


def numbered(name: str) -> tuple[str, int | None]:
    """``scores_3`` -> ``scores`` and 3."""
    match = _NUMBERED.fullmatch(name)
    return (name, None) if match is None else (match[1], int(match[2]))


def known_key(name: str) -> Key | None:
    """What the name of an array means, however it is written: ``query_feat``, ``qf``, ``gallery/camIDs``; or None.

    A name that is that of a side alone has the field ``""``. Numbered names, such as ``f0``, mean nothing alone.
    """
    parts = [part for part in name.split("/") if not part.isdigit()]
    if len(name) > 100 or any(letter.isdigit() for part in parts for letter in part):
        return None
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", " ".join(parts))
    words = [word for word in re.split(r"[^a-z]+", spaced.lower()) if word and word not in _NOISE]
    joined = "".join(words)
    if joined in _FIELD_OF:
        return Key(None, _FIELD_OF[joined], joined)
    for side, marks in SIDES.items():
        for mark in marks:
            # One letter marks a side as a word of its own and, of query and gallery, glued to a field: 'qf', 'gids'.
            for rest in _without(mark, words, joined):
                if rest in _FIELD_OF or (rest == "" and len(mark) > 1):
                    return Key(side, _FIELD_OF.get(rest, ""), rest)
    return None


def _without(mark: str, words: list[str], joined: str) -> list[str]:
    """What is left without a mark of a side in the front or at the end."""
    left = []
    if words and words[0] == mark:
        left.append("".join(words[1:]))
    if words and words[-1] == mark:
        left.append("".join(words[:-1]))
    if len(words) == 1 and (len(mark) > 1 or mark in "qg"):
        if joined.startswith(mark):
            left.append(joined[len(mark) :])
        if joined.endswith(mark) and len(mark) > 1:
            left.append(joined[: -len(mark)])
    return left
