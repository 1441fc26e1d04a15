"""Shared network parts."""
