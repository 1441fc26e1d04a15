"""Parts of networks that methods share: backbone, pooling, neck, stripes, attention.

Start with `backbone`, the two-stream ResNet on which most methods stand, and `neck`, which turns its pooled feature
into an embedding and logits; `pretrained` loads starting weights.
"""
