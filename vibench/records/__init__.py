"""The evaluation record: its schema, its store, and the proof of its figures."""
