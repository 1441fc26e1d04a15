"""Evaluation records: what one holds, the store of them, the proof of their figures, and comparisons of several.

Start with `schema`, what a record is, and `store`, where records lie; `recomputation` proves their figures, `seeds`
tells which are runs of one experiment, and `comparison` which of two methods is better, and how surely.
"""
