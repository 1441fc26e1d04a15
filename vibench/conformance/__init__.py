"""What every method must do, tried out: ``vibench check``.

`contract` tries every variant on one batch, `pipeline` the default variant on the way from images to a record.
"""
