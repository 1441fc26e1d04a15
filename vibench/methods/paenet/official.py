"""Parameter names of the official code, aihuazheng/PAENet."""

from __future__ import annotations

from vibench.methods.sections import Recipe

KEYS: tuple[tuple[str, str], ...] = (
    ("visible_module.visible.", "host.backbone.visible."),
    ("thermal_module.thermal.", "host.backbone.infrared."),
    ("base_resnet.base.", "host.backbone.shared."),
    ("bottleneck.", "feature_neck."),
    ("cross_transformer1.x_norm1.", "embedding.fusion.norm."),
    ("cross_transformer1.c_norm1.", "embedding.fusion.attribute_norm."),
    ("cross_transformer1.attn.to_q.", "embedding.fusion.query."),
    ("cross_transformer1.attn.to_kv.", "embedding.fusion.key_value."),
    ("cross_transformer1.attn.proj.", "embedding.fusion.projection."),
    ("cross_transformer1.x_norm2.", "embedding.fusion.mlp_norm."),
    ("cross_transformer1.mlp.fc1.", "embedding.fusion.hidden."),
    ("cross_transformer1.mlp.fc2.", "embedding.fusion.output."),
    ("ASENet.mask_fc1.", "embedding.spatial.attribute_feature."),
    ("ASENet.conv1.", "embedding.spatial.image."),
    ("ASENet.conv2.", "embedding.spatial.joint."),
    ("ASENet.mask_fc2.", "embedding.gates.attribute_feature."),
    ("ASENet.fc1.", "embedding.gates.heads.0.0."),
    ("ASENet.fc2.", "embedding.gates.heads.0.2."),
    ("region.bn.", "region.norm."),
    ("region.bottleneck.", "host.neck."),
    *((f"class_{at}.classifier.0.", f"auxiliary.classifiers.{at}.") for at in range(8)),
    ("class_8.classifier.0.", "host.classifier."),
)
"""(Official prefix, our prefix): the first that a name begins with is replaced."""

UNUSED: tuple[str, ...] = ("attrfea.", "classifier.")
"""Official prefixes of what plays no part: the fused attribute feature is computed and dropped."""

OPTIONAL: tuple[str, ...] = ("attribute_input.",)
"""Our prefixes of what the files lack: the mean of the training images' attributes, which stays at one half."""

SETTINGS: tuple[str, ...] = (
    "model.pool",
    "model.gem_p",
    "model.emb2_input",
    "model.normalise_gates",
    "model.id_sigmoid2",
    "model.host_model",
)
"""What the files do not carry."""

VARIANT = "official"
"""The variant that has the network of the files."""


def unused(recipe: Recipe) -> tuple[str, ...]:
    """Prefixes of the attribute classifiers where ``recipe`` does without; the files hold them in any case."""
    return () if recipe.model.aal == "code" else tuple(f"class_{at}." for at in range(8))
