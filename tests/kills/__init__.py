"""Commands killed at any point, and started again: nothing is lost, nothing half-written counts.

`server` forks a child per command from a process that has imported everything; `faults` counts the child's steps on
files and kills it at one of them; `jobs` says which commands there are; `campaign` kills, looks and compares.
"""
