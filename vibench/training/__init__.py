"""From a recipe to a trained run: its specification, its folder, the training loop, checkpoints, official ones too.

Start with `run`: a `spec` is prepared (`prepare`) and worked on by a `session`, whose epochs are those of `trainer`;
`folder` says what a run leaves behind, and `official` makes a checkpoint of one that the authors publish.
"""
