"""Sweeps: many trainings, evaluations and profiles by one plan, here or on a cluster, resumable at any moment."""
