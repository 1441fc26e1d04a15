"""The shortest training of a method that the command line can give."""

from __future__ import annotations

QUICK = (
    "--pretrained=none",
    *("--set", "model.backbone=resnet18-slim", "--set", "input.height=64", "--set", "input.width=32"),
    *("--set", "schedule.epochs=1", "--set", "sampler.batches_per_epoch=1"),
    *("--set", "sampler.identities=2", "--set", "sampler.images=2"),
)
