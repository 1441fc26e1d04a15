"""Parameter names of the official code (DoubtedSteam/MPANet), whose files hold the bare state dict."""

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
"""(official prefix, our prefix): the first official prefix that a name begins with is replaced.

``modality_learning.epochs_trained`` has no counterpart: the official loop hands the epoch over from outside. Files
saved for evaluation lack ``classifier.``.
"""

UNUSED: tuple[str, ...] = ()
"""Official prefixes that the network does not use."""
