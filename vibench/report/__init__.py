"""The HTML page of all boards with its charts.

Start with `write`: `frames` and `tables` turn boards into data, `figures` say which `charts` stand where, and
``templates/`` show it all with the `libraries` of the page.
"""
