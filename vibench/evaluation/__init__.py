"""Distances, ranking metrics, re-ranking, significance. Knows nothing of methods or training."""
