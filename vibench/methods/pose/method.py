"""Pose: stripes of a re-ID branch that keypoint features gate, stripes of those features, one teacher for both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.data.batch import Batch
from vibench.losses import hetero_centre_triplet, identity_loss
from vibench.methods.pose.branch import PoseBranch
from vibench.methods.pose.heads import PartHead, Teacher
from vibench.methods.pose.layers import Initialisation, xavier
from vibench.methods.pose.losses import distillation, heatmap_loss, mid_centre_contrast
from vibench.methods.pose.refinement import heatmap_head, load_refinement
from vibench.methods.registry import register
from vibench.methods.sections import Recipe
from vibench.methods.two_stream import BackboneOptions, TwoStreamNetwork
from vibench.modality import INFRARED, VISIBLE
from vibench.nn.input_form import to_input_form
from vibench.nn.resnet import WIDTHS

BRANCH_STAGE = 2
"""The stage behind which the pose branch leaves the ResNet: layer2."""


@dataclass(frozen=True)
class PoseOptions(BackboneOptions):
    """Switches of Pose; the defaults are the paper where it differs from the official code."""

    specific_stages: int = 2
    """Stages that exist once per modality: 0 none (one stream), 1 the stem, 2 and 3 layer1 and layer2 too."""
    peb: bool = True
    """Pose-estimation branch; without it there are only the parts of the re-ID branch, unmasked."""
    pose_loss: bool = True
    """L_pose on the branch's heatmaps; without it, or with weight 0, heatmaps are neither predicted nor needed."""
    hfc: bool = True
    """Hierarchical feature constraint: a global teacher distils into all part classifiers. Needs peb."""
    feature: Literal["id", "all"] = "all"
    """Which feature is ranked: the parts of the re-ID branch, or those of both branches."""
    parts: int = 6
    """P, horizontal stripes of each branch's map."""
    part_dim: int = 512
    """Width of a part's feature."""
    feature_scale: float = 5.0
    """Length that every part's feature is normalised to for the metric loss and for ranking, as in the code."""
    tri: Literal["hetero-centre", "midcontrast"] = "hetero-centre"
    """Metric loss: hetero-centre triplets as in the paper, or contrast with identities' mid centres as in the code."""
    margin: float = 0.3
    """rho, margin of the metric loss."""
    teacher: Literal["joint", "ce_detach"] = "joint"
    """The teacher learns from its students alone, as published; or from identities, and its gradient stops there."""
    teacher_dim: int = 1024
    """Width of the teacher's feature."""
    temperature: float = 1.0
    """T of the distillation."""
    heatmap_channels: Literal[1, 17] = 1
    """Heatmaps: all joints merged into one, or one for each of COCO's 17 joints."""
    heatmap_target: Literal["image", "mean"] = "image"
    """What heatmaps are compared with: those of their image, or, as a control, the mean of all seen in training."""
    refinement_weights: str = ""
    """Checkpoint of Osokin's pose estimator that the refinement module starts from, unless the ResNet starts from
    random weights too; empty: none, as in the code. Needs heatmap_channels = 17."""
    initialisation: Initialisation = "xavier"
    """How all but the ResNet starts: Xavier as in the paper, or Kaiming and PyTorch's defaults as in the code."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("parts", "part_dim", "teacher_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"'{name}' must be at least 1, not {getattr(self, name)}.")
        for name in ("feature_scale", "temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(f"'{name}' must be above 0, not {getattr(self, name)}.")
        if self.hfc and not self.peb:
            raise ValueError("'hfc' needs the pose branch; set 'peb' to true, or 'hfc' to false.")
        if self.peb and self.last_stride != 1:
            raise ValueError("'last_stride' must be 1 with 'peb': the pose branch's map has that resolution.")
        if self.peb and self.specific_stages > BRANCH_STAGE + 1:
            raise ValueError(
                f"'specific_stages' must be 0 to {BRANCH_STAGE + 1} with 'peb', not {self.specific_stages}: the pose "
                "branch is shared from layer2 on."
            )


@dataclass(frozen=True)
class BranchMaps:
    """What the two branches make of images, all (B, C, h, w)."""

    identity: Tensor
    """F_id2 of the re-ID branch, before the mask."""
    keypoints: Tensor | None
    """F_P of the pose branch, of the same shape."""
    refined: Tensor | None
    """F_R of the pose branch, at a quarter of the images' height and width."""

    @property
    def masked(self) -> Tensor:
        """F_ID, Eq. (9)."""
        return self.identity if self.keypoints is None else self.identity * torch.sigmoid(self.keypoints)

    def gathered(self, batch: Batch) -> BranchMaps:
        """The maps of the whole batch that part heads and teacher read; F_R, which they do not, stays as it is."""
        keypoints = None if self.keypoints is None else batch.gather(self.keypoints)
        return BranchMaps(batch.gather(self.identity), keypoints, self.refined)


@register
class Pose(TwoStreamNetwork):
    """Pose (Miao, Huang, Ma, Zhang, Han, "On Exploring Pose Estimation as an Auxiliary Learning Task ...").

    arXiv 2022, Neurocomputing 2023. L = L_id + beta L_hctri + lambda L_pose + gamma L_KD, where L_id, L_hctri and L_KD
    are sums over all parts of both branches, beta, lambda, gamma the recipe's weights of ``triplet``, ``pose`` and
    ``distillation``. Nothing but the image is used in testing. The paper ranks two features of one network, those
    that `embed` names ``id`` and ``all``: ``vibench eval RUN`` ranks the one that ``feature`` says, and ``--feature``
    either.

    Where paper and official code differ, the paper is the default and the code an option or the variants code and
    code-regdb: the metric loss (``tri``), lambda, batch, epochs, schedule, augmentation, initialisation. The code
    decides where the paper is silent or cannot be meant: metric features of length 5 (``feature_scale``), no ReLU
    before the mask, the mean over pixels in L_pose, learning rates (a tenth for the specific stages), and a branch
    that is not pre-trained, although the ablation's text says that it is. Eq. (8) gives the image to layer3; F_S is
    meant. Nothing but its students teaches the published teacher (``teacher``).

    Modules: ``backbone``, ``id_parts`` (`PartHead`); with the branch ``branch`` (`PoseBranch`), ``pose_parts``
    (`PartHead`), ``heatmaps`` and ``teacher``.
    """

    name = "pose"
    options = PoseOptions
    loss_names: ClassVar[dict[str, str]] = {
        "identity": "L_id: cross-entropy of every part's classifier, summed over the parts of both branches",
        "triplet": "L_hctri: metric loss on every part's feature, summed over the parts; its weight is beta",
        "pose": "L_pose: squared error of the heatmaps, mean over pixels; its weight is lambda",
        "distillation": "L_KD: KL divergence of every part's prediction from the teacher's, summed; weight gamma",
        "teacher_identity": "cross-entropy of the teacher, with teacher = ce_detach",
    }

    mean_heatmap: Tensor
    """(C, H/4, W/4), mean of the training heatmaps seen, where heatmap_target is mean."""
    heatmaps_seen: Tensor
    """Number of images in that mean."""

    def __init__(self, recipe: Recipe, num_classes: int, pretrained: str | Path = "none") -> None:
        super().__init__(recipe, num_classes, pretrained)
        options: PoseOptions = recipe.model
        width = self.backbone.out_channels
        start = options.initialisation
        predicts_heatmaps = options.peb and options.pose_loss and recipe.loss_weights.get("pose", 1.0) > 0
        self.id_parts = PartHead(width, options.parts, options.part_dim, num_classes, start)
        self.branch: PoseBranch | None = None
        self.pose_parts: PartHead | None = None
        self.heatmaps: nn.Module | None = None
        self.teacher: Teacher | None = None
        if options.peb:
            shared_width = WIDTHS[options.backbone][BRANCH_STAGE - 1]
            self.branch = PoseBranch(shared_width, width, options.heatmap_channels)
            self.pose_parts = PartHead(width, options.parts, options.part_dim, num_classes, start)
            if predicts_heatmaps:
                self.heatmaps = heatmap_head(self.branch.refined_channels, options.heatmap_channels)
        for module in (self.branch, self.heatmaps):
            if module is not None and start == "xavier":
                xavier(module)
        # A network that is about to load a checkpoint starts from "none".
        if self.branch is not None and options.refinement_weights and str(pretrained) != "none":
            load_refinement(self.branch.refinement, Path(options.refinement_weights))
        if options.hfc:
            self.teacher = Teacher(width, options.teacher_dim, num_classes, start)
        if not predicts_heatmaps:
            self.needs = frozenset()  # type: ignore[misc]
        elif options.heatmap_target == "mean":
            shape = (options.heatmap_channels, recipe.input.height // 4, recipe.input.width // 4)
            self.register_buffer("mean_heatmap", torch.zeros(shape))
            self.register_buffer("heatmaps_seen", torch.zeros(()))

    def heatmap_channels(self) -> int:
        """Channels of the heatmaps that it trains on."""
        channels: int = self.recipe.model.heatmap_channels
        return channels

    def branch_maps(self, visible: Tensor | None = None, infrared: Tensor | None = None) -> BranchMaps:
        """The branches' maps of images of one modality, or of both in one pass through the shared stages."""
        form = self.recipe.model.input
        features = self.backbone.specific(
            visible=None if visible is None else to_input_form(visible, VISIBLE, form),
            infrared=None if infrared is None else to_input_form(infrared, INFRARED, form),
        )
        shared = features
        for stage in self.backbone.shared.stages:
            features = self.backbone.shared.run(stage, features, self.backbone.inserted)
            if stage <= BRANCH_STAGE:
                shared = features
        if self.branch is None:
            return BranchMaps(features, None, None)
        keypoints, refined = self.branch(shared)
        return BranchMaps(features, keypoints, refined)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``identity`` and ``triplet``; ``pose``, ``distillation``, ``teacher_identity`` where they are switched on."""
        options: PoseOptions = self.recipe.model
        own = self.branch_maps(**dict(zip((VISIBLE, INFRARED), batch.by_modality(batch.images), strict=True)))
        maps = own.gathered(batch)
        features = self.id_parts(maps.masked)
        logits = self.id_parts.logits(features)
        if self.pose_parts is not None:
            pose_features = self.pose_parts(maps.keypoints)
            features = torch.cat([features, pose_features])
            logits = torch.cat([logits, self.pose_parts.logits(pose_features)])
        losses = {
            "identity": len(logits) * identity_loss(logits.flatten(0, 1), batch.labels.repeat(len(logits))),
            "triplet": self._metric_loss(features, batch).sum(),
        }
        if self.heatmaps is not None:
            predicted = batch.gather(self.heatmaps(own.refined))
            losses["pose"] = heatmap_loss(predicted, *self._heatmap_targets(batch))
        if self.teacher is not None:
            assert maps.keypoints is not None
            taught = self.teacher(maps.identity, maps.keypoints)
            if options.teacher == "ce_detach":
                losses["teacher_identity"] = identity_loss(taught, batch.labels)
                taught = taught.detach()
            losses["distillation"] = distillation(logits, taught, options.temperature).sum()
        return losses

    def embed(self, images: Tensor, modality: str) -> dict[str, Tensor]:
        """Features of normalised images (B, 3, H, W) of one modality, all float32.

        ``id`` (B, parts * part_dim), the parts of the re-ID branch from top to bottom, each of length
        ``feature_scale``; with the branch, ``all`` (B, 2 * parts * part_dim), those and the parts of the pose branch.
        ``embedding``, L2-normalised as a whole, is the one that the option ``feature`` names.
        """
        maps = self.branch_maps(**{modality: images})
        parts = self._scaled(self.id_parts(maps.masked))
        features = {"id": parts}
        if self.pose_parts is not None:
            features["all"] = torch.cat([parts, self._scaled(self.pose_parts(maps.keypoints))], dim=1)
        ranked = features.get(self.recipe.model.feature, parts)
        return {"embedding": functional.normalize(ranked, dim=1), **features}

    def dealt_modules(self) -> tuple[nn.Module, ...]:
        """The backbone, the pose branch and its heatmaps."""
        return tuple(module for module in (self.backbone, self.branch, self.heatmaps) if module is not None)

    def head_modules(self) -> tuple[nn.Module, ...]:
        """All but the specific stages train at the full learning rate, the shared stages of the ResNet too."""
        own = (self.id_parts, self.branch, self.pose_parts, self.heatmaps, self.teacher)
        return (self.backbone.shared, *(module for module in own if module is not None))

    def training_only(self) -> tuple[str, ...]:
        """The classifiers, the heatmaps and the teacher."""
        return "id_parts.classifiers.", "pose_parts.classifiers.", "heatmaps.", "teacher."

    def _metric_loss(self, features: Tensor, batch: Batch) -> Tensor:
        """(parts,) of features (parts, B, dim)."""
        options: PoseOptions = self.recipe.model
        metric = options.feature_scale * functional.normalize(features, dim=2)
        if options.tri == "midcontrast":
            return mid_centre_contrast(metric, batch.labels, batch.modality, options.margin)
        return hetero_centre_triplet(metric, batch.labels, batch.modality, options.margin, reduction="sum")

    def _heatmap_targets(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Heatmaps (B, C, h, w) to compare with, and the images (B,) that have one."""
        assert batch.heatmaps is not None and batch.heatmaps_known is not None
        if self.recipe.model.heatmap_target == "image":
            return batch.heatmaps, batch.heatmaps_known
        known = batch.heatmaps_known.to(batch.heatmaps.dtype)
        if self.training:
            self.heatmaps_seen += known.sum()
            new = (known[:, None, None, None] * (batch.heatmaps - self.mean_heatmap)).sum(dim=0)
            self.mean_heatmap += new / self.heatmaps_seen.clamp(min=1.0)
        return self.mean_heatmap.expand_as(batch.heatmaps), (self.heatmaps_seen > 0).expand(len(batch))

    def _scaled(self, features: Tensor) -> Tensor:
        """Part features (parts, B, dim) side by side, each of length ``feature_scale``: (B, parts * dim)."""
        scale: float = self.recipe.model.feature_scale
        return (scale * functional.normalize(features.float(), dim=2)).transpose(0, 1).flatten(1)
