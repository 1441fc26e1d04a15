"""PAENet: a host's feature map, gated by attributes, and classifiers of the attributes beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from vibench.data.batch import Batch
from vibench.errors import UsageError
from vibench.methods.base import Method
from vibench.methods.paenet.attribute_input import AttributeInput, AttributeSource
from vibench.methods.paenet.auxiliary import AttributeAuxiliary, attribute_loss
from vibench.methods.paenet.embedding import Fusion, GateSharing, ProgressiveEmbedding, RegionGate, SpatialInput
from vibench.methods.paenet.hosts import build_host, host_options
from vibench.methods.registry import register
from vibench.methods.sections import Recipe
from vibench.nn.neck import bn_neck
from vibench.nn.pooling import AveragePool, GeneralisedMeanPool
from vibench.nn.resnet import Architecture

COUNT = 8
"""Attributes of a code."""


@dataclass(frozen=True)
class PAENetOptions:
    """Switches of PAENet; the docstrings say where paper and official code differ."""

    backbone: Architecture = "resnet50"
    """Residual network of the host; those of 18 layers are for small machines and have no published number."""
    host: Literal["mmd", "hct", "agw", "ddag", "mpanet"] = "mmd"
    """The method that everything is plugged into."""
    host_model: dict[str, Any] = field(default_factory=dict)
    """The host's own [model] keys; one that is absent has the default of the host's official code on SYSU-MM01."""
    pae: bool = True
    """Progressive attribute embedding: attributes become an input of the network, in testing too."""
    emb: Literal[1, 2, 3] = 3
    """How many of its three embeddings there are; without the third the gate is the sigmoid of the last one."""
    fusion: Fusion = "scalar-tokens"
    """Embedding I: attention among single numbers as in the official code, or of f to [f, f_a] as in the paper."""
    emb2_input: SpatialInput = "map"
    """Embedding II reads e1 * F, or e1 alone as in the official code, where it is the identity."""
    gates: GateSharing = "per_attr"
    """Embedding III: a gate per attribute as in the paper, or one for all as in the official code."""
    normalise_gates: bool = True
    """L2 normalisation of the gates, as in the official code alone."""
    region_norm: bool = True
    """Batch norm before the sigmoid that re-weights the map, as in the official code alone."""
    id_sigmoid2: bool = False
    """A second sigmoid over the re-weighted map, as in the official code alone."""
    aal: Literal["off", "paper", "code"] = "paper"
    """Attribute-based auxiliary learning: off, on the fused attribute feature, or on the gates as in the code."""
    attribute_head: bool = True
    """With pae: attributes predicted from the image alone, which testing without labels needs."""
    attr_input: AttributeSource = "mixed"
    """Code given to pae in training: labels as in the paper, first labels and later predictions, or predictions."""
    gt_until: float = 0.164
    """Share of the epochs in which attr_input = mixed takes labels alone: 10 of 61."""
    pred_from: float = 0.328
    """Share of the epochs after which attr_input = mixed takes predictions alone: 20 of 61."""
    freeze: Literal["none", "pae", "aal"] = "none"
    """Part whose weights stay as they are after freeze_after."""
    freeze_after: float = 0.164
    """Share of the epochs after which it does: 10 of 61."""
    pool: Literal["gem", "avg"] = "gem"
    """Pooling of the feature f that pae and aal read; avg for a host whose map has negative values."""
    gem_p: float = 3.0
    """Exponent of generalised-mean pooling."""

    def __post_init__(self) -> None:
        for name in ("gt_until", "pred_from", "freeze_after"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"'{name}' is a share of the epochs from 0 to 1, not {getattr(self, name)}.")
        if self.pred_from < self.gt_until:
            raise ValueError(f"'pred_from' must be at least 'gt_until' {self.gt_until}, not {self.pred_from}.")
        if not self.gem_p > 0:
            raise ValueError(f"'gem_p' must be above 0, not {self.gem_p}.")
        if self.host == "mpanet" and self.pool != "avg":
            raise ValueError("'pool' must be avg with host = mpanet: its feature map has negative values.")
        if self.pae and not self.attribute_head and self.attr_input != "gt":
            raise ValueError("'attribute_head' = false needs attr_input = gt: nothing else predicts attributes.")
        if "backbone" in self.host_model and self.host_model["backbone"] != self.backbone:
            object.__setattr__(self, "host_model", {**self.host_model, "backbone": self.backbone})
        host_options(self.host, self.host_model, self.backbone)


@register
class PAENet(Method):
    """PAENet (Zheng et al., "Progressive Attribute Embedding for Accurate Cross-modality Person ReID", ACM MM 2022).

    The feature f of the host's map F passes a neck; three embeddings fuse it with the attribute code A into gates
    w_i over the channels, F' = sigmoid(BN(mean_i w_i * F)) * F takes the place of F in the host's head, and the host's
    losses stay as they are: L = L_host(F') + lambda L_atr, lambda being the recipe's weight of ``attributes``.

    PAE needs A in testing too. The authors read it from the annotation of every query and gallery image, by true
    identity: `embed_with_attributes`, a ranking by more than images. `embed` needs no label: a head on the neck
    feature predicts A from the image (loss ``prediction``). Training begins with labels and goes over to these
    predictions (``attr_input``). The head's gradient reaches the features unless ``aal`` is off or ``attr_input`` gt,
    where it must not change what is measured. AAL without PAE, which the paper leaves undefined, is that head alone.

    Where paper and official code differ, ``fusion``, ``normalise_gates`` and ``region_norm`` follow the code;
    ``gates``, ``aal`` and ``id_sigmoid2`` follow the paper, because the code's single gate makes eight equal maps, its
    attribute classifiers read nothing but a function of A, and its second sigmoid crowds the feature; ``emb2_input``
    follows neither, because the paper's figure and the code make Embedding II the identity. The variant official is
    the code throughout. A label that is missing is left out of L_atr.

    Modules: ``host``; ``feature_neck``, ``embedding``, ``region``, ``auxiliary``, ``attribute_head``,
    ``attribute_input``, as far as the options ask for them.
    """

    name = "paenet"
    options = PAENetOptions
    loss_names: ClassVar[dict[str, str]] = {
        "identity": "the host's identity loss, cross-entropy on its neck feature (hct: the sum over its stripes)",
        "metric": "the host's metric loss: hetero-centre triplet (mmd, hct) or centre-cluster (mpanet)",
        "mmd": "mmd: maximum mean discrepancy between the modalities of each identity, above a margin",
        "metric_stripes": "hct: sum of the stripes' metric losses",
        "metric_pooled": "hct: metric loss of its global head",
        "triplet": "agw, ddag: weighted regularised or batch-hard triplet loss",
        "part_identity": "ddag: identity loss of the part feature",
        "graph": "ddag: loss of the graph attention, times its dynamic weight",
        "separability": "mpanet: inner products of the pattern masks",
        "modality": "mpanet: cross-entropies of the modalities' own classifiers",
        "mutual": "mpanet: divergence from the temporal mean of the other modality's classifier",
        "attributes": "L_atr: binary cross-entropy of the auxiliary classifiers (without pae: of the head on f)",
        "prediction": "with pae: binary cross-entropy of the head that predicts attributes from the image alone",
    }

    def __init__(self, recipe: Recipe, num_classes: int, pretrained: str | Path = "none") -> None:
        super().__init__(recipe, num_classes, pretrained)
        options: PAENetOptions = recipe.model
        self.model_options = options
        self.host = build_host(recipe, num_classes, pretrained)
        self.distance = self.host.distance
        self.embedding: ProgressiveEmbedding | None = None
        self.auxiliary: AttributeAuxiliary | None = None
        self.attribute_head: nn.Linear | None = None
        if not options.pae and options.aal == "off":
            self.needs = frozenset()
            return
        width, epochs = self.host.backbone.out_channels, recipe.schedule.epochs
        self.pool = AveragePool() if options.pool == "avg" else GeneralisedMeanPool(options.gem_p)
        self.feature_neck = bn_neck(width)
        if options.pae:
            self.embedding = ProgressiveEmbedding(
                width,
                COUNT,
                options.emb,
                options.fusion,
                options.emb2_input,
                options.gates,
                options.normalise_gates,
            )
            self.region = RegionGate(width, options.region_norm, options.id_sigmoid2)
            self.test_attributes = (*(("pred",) if options.attribute_head else ()), "const", "gt", "shuffle")
            if options.aal != "off":
                self.auxiliary = AttributeAuxiliary(width, COUNT, options.aal)
        if options.attribute_head or not options.pae:
            self.attribute_head = nn.Linear(width, COUNT)
            nn.init.normal_(self.attribute_head.weight, 0.0, 0.001)
            nn.init.zeros_(self.attribute_head.bias)
        shares = (options.gt_until, options.pred_from, options.freeze_after)
        gt_epochs, pred_epoch, self.freeze_epoch = (round(share * epochs) for share in shares)
        self.attribute_input = AttributeInput(COUNT, options.attr_input, gt_epochs, pred_epoch)
        # Kept beside the buffer: asking a GPU for it at every step would make the host wait.
        self._open_epoch: int | None = None
        self.register_load_state_dict_post_hook(_forget_open_epoch)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The host's losses; ``attributes`` and ``prediction`` as far as the options ask for them."""
        maps = self.host.batch_maps(batch)
        if not self.needs:
            return self.host.map_losses(maps, batch)
        if batch.attributes is None or batch.attributes_known is None:
            raise UsageError("paenet trains on batches with attributes, and this one has none.")
        self._freeze()
        pooled = self.pool(maps)
        neck = self.feature_neck(pooled)
        losses: dict[str, Tensor] = {}
        labels = (batch.attributes, batch.attributes_known)
        predicted = None
        if self.attribute_head is not None:
            scores = self.attribute_head(neck if self._head_supervises else neck.detach())
            losses["prediction" if self.embedding is not None else "attributes"] = attribute_loss(scores, *labels)
            predicted = scores.float().sigmoid()
        code = self.attribute_input(*labels, predicted)
        if self.embedding is not None:
            gates = self.embedding(neck, maps, code)
            maps = self.region(maps, gates)
            if self.auxiliary is not None:
                losses["attributes"] = attribute_loss(self.auxiliary(gates, pooled), *labels)
        return {**self.host.map_losses(maps, batch), **losses}

    def embed(self, images: Tensor, modality: str) -> dict[str, Tensor]:
        """The host's features of normalised images (B, 3, H, W) of one modality, all float32, without any label.

        With PAE, ``attributes`` (B, 8) is the code that was used: what the head predicts, or the mean of the training
        set where there is no head.
        """
        maps = self.host.image_maps(images, modality)
        if self.embedding is None:
            return self.host.map_features(maps)
        neck = self.feature_neck(self.pool(maps))
        if self.attribute_head is not None:
            return self._features(maps, neck, self.attribute_head(neck).float().sigmoid())
        return self._features(maps, neck, self.mean_attributes.expand(len(images), -1))

    def embed_with_attributes(self, images: Tensor, modality: str, attributes: Tensor) -> dict[str, Tensor]:
        """As `embed`, with the code (B, 8) of each image given: bits, or probabilities."""
        if self.embedding is None:
            return super().embed_with_attributes(images, modality, attributes)
        maps = self.host.image_maps(images, modality)
        return self._features(maps, self.feature_neck(self.pool(maps)), attributes.to(maps.device).float())

    @property
    def mean_attributes(self) -> Tensor:
        """Mean (8,) of each bit over the training images."""
        return self.attribute_input.mean

    def map_module(self, modality: str) -> nn.Module | None:
        """The host's, which the gates re-weight."""
        return self.host.map_module(modality)

    def dealt_modules(self) -> tuple[nn.Module, ...]:
        """The host's."""
        return self.host.dealt_modules()

    def parameter_groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        """The host's groups; of ours the embeddings, the neck and all classifiers at 1, the rest like the backbone.

        The rest are the norm of the region, the FC of the auxiliary and, with PAE, the host's neck, as in the official
        code.
        """
        like_backbone: list[nn.Module | None] = [self.auxiliary.fuse if self.auxiliary is not None else None]
        if self.embedding is not None:
            like_backbone += [self.region, getattr(self.host, "neck", None)]
        slow = {id(parameter): parameter for module in like_backbone if module for parameter in module.parameters()}
        groups = [
            {**group, "params": [parameter for parameter in group["params"] if id(parameter) not in slow]}
            for group in self.host.parameter_groups(recipe)
        ]
        of_host = {id(parameter) for parameter in self.host.parameters()}
        ours = [
            parameter for parameter in self.parameters() if id(parameter) not in of_host and id(parameter) not in slow
        ]
        factor = recipe.optimizer.backbone_lr_factor
        for parameters, lr_factor in ((list(slow.values()), factor), (ours, 1.0)):
            trainable = [parameter for parameter in parameters if parameter.requires_grad]
            if trainable:
                groups.append({"params": trainable, "lr_factor": lr_factor})
        return groups

    def training_only(self) -> tuple[str, ...]:
        """What the host drops in testing, the auxiliary and, without PAE, all that reads attributes."""
        ours = ("auxiliary.",) if self.embedding is not None else ("feature_neck.", "attribute_head.")
        return (*(f"host.{prefix}" for prefix in self.host.training_only()), *ours)

    def end_of_epoch(self, epoch: int, mean_losses: Mapping[str, float]) -> None:
        """Tell the host its own losses, and count the epoch."""
        own = {name: mean for name, mean in mean_losses.items() if name in self.host.loss_names}
        self.host.end_of_epoch(epoch, own)
        if self.needs:
            self.attribute_input.epochs_trained.fill_(epoch + 1)
            self._open_epoch = epoch + 1

    @property
    def _head_supervises(self) -> bool:
        """Whether the head's gradient may reach the features."""
        options = self.model_options
        return not options.pae or (options.aal != "off" and options.attr_input != "gt")

    def _freeze(self) -> None:
        """Take the frozen part out of the gradient once its time has come; without gradient no optimiser moves it."""
        frozen = {"none": (), "pae": ("embedding", "region"), "aal": ("auxiliary", "attribute_head")}
        if not frozen[self.model_options.freeze]:
            return
        if self._open_epoch is None:
            self._open_epoch = int(self.attribute_input.epochs_trained)
        trains = self._open_epoch < self.freeze_epoch
        for name in frozen[self.model_options.freeze]:
            module = getattr(self, name, None)
            for parameter_name, parameter in module.named_parameters() if module is not None else ():
                parameter.requires_grad_(trains and not (name == "region" and parameter_name == "norm.bias"))

    def _features(self, maps: Tensor, neck: Tensor, code: Tensor) -> dict[str, Tensor]:
        assert self.embedding is not None
        refined = self.region(maps, self.embedding(neck, maps, code))
        return {**self.host.map_features(refined), "attributes": code}


def _forget_open_epoch(method: nn.Module, _: object) -> None:
    assert isinstance(method, PAENet)
    method._open_epoch = None
