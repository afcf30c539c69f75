"""Values made ahead of their use by a thread.

Knows: the thread, and the queue between it and whoever takes the values. Does not know: what they are.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import TypeVar

T = TypeVar("T")


def ahead(make: Callable[[int], T], first: int, last: int, waiting: int = 4) -> Generator[T, None, None]:
    """``make(first) … make(last − 1)``, in order. A thread is up to ``waiting`` of them ahead; `close` ends it.

    What ``make`` raises is raised here, in its place.
    """
    made: queue.Queue[T | _Raised] = queue.Queue(maxsize=waiting)
    over = threading.Event()

    def put(item: T | _Raised) -> bool:
        while not over.is_set():
            try:
                made.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        try:
            for number in range(first, last):
                if not put(make(number)):
                    return
        except BaseException as error:
            put(_Raised(error))

    thread = threading.Thread(target=run, name="crops", daemon=True)
    thread.start()
    try:
        for _ in range(first, last):
            item = made.get()
            if isinstance(item, _Raised):
                raise item.error
            yield item
    finally:
        over.set()
        thread.join()


class _Raised:
    """What the thread raised."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
