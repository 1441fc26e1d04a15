"""What a process runs on: devices, memory, determinism, randomness, environment, several processes, progress.

Start with `devices`, behind ``--device`` and ``--amp`` of every command; every other module stands alone.
"""
