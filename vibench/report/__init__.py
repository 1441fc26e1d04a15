"""What people look at: the HTML page of all boards with its charts, and pictures of single models.

Start with `write`, from a leaderboards folder to the page (`page`, `board_table`, `charts`), or with `visualize`, from
a run to its `pictures`.
"""
