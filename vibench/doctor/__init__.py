"""What is this file or folder, what can be done with it, and what looks wrong: ``vibench doctor``.

Reads within the bounds of the package's own readers, runs no code of a file, and writes nothing.
"""
