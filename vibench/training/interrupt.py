"""Stopping between two steps instead of in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from vibench.errors import VibenchError


class TrainingInterrupted(VibenchError):
    """Training was stopped by a signal and has saved its state."""

    exit_code = 130

    def __init__(self, saved: str, how: str = "") -> None:
        super().__init__(f"{saved}; {how}" if how else saved)
        self.saved = saved
        """What was saved, without how to go on, which differs inside a sweep."""


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether SIGINT (Ctrl-C) or SIGTERM (a cluster's notice) has come in.

    Only the first signal is held back: a second one acts at once, as it would have without this. Outside of the
    main thread, where Python delivers no signals, nothing is ever requested.
    """
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def request(number: int, frame: FrameType | None) -> None:
        requested.set()
        restore()

    for number in before:
        signal.signal(number, request)
    try:
        yield requested.is_set
    finally:
        restore()
