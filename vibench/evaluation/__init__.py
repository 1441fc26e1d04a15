"""From features to scores: draws, distances, ranking, metrics, re-ranking. Knows no method, no training.

Start with `evaluate`: `draws` says which images ask and which answer, `scorer` and `distances` how alike they are,
`counting` how many wrong images stand before each match, `ranking` and `shared_ranking` what follows for every trial,
and `metrics` sums it up into a `result`. Nothing is sorted but cheap keys; `order` puts scores themselves in order
where somebody asks for a ranked list.
"""
