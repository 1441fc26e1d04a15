"""Data sets: folder layout or names -> SampleIndex; verification; the synthetic twin."""
