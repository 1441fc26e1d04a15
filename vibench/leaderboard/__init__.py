"""Evaluation records, their store, published numbers, rendering."""
