"""Time, memory, FLOPs."""
