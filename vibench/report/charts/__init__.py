"""Charts: pure functions from dataclasses of numbers to a `Chart`."""
