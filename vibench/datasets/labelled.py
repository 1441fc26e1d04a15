"""Lists of ``path label`` lines (the idx files of RegDB and LLCM): reading them and finding contradictions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vibench.datasets.listing import Sample, is_number, leads_out, own_name, read_lines
from vibench.errors import UsageError
from vibench.modality import INFRARED, VISIBLE


class Line(NamedTuple):
    """One line of an idx file."""

    path: str
    label: int


def read_labelled_paths(path: Path, read_name: Callable[[str], Sample | None] = lambda name: None) -> list[Line]:
    """A list of ``path label`` lines in file order; blank lines are skipped.

    Between path and label may be any blanks, between folders either slash, and before the data set's own name that
    ``read_name`` recognises the folders in which the author of the list had it.

    Raises `UsageError` for an absent file, a line of another form and a path that leads out of the root.
    """
    lines = []
    for number, text in enumerate(read_lines(path, "a list of image paths with labels"), start=1):
        if not text.strip():
            continue
        *names, label = text.rsplit(maxsplit=1)
        if not (names and is_number(label)):
            raise UsageError(f"{path}, line {number}: {text[:200]!r} is not a path, a space and a label of 0 or more")
        name = names[0].strip()
        own = own_name(name, read_name)
        if own is None and leads_out(name):
            raise UsageError(
                f"{path}, line {number}: {name[:200]!r} leads out of the data set's root; use a relative path with /"
            )
        lines.append(Line(name if own is None else own, int(label)))
    return lines


def as_found(lines: Sequence[Line], found: Collection[str]) -> list[Line]:
    """The lines with the paths that differ from an image on disk in case alone spelled as there."""
    if all(line.path in found for line in lines):
        return list(lines)
    spelled: dict[str, list[str]] = defaultdict(list)
    for path in found:
        spelled[path.casefold()].append(path)
    return [
        line._replace(path=same[0])
        if line.path not in found and len(same := spelled.get(line.path.casefold(), [])) == 1
        else line
        for line in lines
    ]


def identities(lists: Mapping[str, Sequence[Line]], parse: Callable[[str], Sample | None]) -> set[int]:
    """The identities in any of the lists."""
    samples = (parse(line.path) for lines in lists.values() for line in lines)
    return {sample.pid for sample in samples if sample is not None}


def label_contradictions(
    lists: Mapping[str, Sequence[Line]],
    files: Mapping[str, str],
    parse: Callable[[str], Sample | None],
    found: set[str] | None,
) -> list[tuple[str, str]]:
    """What is wrong with the visible and the infrared list of one set of identities.

    Both must list images that exist, each once, of their own modality, and share one one-to-one mapping of
    identities to the labels 0, 1, 2, ... .

    Args:
        lists: The lines per modality.
        files: The name of each modality's list, for the messages.
        parse: Recognises an image by its relative path.
        found: Relative paths of all images on disk; None: lists may name images that are not there.

    Returns:
        (file, sentence) pairs, empty when all is well.
    """
    wrong: list[tuple[str, str]] = []
    label_of: dict[int, int] = {}
    pid_of: dict[int, int] = {}
    pids: dict[str, set[int]] = {}
    for modality, file in files.items():
        listed: set[str] = set()
        pids[modality] = set()
        for path, label in lists[modality]:
            sample = parse(path)
            if sample is None or sample.modality != modality:
                wrong.append((file, f"lists {path!r}, which is not the path of {modality} images of this data set"))
                continue
            if found is not None and path not in found:
                wrong.append((file, f"lists {path!r}, which does not exist or has 0 bytes"))
            if path in listed:
                wrong.append((file, f"lists {path!r} more than once"))
            listed.add(path)
            pids[modality].add(sample.pid)
            if label_of.setdefault(sample.pid, label) != label:
                wrong.append((file, f"gives {path!r} label {label}, but identity {sample.pid} {label_of[sample.pid]}"))
            elif pid_of.setdefault(label, sample.pid) != sample.pid:
                wrong.append((file, f"gives label {label} to the identities {pid_of[label]} and {sample.pid}"))
    if not label_of:
        wrong.append((files[VISIBLE], "lists no image"))
    elif set(label_of.values()) != set(range(len(label_of))):
        wrong.append((files[VISIBLE], f"has labels other than 0 to {len(label_of) - 1} without gaps"))
    for pid in sorted(pids[VISIBLE] ^ pids[INFRARED]):
        lacking = files[INFRARED] if pid in pids[VISIBLE] else files[VISIBLE]
        wrong.append((lacking, f"lists no image of identity {pid}, which the other modality's list has"))
    return wrong


def refuse_contradictions(contradictions: Sequence[tuple[str, str]], root: Path) -> None:
    """Raise `UsageError` with the first of the (file, sentence) pairs, if any."""
    if contradictions:
        file, sentence = contradictions[0]
        more = f" (and {len(contradictions) - 1} further problems)" if len(contradictions) > 1 else ""
        raise UsageError(f"{root / file} {sentence}{more}; vibench data check lists everything that is wrong")
