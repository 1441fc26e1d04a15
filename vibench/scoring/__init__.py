"""From trained models, features or labels to evaluation records.

Start with `score`, the one way to a record; before it `trained` finds models, `extraction` and `embedded` let them
embed the test images, and `rules` says what may be asked of an evaluation.
"""
