"""Work done ahead, by a background thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _End:
    """The thread has nothing more to give, because of an error if there is one."""

    error: BaseException | None = None


def prefetched(items: Iterable[T], ahead: int, name: str) -> Generator[T, None, None]:
    """The ``items`` in order, made by a thread called ``name`` up to ``ahead`` + 1 items before they are asked for.

    An error while making one is raised here, in its place. Closing the generator ends the thread.
    """
    ready: queue.Queue[T | _End] = queue.Queue(maxsize=ahead)
    abandoned = threading.Event()

    def hand_over(item: T | _End) -> None:
        while not abandoned.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def prepare() -> None:
        try:
            for item in items:
                if abandoned.is_set():
                    return
                hand_over(item)
            hand_over(_End())
        except BaseException as error:
            hand_over(_End(error))

    worker = threading.Thread(target=prepare, name=name, daemon=True)
    worker.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        abandoned.set()
        worker.join()
