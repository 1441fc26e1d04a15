"""Registered methods: base class, registry, recipes; one folder per method."""
