"""Second implementations of methods, slow and obvious, from the equations alone."""
