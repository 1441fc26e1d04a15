"""Parts of networks that methods share: backbone, pooling, neck, stripes, attention.

Start with `backbone`, what the two families of networks have in common: `resnet`, the two-stream ResNet on which most
methods stand, and `vision_transformer`. `neck` turns a feature into an embedding and logits; `pretrained` loads
starting weights.
"""
