"""From features to scores: draws, distances, ranking, metrics, re-ranking, significance. Knows no method, no training.

Start with `evaluate`: `draws` says which images ask and which answer, `scorer` how alike they are, `shared_ranking`
and `ranking` at which ranks the matches come, and `metrics` sums it up into a `result`.
"""
