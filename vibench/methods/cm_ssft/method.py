"""cm-SSFT: a shared and a specific feature per image, mixed over the neighbours within and across modalities."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.data.batch import Batch
from vibench.losses import identity_loss
from vibench.methods.base import Method
from vibench.methods.cm_ssft.adversary import ModalityDiscriminator, ProjectionAdversary, reverse_gradient
from vibench.methods.cm_ssft.decoder import SubPixelDecoder
from vibench.methods.cm_ssft.feature_block import FeatureBlock
from vibench.methods.cm_ssft.query_graph import graph_distances
from vibench.methods.cm_ssft.transfer import TransferNetwork, segments
from vibench.methods.cm_ssft.triplet import Mining, cross_modality_triplet, same_modality_triplet
from vibench.methods.registry import register
from vibench.methods.sections import Recipe
from vibench.methods.transductive import TransductiveMethod
from vibench.methods.two_stream import BackboneOptions, TwoStreamNetwork
from vibench.modality import MODALITIES
from vibench.nn.input_form import CHANNELS, to_input_form
from vibench.nn.neck import identity_classifier
from vibench.nn.pooling import AveragePool
from vibench.nn.precision import at_least_float32


@dataclass(frozen=True)
class CmSSFTOptions(BackboneOptions):
    """Switches of cm-SSFT; the defaults are row 11 of the paper's Table 3."""

    specific_stages: int = 3
    """Stages of Conv1, one copy per modality: 1 the stem, 2 to 4 layer1 to layer3 too. The rest is Conv2."""
    shl: bool = True
    """ShL: classification and triplet loss on the shared feature H."""
    spl: bool = True
    """SpL: the specific streams with classification and triplet loss on their features P."""
    moa: bool = True
    """MoA: modality adversary on H."""
    pa: bool = True
    """PA: projection adversary on P."""
    re: bool = True
    """RE: reconstruction of the image from both feature maps."""
    sht: bool = True
    """ShT: the transfer network mixes H; its slot is zero where off."""
    spt: bool = True
    """SpT: the transfer network mixes P; its slots are zero where off. Without ShT and SpT there is no such network."""
    bnneck: bool = True
    """Feature blocks with batch normalisation (network augmentation), or with a linear layer."""
    test_feature: Literal["transferred", "shared"] = "transferred"
    """What is ranked: T, or H, which looks at no other image and is all there is without ShT and SpT."""
    k: int = 4
    """Neighbours that a row of each of the four blocks of the graph keeps, itself among them."""
    graph_feature: Literal["g", "f"] = "g"
    """What the graph is built on and mixes: H and P behind the neck, or before it; not printed."""
    affinity_grad: bool = True
    """Let the gradient reach the affinities and degrees of the graph, or only what it mixes; not printed."""
    transfer_dim: int = 0
    """Width of T, not printed; 0: the width of the backbone, 2048 of resnet50."""
    cross_margin: float = 0.3
    """rho1, margin of the triplets across modalities; not printed."""
    same_margin: float = 0.3
    """rho2, margin of the triplets within a modality; not printed."""
    mining: Mining = "hard"
    """Triplets that count: the hardest of every anchor, or the mean over all; not printed."""
    adv: Literal["reversal", "alternate"] = "reversal"
    """Adversaries learn in the step of the network by reversed gradients, or in a max step of their own after it."""
    lambda_moa: float = 0.2
    """lambda2, factor of the reversed gradient of MoA on H."""
    lambda_pa: float = 0.2
    """lambda3, factor of the reversed gradient of PA on P."""
    pa_grad_to_shared: bool = False
    """Let PA's reversed gradient reach H too; the backbone can then win by inflating H. Not printed."""
    discriminator_dims: tuple[int, ...] = (512, 256)
    """Widths of the hidden layers of the modality discriminator; not printed."""
    decoder_channels: int = 64
    """Channels of the decoder's sub-pixel layers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.specific_stages <= 4:
            raise ValueError(f"'specific_stages' must be 1 to 4, not {self.specific_stages}.")
        for name in ("k", "decoder_channels", *(() if self.transfer_dim == 0 else ("transfer_dim",))):
            if getattr(self, name) < 1:
                raise ValueError(f"'{name}' must be at least 1, not {getattr(self, name)}.")
        if any(width < 1 for width in self.discriminator_dims):
            raise ValueError(f"'discriminator_dims' must be widths above 0, not {list(self.discriminator_dims)}.")
        for name in ("lambda_moa", "lambda_pa"):
            if getattr(self, name) < 0:
                raise ValueError(f"'{name}' must not be negative, but is {getattr(self, name)}.")
        for name in ("pa", "re", "sht", "spt"):
            if getattr(self, name) and not self.spl:
                raise ValueError(f"'{name}' needs the specific streams; set 'spl' to true.")
        if self.re and self.last_stride != 1:
            raise ValueError("'re' needs feature maps of a sixteenth of the image; set 'last_stride' to 1.")
        if not self.shl and not self.transfers:
            raise ValueError("without 'shl' nothing but the transfer network trains H; switch 'sht' or 'spt' on.")

    @property
    def transfers(self) -> bool:
        """Whether there is a transfer network."""
        return self.sht or self.spt


@dataclass(frozen=True)
class _Stream:
    """H, or P of both modalities, of a training batch."""

    maps: Tensor
    """(b, C, h, w) of the images on this process."""
    f: Tensor
    """(B, D) before the neck."""
    g: Tensor
    """(B, D) behind the neck."""


@dataclass(frozen=True)
class _Opposed:
    """Detached features of the latest training batch, which the adversaries learn from in a step of their own."""

    shared: Tensor
    """(B, D) g of H."""
    specific: Tensor | None
    """(B, D) g of P, where there are specific streams."""
    modality: Tensor
    """(B,)."""


@register
class CmSSFT(TransductiveMethod, TwoStreamNetwork):
    """cm-SSFT (Lu et al., "Cross-modality Person Re-identification with Shared-Specific Feature Transfer", CVPR 2020).

    No official code is known; options that the paper leaves open say so. L = L(H) + L(P) + L(T) + lambda1 L_re and two
    adversarial games, Eq. (18) to (21). The adversaries descend on L_ma and L_pa, the network ascends on them, by
    lambda2 through H and by lambda3 through P. Gradient reversal does both in one step; the printed alternation
    (``adv``) lets the adversaries step after the network, on the features of the same forward pass, which changes
    nothing but the clipping of gradients, norm by norm. The printed L_max is to be maximised: a descent on it would
    train the adversaries backwards. ``projection_ratio``, of weight 0, watches PA: near 1 the projection finds
    nothing left to predict; far above 1 P is being inflated, and gradients should be clipped.

    Conv1^m is ``backbone.visible`` and ``backbone.infrared``, Conv2^S is ``backbone.shared``; further modules:
    ``specific`` (Conv2^m), ``shared_block``, ``specific_block``, ``transfer``, the classifiers ``classifier_*``,
    ``discriminator``, ``projection`` and ``decoder``.
    """

    name = "cm-ssft"
    options = CmSSFTOptions
    loss_names: ClassVar[dict[str, str]] = {
        "shared_identity": "L_c(H), cross-entropy on g of H, one classifier for both modalities",
        "shared_triplet": "L_cmT(H), cross-modality triplet loss on f of H, the two directions added",
        "specific_identity": "L_c(P^R) + L_c(P^I), cross-entropy on g of P, one classifier per modality",
        "specific_triplet": "L_smT(P), same-modality triplet loss on f of P, the two modalities added",
        "transferred_identity": "L_c(T), cross-entropy on g of the transferred feature T",
        "transferred_triplet": "L_cmT(T) + L_smT(T) on f of T, four terms added",
        "reconstruction": "L_re, mean squared error per value of the network's normalised input; its weight is lambda1",
        "modality": "L_ma, cross-entropy of the modality discriminator on g of H",
        "projection": "L_pa, mean distance of g of H from its prediction from g of P",
        "projection_ratio": "L_pa over the mean length of H; watched, not trained on",
    }

    def __init__(self, recipe: Recipe, num_classes: int, pretrained: str | Path = "none") -> None:
        super().__init__(recipe, num_classes, pretrained)
        options: CmSSFTOptions = recipe.model
        width = self.backbone.out_channels
        self.pool = AveragePool()
        self.shared_block = FeatureBlock(width, options.bnneck)
        self.specific: nn.ModuleDict | None = None
        self.specific_block = nn.ModuleDict()
        self.transfer: TransferNetwork | None = None
        self.discriminator: ModalityDiscriminator | None = None
        self.projection: ProjectionAdversary | None = None
        self.decoder: nn.ModuleDict | None = None
        if options.shl:
            self.classifier_shared = identity_classifier(width, num_classes)
        if options.spl:
            self.specific = _per_modality(lambda: copy.deepcopy(self.backbone.shared))
            self.specific_block = _per_modality(lambda: FeatureBlock(width, options.bnneck))
            self.classifier_specific = _per_modality(lambda: identity_classifier(width, num_classes))
        if options.transfers:
            dim = options.transfer_dim or width
            self.transfer = TransferNetwork(
                width, dim, options.k, options.bnneck, options.sht, options.spt, options.affinity_grad
            )
            self.classifier_transferred = identity_classifier(dim, num_classes)
        if options.moa:
            self.discriminator = ModalityDiscriminator(width, options.discriminator_dims)
        if options.pa:
            self.projection = ProjectionAdversary(width)
        if options.re:
            channels = CHANNELS[options.input]
            self.decoder = _per_modality(lambda: SubPixelDecoder(2 * width, options.decoder_channels, channels))
        self.ranks_transferred = options.transfers and options.test_feature == "transferred"
        if not self.ranks_transferred:
            self.test_time_information = "none"
        self._opposed: _Opposed | None = None

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Those of `loss_names` that the options ask for."""
        options: CmSSFTOptions = self.recipe.model
        low = self._low_maps(batch)
        shared_maps = self.backbone.shared(low, self.backbone.inserted)
        shared = _Stream(shared_maps, *self.shared_block(batch.gather(self.pool(shared_maps))))
        losses = self._shared_losses(shared, batch) if options.shl else {}
        if self.discriminator is not None:
            reversed_shared = reverse_gradient(shared.g, options.lambda_moa)
            losses["modality"] = self.discriminator.loss(reversed_shared, batch.modality)
        if not options.spl:
            self._opposed = _Opposed(shared.g.detach(), None, batch.modality)
            return losses
        specific = self._specific_stream(low, batch)
        self._opposed = _Opposed(shared.g.detach(), specific.g.detach(), batch.modality)
        losses |= self._specific_losses(specific, batch)
        if self.transfer is not None:
            losses |= self._transferred_losses(shared, specific, batch)
        if self.decoder is not None:
            losses["reconstruction"] = self._reconstruction(shared, specific, batch)
        if self.projection is not None:
            target = reverse_gradient(shared.g, options.lambda_pa) if options.pa_grad_to_shared else shared.g.detach()
            error = self.projection.loss(reverse_gradient(specific.g, options.lambda_pa), target, batch.modality)
            length = torch.linalg.vector_norm(shared.g.detach(), dim=1).mean()
            losses |= {"projection": error, "projection_ratio": error.detach() / length}
        return losses

    def _low_maps(self, batch: Batch) -> Tensor:
        """Feature maps (b, C, h, w) behind Conv1, of the images on this process."""
        parts = zip(MODALITIES, self._inputs(batch), strict=True)
        return self.backbone.specific(**dict(parts))

    def _inputs(self, batch: Batch) -> list[Tensor]:
        """The network's input per modality."""
        parts = zip(MODALITIES, batch.by_modality(batch.images), strict=True)
        return [to_input_form(images, modality, self.recipe.model.input) for modality, images in parts]

    def _specific_stream(self, low: Tensor, batch: Batch) -> _Stream:
        assert self.specific is not None
        maps, f, g = [], [], []
        for modality, part in zip(MODALITIES, batch.by_modality(low), strict=True):
            maps.append(self.specific[modality](part, self.backbone.inserted))
            before, behind = self.specific_block[modality](batch.gather(self.pool(maps[-1])))
            f.append(before)
            g.append(behind)
        return _Stream(torch.cat(maps), torch.cat(f), torch.cat(g))

    def _shared_losses(self, shared: _Stream, batch: Batch) -> dict[str, Tensor]:
        options: CmSSFTOptions = self.recipe.model
        triplet = cross_modality_triplet(shared.f, batch.labels, batch.modality, options.cross_margin, options.mining)
        return {
            "shared_identity": identity_loss(self.classifier_shared(shared.g), batch.labels),
            "shared_triplet": triplet,
        }

    def _specific_losses(self, specific: _Stream, batch: Batch) -> dict[str, Tensor]:
        options: CmSSFTOptions = self.recipe.model
        parts = zip(MODALITIES, batch.by_modality(specific.g), batch.by_modality(batch.labels), strict=True)
        identity = [identity_loss(self.classifier_specific[modality](g), labels) for modality, g, labels in parts]
        triplet = same_modality_triplet(specific.f, batch.labels, batch.modality, options.same_margin, options.mining)
        return {"specific_identity": torch.stack(identity).sum(), "specific_triplet": triplet}

    def _transferred_losses(self, shared: _Stream, specific: _Stream, batch: Batch) -> dict[str, Tensor]:
        assert self.transfer is not None
        options: CmSSFTOptions = self.recipe.model
        nodes = (shared.g, specific.g) if options.graph_feature == "g" else (shared.f, specific.f)
        f, g = self.transfer(segments(*nodes, batch.modality), batch.modality)
        labels, modality, mining = batch.labels, batch.modality, options.mining
        triplet = cross_modality_triplet(f, labels, modality, options.cross_margin, mining)
        triplet = triplet + same_modality_triplet(f, labels, modality, options.same_margin, mining)
        return {
            "transferred_identity": identity_loss(self.classifier_transferred(g), labels),
            "transferred_triplet": triplet,
        }

    def _reconstruction(self, shared: _Stream, specific: _Stream, batch: Batch) -> Tensor:
        assert self.decoder is not None
        maps = batch.by_modality(torch.cat([specific.maps, shared.maps], dim=1))
        drawn = torch.cat([self.decoder[modality](part) for modality, part in zip(MODALITIES, maps, strict=True)])
        errors = functional.mse_loss(at_least_float32(drawn), torch.cat(self._inputs(batch)), reduction="none")
        return batch.gather(errors.mean(dim=(1, 2, 3))).mean()

    def embed(self, images: Tensor, modality: str) -> dict[str, Tensor]:
        """Features of normalised images (B, 3, H, W) of one modality, all float32.

        ``shared`` (B, D) is g of H. Where T is ranked ``specific`` (B, D) is g of P, and ``embedding`` (B, 3D) what
        the graph is built from: Z = [P; H; 0] of visible and [0; H; P] of infrared images. Else ``embedding`` is H,
        L2-normalised.
        """
        image = to_input_form(images, modality, self.recipe.model.input)
        low = self.backbone.specific(**{modality: image})
        shared = self.shared_block(self.pool(self.backbone.shared(low, self.backbone.inserted)))
        if not self.ranks_transferred:
            return {"embedding": functional.normalize(shared[1], dim=1), "shared": shared[1]}
        assert self.specific is not None
        specific = self.specific_block[modality](self.pool(self.specific[modality](low, self.backbone.inserted)))
        node = 1 if self.recipe.model.graph_feature == "g" else 0
        codes = torch.full((len(images),), MODALITIES.index(modality), device=images.device)
        embedding = segments(shared[node], specific[node], codes)
        return {"embedding": embedding, "shared": shared[1], "specific": specific[1]}

    def has_own_distance(self) -> bool:
        """True where T is ranked; H is ranked by its cosine."""
        return self.ranks_transferred

    def group_distances(self, query: Tensor, gallery: Tensor, group_size: int, apart: Tensor | None = None) -> Tensor:
        """One minus the cosine (Q, G) of T, from one graph per group of queries with the whole gallery.

        A group of one query is Eq. (22). `vibench.methods.cm_ssft.query_graph` says how. Where H is ranked, its cosine
        distance, and no image looks at another.
        """
        if self.transfer is None or not self.ranks_transferred:
            return Method.distances(self, query, gallery, "single")
        return graph_distances(self.transfer, query, gallery, group_size, apart)

    def adversaries(self) -> tuple[nn.Module, ...]:
        """Discriminator and projections, where they take steps of their own."""
        if self.recipe.model.adv == "reversal":
            return ()
        return tuple(module for module in (self.discriminator, self.projection) if module is not None)

    def adversary_losses(self) -> dict[str, Tensor]:
        """``modality`` and ``projection`` on the features of the latest batch, detached."""
        seen, losses = self._opposed, {}
        assert seen is not None
        if self.discriminator is not None:
            losses["modality"] = self.discriminator.loss(seen.shared, seen.modality)
        if self.projection is not None and seen.specific is not None:
            losses["projection"] = self.projection.loss(seen.specific, seen.shared, seen.modality)
        return losses

    def dealt_modules(self) -> tuple[nn.Module, ...]:
        """All that makes or reads feature maps: the backbone, the specific streams and the decoders."""
        return tuple(module for module in (self.backbone, self.specific, self.decoder) if module is not None)

    def head_modules(self) -> tuple[nn.Module, ...]:
        """Everything but the residual stages."""
        backbones = (self.backbone, self.specific)
        return tuple(module for module in self.children() if module not in backbones)

    def training_only(self) -> tuple[str, ...]:
        """Classifiers, adversaries and decoders; where H is ranked, the specific streams and the transfer network."""
        training = ("classifier_", "discriminator.", "projection.", "decoder.")
        return training if self.ranks_transferred else (*training, "specific.", "specific_block.", "transfer.")


def _per_modality(build: Callable[[], nn.Module]) -> nn.ModuleDict:
    return nn.ModuleDict({modality: build() for modality in MODALITIES})
