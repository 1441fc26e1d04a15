"""The command line: one file per command; each parses, calls the library and shows. No logic here.

Start with `main`, which lists the commands and turns errors into one sentence; `train` and `eval` are the usual ones.
"""
