"""What a method is to the rest of vibench."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.data.batch import Batch
from vibench.errors import UsageError
from vibench.methods.sections import Recipe

if TYPE_CHECKING:
    from vibench.nn.vision_transformer import Attention


class Method(nn.Module, ABC):
    """A VI-ReID method: network, training losses, test-time embedding and distance.

    A subclass sets `name`, `options` (a frozen dataclass: every architecture and loss switch with its type and
    default; read from the recipe's ``[model]`` table) and `loss_names`, and builds its network in ``__init__``.
    `vibench.methods.registry.register` sets the other class attributes from the ``[method]`` table of ``recipe.toml``.
    """

    name: ClassVar[str]
    """Slug on the command line and in records."""
    title: ClassVar[str] = ""
    """Name as the field writes it, e.g. ``AGW``."""
    reference: ClassVar[str] = ""
    """Paper: authors, title, venue, year."""
    test_time_information: str = "none"
    """What the ranking of one query may look at besides the query and each gallery image by itself; a class says what
    its method does in query mode ``all``, an instance whose options ask for less may narrow it."""
    needs: frozenset[str] = frozenset()
    """Training inputs besides images and labels: a subset of ``{"attributes", "heatmaps"}``. An instance whose options
    ask for less narrows it."""
    options: ClassVar[type[Any]]
    """Frozen dataclass of the recipe's ``[model]`` keys."""
    loss_names: ClassVar[Mapping[str, str]]
    """Every key that `losses` may return in some variant, with a line that says what it is."""
    test_attributes: tuple[str, ...] = ()
    """Where the attributes of a test image may come from, the default first; empty for a method that takes none.

    ``pred``: `embed`, which predicts them; ``gt``, ``shuffle`` (the true codes, permuted among the test images) and
    ``const`` (`mean_attributes`): `embed_with_attributes`.
    """
    official_start: ClassVar[str] = "imagenet"
    """The ``pretrained`` that the official code starts from: ``imagenet``, or a file's name where torchvision's weights
    are others. Records mark a run with another start."""
    distance: Literal["cosine", "euclidean"] = "cosine"
    """What embeddings are ranked by, unless `distances` is overridden."""

    def __init__(self, recipe: Recipe, num_classes: int, pretrained: str | Path = "none") -> None:
        """Build the network for ``num_classes`` identities, its backbone started from ``pretrained``.

        ``pretrained`` is ``imagenet``, ``none`` or a file (`vibench.nn.pretrained.load_pretrained`).
        """
        super().__init__()
        self.recipe = recipe
        self.num_classes = num_classes

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Named scalar losses of a training batch; the recipe's ``[loss_weights]`` weigh them.

        Features of ``batch.images`` pass `Batch.gather` before they meet labels or one another.
        """

    @abstractmethod
    def embed(self, images: Tensor, modality: str) -> dict[str, Tensor]:
        """Test-time features of normalised images (B, 3, H, W) of one modality.

        Key ``embedding`` (B, D) is mandatory and is what the headline ranking uses.
        """

    def embed_with_attributes(self, images: Tensor, modality: str, attributes: Tensor) -> dict[str, Tensor]:
        """As `embed`, of a method with `test_attributes`: ``attributes`` (B, 8) are those of each image's person."""
        raise UsageError(f"{self.name} takes no attributes in testing; leave them out.")

    @property
    def mean_attributes(self) -> Tensor:
        """Mean (8,) of each attribute over the training images, of a method with `test_attributes`."""
        raise UsageError(f"{self.name} takes no attributes in testing, so it knows no mean of them.")

    def distances(self, query: Tensor, gallery: Tensor, query_mode: str) -> Tensor:
        """Distances (Q, G) between embeddings; smaller is more alike.

        Default: one minus cosine similarity, or the Euclidean distance, as the attribute `distance` says.
        """
        if self.distance == "euclidean":
            return torch.cdist(query, gallery)
        return 1.0 - functional.normalize(query, dim=1) @ functional.normalize(gallery, dim=1).T

    def has_own_distance(self) -> bool:
        """Whether images are ranked by `distances`; else by the attribute `distance` of their embeddings."""
        return type(self).distances is not Method.distances

    def heatmap_channels(self) -> int:
        """Channels of the heatmaps that a method with the need ``heatmaps`` trains on: 1, joints merged, or 17."""
        return 1

    @abstractmethod
    def parameter_groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        """Optimiser groups ``{"params": [...], "lr_factor": float}``, every trainable parameter exactly once.

        ``lr_factor`` multiplies the recipe's learning rate; other optimiser keys may be added to a group.
        """

    def dealt_modules(self) -> tuple[nn.Module, ...]:
        """Modules in front of `Batch.gather`: where several processes train together, they see a share of a batch.

        Everything else sees the whole of it on every process. None, the default: the method trains on one process.
        """
        return ()

    def adversaries(self) -> tuple[nn.Module, ...]:
        """Modules that play against the network in a step of their own, after each step on `losses`; none by default.

        The step on `losses` leaves their parameters alone. The one after it descends on `adversary_losses` and moves
        nothing else.
        """
        return ()

    def adversary_losses(self) -> dict[str, Tensor]:
        """Named scalar losses of the `adversaries`, on detached features of the batch that `losses` met last.

        The recipe's ``[loss_weights]`` weigh them. Called only where there are adversaries.
        """
        return {}

    def training_only(self) -> tuple[str, ...]:
        """Prefixes of parameter names that testing does not need (classifiers, adversaries)."""
        return ("classifier.",)

    def end_of_epoch(self, epoch: int, mean_losses: Mapping[str, float]) -> None:
        """Called after epoch ``epoch`` (from 0), before its checkpoint is written.

        ``mean_losses`` are the means of `losses` over the epoch's steps, unweighted. What a method keeps of them for
        the next epoch belongs into a buffer, so that checkpoints carry it.
        """
        return None

    def map_module(self, modality: str) -> nn.Module | None:
        """The module that returns the feature map (B, C, h, w) which the head reads of images of one modality.

        `vibench.visualize.grad_cam` looks there; None: at the last module that returns a map.
        """
        return None

    def token_attention(self, images: Tensor, modality: str) -> Attention | None:
        """Which patches of normalised images (B, 3, H, W) of one modality a transformer's class token attends to.

        `vibench.visualize.attention_rollout` draws it in the place of Grad-CAM; None of a network without such a token.
        """
        return None
