"""What a method costs in time, memory and operations: ``vibench profile``.

Start with `measure`, which measures part by part (`training`, `embedding`, `matching`), and `profile`, the file that
comes of it.
"""
