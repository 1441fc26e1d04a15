"""What a process runs on: devices, memory, determinism, randomness, environment, several processes, progress."""
