"""Corruptions of images, by the rules of `vibench.corruption`, and caches of corrupted images."""
