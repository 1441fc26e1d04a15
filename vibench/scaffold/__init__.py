"""The folder that a new method starts from: ``vibench new-method``.

Start with `new_method`, which fills in the files of ``template``.
"""
