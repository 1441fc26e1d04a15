"""Writes the folder that a new method starts from."""
