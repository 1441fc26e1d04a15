"""Files of any kind: read and written as a whole, strict TOML, JSON tables, arrays, locks, foreign kinds, shipped data.

Start with `reading` and `writing`; every other module is about one form of file and stands alone.
"""
