"""The synthetic twin: procedurally rendered people in the real data sets' layout, with ground truth.

Start with `make`, which writes a twin by its `plan`; `render` makes one picture of a `scenes` background and a
`person`, and `truth` says what is true in it.
"""
