"""What may be asked of an evaluation: its rules, and which of them fit a data set and its models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vibench.corruption import Corruption
from vibench.datasets.listing import located
from vibench.datasets.permutations import Permutations, read_permutations
from vibench.errors import UsageError
from vibench.protocols import Protocol, corrupted, load_protocol
from vibench.scoring.attributes import GivenAttributes
from vibench.scoring.trained import TrainedModel

OFFICIAL_PERMUTATIONS = Path("exp") / "rand_perm_cam.mat"
"""Where a copy of SYSU-MM01 holds its official draws."""


@dataclass(frozen=True)
class Rules:
    """Under which rules to evaluate."""

    protocols: tuple[Protocol, ...]
    draws: tuple[str, ...] = ("seeded",)
    """Several share their work."""
    permutations: Path | None = None
    """File of the official draws; None: that of the data set, where it is on disk."""
    distance: str | None = None
    """None: the method's own distance; ``cosine`` for features."""
    query_mode: str = "all"
    rerank: str = "none"
    feature: str = ""
    """The named feature to rank in place of the method's embedding, by a plain distance."""
    mask_same_location: bool = False
    """Where test images change one another's features: keep pairs apart whose cameras the skip rule names."""

    allow_incomplete: bool = False
    """Evaluate although images of the data set are missing; the record says so and holds no rank."""

    given: GivenAttributes = field(default_factory=GivenAttributes)
    """Where methods that take attributes in testing have them from."""
    allow_incomplete_by: str = "--allow-incomplete"
    """What sets ``allow_incomplete`` where this was asked for, for sentences."""

    @property
    def corruption(self) -> Corruption | None:
        """What happens to the test images; `UsageError` where the protocols do not agree about it."""
        found = corrupted(self.protocols)
        if len(found) > 1:
            names = [" and ".join(protocol.name for protocol in group) for group in found]
            raise UsageError(f"protocols {', and '.join(names)} are of other images each; evaluate them apart.")
        return found[0][0].corruption if found else None

    @property
    def complete_copy(self) -> str:
        """What to do where a copy of a data set lacks test images, as half a sentence."""
        return (
            "complete the copy (vibench data check names every file), or evaluate what is there, unranked, with "
            f"{self.allow_incomplete_by}"
        )

    @property
    def own_distance(self) -> bool:
        """Whether a method that has a distance of its own ranks by it."""
        return self.distance is None and self.rerank == "none" and not self.feature


def load_protocols(names: Sequence[str]) -> tuple[Protocol, ...]:
    """Protocols by name; `UsageError` for an unknown or doubled one, or none at all."""
    if not names:
        raise UsageError("no protocol given; name one with --protocol, 'vibench protocols' lists them.")
    if len(set(names)) < len(names):
        raise UsageError(f"--protocol {' --protocol '.join(names)}: name each protocol once.")
    return tuple(load_protocol(name) for name in names)


def check_protocols(protocols: Sequence[Protocol], model: TrainedModel) -> None:
    """Raise `UsageError` for a protocol of another data set than the model's."""
    for protocol in protocols:
        if protocol.layout != model.dataset.layout:
            how = "is to be tested" if model.transferred else "was trained"
            raise UsageError(
                f"--protocol {protocol.name}: is a protocol of {protocol.layout}, but {model.path} {how} on "
                f"{model.dataset.name}; 'vibench protocols' lists the protocols of each data set, and --dataset tests "
                "on another."
            )


def check_clean(protocols: Sequence[Protocol], what: str) -> None:
    """`UsageError` for protocols of corrupted images where ``what`` is evaluated, of which nobody knows the images."""
    for protocol in protocols:
        if protocol.corruption is not None:
            raise UsageError(
                f"--protocol {protocol.name}: is of corrupted images, and {what} do not say of which images they are; "
                "evaluate a RUN or a --checkpoint."
            )


def check_together(models: Sequence[TrainedModel]) -> None:
    """Several models make one record only as the splits of one experiment."""
    first = models[0].checkpoint
    for model in models[1:]:
        checkpoint = model.checkpoint
        for what in ("method", "variant", "dataset", "dataset_version", "recipe", "source"):
            if getattr(checkpoint, what) != getattr(first, what):
                raise UsageError(
                    f"{model.path}: differs from {models[0].path} in its {what}; trials of one experiment must "
                    "share it, so train the odd one anew or evaluate with --trial."
                )
    splits = [model.split for model in models]
    if len(set(splits)) < len(splits):
        raise UsageError(f"{models[0].path}: two runs are of the same trial (trials {splits}); evaluate one of them.")


def permutations_of(rules: Rules, root: Path | None) -> Permutations | None:
    if "official" not in rules.draws:
        return None
    if rules.permutations is not None:
        return read_permutations(rules.permutations)
    if root is None:
        raise UsageError("--draw official: needs the data set's own draws; name rand_perm_cam.mat with --perm.")
    return read_permutations(located(root, OFFICIAL_PERMUTATIONS.as_posix()))
