"""What every method must do, tried out: ``vibench check``.

Start with `check`: first `contract` tries every variant on one batch (`subject`), then `pipeline` the default variant
on the way from images to a record.
"""
