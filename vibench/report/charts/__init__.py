"""Charts: pure functions from dataclasses of numbers to a `Chart`.

Start with `chart`, what all have in common; every other module draws one kind.
"""
