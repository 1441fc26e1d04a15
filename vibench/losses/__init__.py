"""Shared losses: functions of (embeddings, labels, ...)."""
