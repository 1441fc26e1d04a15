"""Files of any kind: whole-file reading and writing, strict TOML, JSON tables, arrays, locks, shipped data.

Start with `reading` and `writing`; every other module is about one form of file and stands alone.
"""
