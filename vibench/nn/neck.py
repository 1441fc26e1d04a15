"""What follows the pooled feature: the normalisation neck and the identity classifier."""

from __future__ import annotations

from torch import nn


def bn_neck(features: int, scale_std: float = 0.01) -> nn.BatchNorm1d:
    """Batch normalisation between the pooled feature f and the classifier (BNNeck); its output is g.

    The scale is drawn from N(1, ``scale_std``), the bias is 0 and frozen. Luo et al., "Bag of Tricks and A Strong
    Baseline for Deep Person Re-identification", CVPR Workshops 2019, Sec. 3.5; the default is that of AGW's official
    code.
    """
    neck = nn.BatchNorm1d(features)
    nn.init.normal_(neck.weight, 1.0, scale_std)
    nn.init.zeros_(neck.bias)
    neck.bias.requires_grad_(False)
    return neck


def identity_classifier(features: int, num_classes: int) -> nn.Linear:
    """Linear layer without bias from ``features`` to ``num_classes`` logits, drawn from N(0, 0.001)."""
    classifier = nn.Linear(features, num_classes, bias=False)
    nn.init.normal_(classifier.weight, 0.0, 0.001)
    return classifier
