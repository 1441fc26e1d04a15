"""Registered methods: base class, registry, recipes; one folder per method.

A new method is a folder with a class derived from `vibench.methods.base.Method`, decorated with
`vibench.methods.registry.register`, and a ``recipe.toml`` (`vibench.methods.recipe_file`) beside it: here,
anywhere on disk as a plugin (`vibench.methods.plugin`), or in another package that offers it through the entry point
group ``vibench.methods``. Methods on a two-stream ResNet start
from `vibench.methods.two_stream.TwoStreamMethod`.
"""
