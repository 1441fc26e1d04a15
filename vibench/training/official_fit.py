"""How far a state dict of foreign names fits the network of a method, without building the network's numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from vibench.files.weights import fitting_prefixes
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method
from vibench.methods.sections import Recipe
from vibench.training.official_names import Names, official_names

Shape = tuple[int, ...]

_LEFTOVERS = ("total_ops", "total_params")
"""Ends of the names of counters that a profiler has left in every module."""


@dataclass(frozen=True)
class Outline:
    """The shapes of a method's network by our names, for 2 and for 3 classes."""

    recipe: Recipe
    names: Names
    two: Mapping[str, Shape]
    three: Mapping[str, Shape]
    floating: frozenset[str]
    """Names of what holds floating-point numbers."""

    def shape(self, ours: str, classes: int) -> Shape:
        """The shape of an entry for that many classes."""
        return tuple(
            small + (large - small) * (classes - 2)
            for small, large in zip(self.two[ours], self.three[ours], strict=True)
        )

    def of_head(self, ours: str) -> bool:
        """Whether an entry's shape depends on the number of classes."""
        return self.two[ours] != self.three[ours]

    def classes(self, ours: str, shape: Sequence[int]) -> int | None:
        """The number of classes that an entry of this shape tells apart; None where it does not say."""
        if len(shape) == len(self.two[ours]):
            for size, small, large in zip(shape, self.two[ours], self.three[ours], strict=True):
                if small != large and (size - small) % (large - small) == 0 and size >= large - small:
                    return 2 + (size - small) // (large - small)
        return None


@dataclass(frozen=True)
class Fit:
    """Where the entries of a state dict belong, and what stands in the way."""

    outline: Outline
    prefix: str
    """What stands before every official name in the file."""
    classes: int | None
    """Identities that its heads tell apart; None without a head."""
    given: dict[str, str] = field(default_factory=dict)
    """Our name -> name in the file, of all that belongs somewhere."""
    headless: tuple[str, ...] = ()
    """Our names of the heads' entries that the file lacks."""
    outside: tuple[str, ...] = ()
    """Names in the file that do not begin with ``prefix``, and `_LEFTOVERS`."""
    problems: dict[str, list[str]] = field(default_factory=dict)
    """What is wrong -> official names; all lists are empty where the file fits."""

    @property
    def sound(self) -> bool:
        return bool(self.given) and not any(self.problems.values())

    @property
    def fitting(self) -> int:
        """Entries that belong somewhere and have the right shape."""
        return len(self.given) - len(self.problems["of another shape"])


def outline_of(recipe: Recipe) -> Outline:
    """The shapes of the network of ``recipe``."""
    # Without numbers, and so without memory and in little time.
    with torch.device("meta"):
        states = [build_method(recipe, classes).state_dict() for classes in (2, 3)]
    two, three = ({name: tuple(tensor.shape) for name, tensor in state.items()} for state in states)
    floating = frozenset(name for name, tensor in states[0].items() if tensor.is_floating_point())
    return Outline(recipe, official_names(recipe), two, three, floating)


@lru_cache(maxsize=64)
def known_outline(method: str, variant: str, dataset: str, overrides: tuple[str, ...] = ()) -> Outline:
    """The shapes of a network that is tried out; kept, because several files are compared with the same ones."""
    return outline_of(load_recipe(method, variant, dataset, overrides))


def fit(state: Mapping[str, Tensor], outline: Outline) -> Fit:
    """Compare the names and shapes of ``state`` with those of the network."""
    names = outline.names
    prefix, *rivals = fitting_prefixes(
        state, lambda name: not name.startswith(names.unused) and names.ours(name) in outline.two
    )
    given: dict[str, str] = {}
    surplus, doubled, outside = [], [], []
    for name in state:
        if not name.startswith(prefix) or name.endswith(_LEFTOVERS):
            outside.append(name)
            continue
        official = name[len(prefix) :]
        if official.startswith(names.unused):
            continue
        ours = names.ours(official)
        if ours is None or ours not in outline.two:
            surplus.append(official)
        elif ours in given:
            doubled.append(official)
        else:
            given[ours] = name
    lacking = [ours for ours in outline.two if ours not in given and not names.may_lack(ours)]
    classes = next(_class_counts(state, outline, given), None)
    return Fit(
        outline,
        prefix,
        classes,
        given,
        headless=tuple(ours for ours in lacking if outline.of_head(ours)),
        outside=tuple(outside),
        problems={
            "several networks, behind": [repr(other) for other in (prefix, *rivals)] if rivals else [],
            "missing": [names.theirs(ours) for ours in lacking if not outline.of_head(ours)],
            "surplus": surplus,
            "given twice": doubled,
            "of another shape": [
                f"{name[len(prefix) :]} {_text(state[name].shape)} instead of {_text(shape)}"
                for ours, name in given.items()
                for shape in [outline.shape(ours, classes or 2)]
                if tuple(state[name].shape) != shape
            ],
            "of numbers of another kind": [
                f"{name[len(prefix) :]} {str(state[name].dtype).removeprefix('torch.')}"
                for ours, name in given.items()
                if state[name].is_complex() or (ours in outline.floating and not state[name].is_floating_point())
            ],
        },
    )


def _class_counts(state: Mapping[str, Tensor], outline: Outline, given: Mapping[str, str]) -> Iterator[int]:
    for ours, name in given.items():
        found = outline.classes(ours, state[name].shape)
        if found is not None:
            yield found


def _text(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "single number"
