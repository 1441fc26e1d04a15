"""Sweeps: many trainings, evaluations and profiles by one plan, here or on a cluster, resumable at any moment.

Start with `run`, which starts what is ready; a `plan` becomes jobs in `expansion`, a `worker` does them by `execution`,
and all that processes know of one another lies in files (`job`, `attempts`, `states`).
"""
