"""Second implementations of methods, written from equations or authors' codes alone: slow, obvious, nothing shared.

Nothing here imports the package, so that what both get wrong together cannot be a shared line.
"""
