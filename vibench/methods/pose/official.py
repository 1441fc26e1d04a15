"""Parameter names of the official code, yoqim/Pose_VIReID.

The repository lacks the module of the refinement stage: its names, and the order of its layers, are those of the
class of the same name in Daniil-Osokin/gccpm-look-into-person-cvpr19.pytorch. All other names are the official ones.
"""

from __future__ import annotations

from vibench.methods.sections import Recipe

_STREAMS = (("visible_net.", "backbone.visible."), ("thermal_net.", "backbone.infrared."))
_STREAM_PARTS = (("b1.0.", "conv1."), ("b1.1.", "bn1."), ("b2.", "layer1."))
_REFINEMENT = "shared.refinement_stages.0."

PARTS = 6
"""Of each branch; the heads are numbered on from one to the other."""

KEYS: tuple[tuple[str, str], ...] = (
    *((stream + theirs, ours + part) for stream, ours in _STREAMS for theirs, part in _STREAM_PARTS),
    ("shared.b1.", "backbone.shared.layer2."),
    ("shared.b2.", "backbone.shared.layer3."),
    ("shared.b3.", "backbone.shared.layer4."),
    ("shared.conv4.", "branch.conv1."),
    ("shared.dconv4.deconv.", "branch.dconv2."),
    ("shared.reduce.", "branch.initial."),
    (f"{_REFINEMENT}trunk.", "branch.refinement."),
    (f"{_REFINEMENT}heatmaps.0.0.", "heatmaps.0."),
    (f"{_REFINEMENT}heatmaps.1.0.", "heatmaps.2."),
    ("shared.conv1.", "branch.conv3."),
    ("shared.conv2.", "branch.block6.0."),
    ("shared.conv3.0.", "branch.block6.1."),
    ("shared.conv3.1.", "branch.block6.2."),
    ("shared.t_fc.feat_block.", "teacher.embed."),
    ("shared.t_cla.classifier.", "teacher.classifier."),
    *(
        (f"{theirs}{first + part + 1}.{block}.", f"{branch}.{ours}.{part}.")
        for branch, first in (("id_parts", 0), ("pose_parts", PARTS))
        for theirs, block, ours in (("feature", "feat_block", "embed"), ("classifier", "classifier", "classifiers"))
        for part in range(PARTS)
    ),
)
"""(Official prefix, our prefix): the first that a name begins with is replaced."""

UNUSED: tuple[str, ...] = (
    "vis_feature.",
    "inf_feature.",
    "visible_classifier.",
    "visible_classifier_.",
    "infrared_classifier.",
    "infrared_classifier_.",
)
"""Official prefixes of what no forward pass reads: leftovers of another method."""

OPTIONAL: tuple[str, ...] = ("mean_heatmap", "heatmaps_seen")
"""Our names of what the files lack: the control that compares with the mean heatmap is ours."""

SETTINGS: tuple[str, ...] = ("model.feature", "model.feature_scale")
"""What the files do not carry."""


def unused(recipe: Recipe) -> tuple[str, ...]:
    """Prefixes of what ``recipe`` does without; the files hold it in any case."""
    options = recipe.model
    heatmaps = options.pose_loss and recipe.loss_weights["pose"] > 0
    return (() if options.hfc else ("shared.t_fc.", "shared.t_cla.")) + (
        () if heatmaps else (f"{_REFINEMENT}heatmaps.",)
    )
