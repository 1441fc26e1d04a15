"""Image cache, identity sampler, augmentation, loader."""
