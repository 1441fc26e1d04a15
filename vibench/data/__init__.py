"""From images to batches: the image cache, samplers, augmentation, and labels of attributes and joints.

Start with `loader`, which puts together what a training step receives (`batch`) from the `cache` by the order of a
`sampler`; `attributes` and `heatmaps` hold what some methods train on besides.
"""
