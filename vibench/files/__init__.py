"""Files of any kind: whole-file reading and writing, strict TOML, JSON tables, arrays, locks, shipped data."""
