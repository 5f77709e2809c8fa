"""Threads that are kept from sweep to sweep, and how to wait for them with an ear open to Ctrl-C."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")

_TICK_S = 0.05
_PATIENCE_S = 0.1


PROCESSORS = os.cpu_count() or 1
"""Threads of a team that is not told how many."""


@functools.cache
def team(threads: int) -> ThreadPoolExecutor:
    """So many threads, started once: to start them takes longer than a small sweep."""
    return ThreadPoolExecutor(threads, "quantlab-sweep")


os.register_at_fork(after_in_child=team.cache_clear)  # a forked process has none of its parent's threads


def aside(
    call: Callable[[], T],
    threads: int | None = None,
    stop: Callable[[], None] = lambda: None,
    waiting: Callable[[], None] = lambda: None,
) -> T:
    """Run `call` on another thread and return what it returns; wait for it open to Ctrl-C.

    A compiled function that meets Ctrl-C on the main thread turns it into a SystemError, so whoever may run
    one on behalf of the main thread runs it aside.

    Parameters
    ----------
    call : callable
    threads : int, optional
        Size of the team; by default the number of processors.
    stop : callable
        Called on an interrupt, so that `call` ends soon; it is waited for 0.1 s, then left to itself.
    waiting : callable
        Called every 0.05 s.

    Raises
    ------
    KeyboardInterrupt
        Within about 0.1 s of Ctrl-C, whatever `call` does.
    """
    future: Future[T] | None = None
    try:
        future = team(threads or PROCESSORS).submit(call)
        while True:
            try:
                future.exception(timeout=_TICK_S)
                return future.result()
            except TimeoutError:
                if future.done():
                    raise
                waiting()
    except BaseException:
        stop()
        if future is not None and not future.cancel():
            wait([future], timeout=_PATIENCE_S)
        raise
