"""Registered methods: base class, registry, recipes; one folder per method.

Start with `base`, what a method is, then a short one such as `agw`, on `two_stream` as most. A new method is a folder
with a class derived from `base.Method`, decorated with `registry.register`, and a ``recipe.toml`` (`recipe_file`)
beside it: here, anywhere on disk as a plugin (`plugin`), or in another package that offers it through the entry point
group ``vibench.methods``.
"""
