"""Data sets: from a folder, or from names alone, to an index of images; checks of a copy; synthetic twins.

Start with `registry`, which knows all data sets by name, and `index`, the table that every stage shares; there is one
module per layout (`sysu_mm01`, `regdb`, `llcm`), `check` proves a copy complete, and `twin` renders synthetic people.
"""
