"""Names in the checkpoints of DoubtedSteam/MPANet, which are bare state dicts."""

from __future__ import annotations

KEYS: tuple[tuple[str, str], ...] = (
    ("backbone.MAM3.channel_attention.0.", "backbone.inserted.layer3_5.squeeze."),
    ("backbone.MAM3.channel_attention.2.", "backbone.inserted.layer3_5.excite."),
    ("backbone.MAM4.channel_attention.0.", "backbone.inserted.layer4_2.squeeze."),
    ("backbone.MAM4.channel_attention.2.", "backbone.inserted.layer4_2.excite."),
    ("backbone.", "backbone.shared."),
    ("spatial_attention.", "masks.masks."),
    ("bn_neck.", "neck."),
    ("classifier.", "classifier."),
    ("visible_classifier.", "modality_learning.classifiers.visible."),
    ("infrared_classifier.", "modality_learning.classifiers.infrared."),
    ("visible_classifier_.", "modality_learning.means.visible."),
    ("infrared_classifier_.", "modality_learning.means.infrared."),
)
"""Official prefix -> our prefix."""

UNUSED: tuple[str, ...] = ()
"""The network uses all that is stored."""

OPTIONAL = ("modality_learning.epochs_trained", "classifier.")
"""The official loop keeps the epoch to itself, and files saved for evaluation lack the shared classifier."""

SETTINGS = ("model.last_stride", "model.normalise")
"""What the files do not carry."""
