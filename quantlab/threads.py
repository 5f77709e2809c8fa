"""Share the work of one call among threads: kernels run without the interpreter lock."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar

_MOST: ContextVar[int | None] = ContextVar("threads", default=None)


@contextmanager
def at_most(threads: int | None) -> Iterator[None]:
    """Let `share` use that many threads inside this block; None: the number of processors."""
    token = _MOST.set(threads)
    try:
        yield
    finally:
        _MOST.reset(token)


def share(call: Callable[[int, int], None], total: int, size: int) -> None:
    """Call ``call(first, last)`` for every block of `size` of `total`, on this thread and on helpers.

    Parameters
    ----------
    call : callable
        Blocks are independent: it writes to its own part of the result only, and calls `share` no further.
    total, size : int
        A single block runs on this thread alone.
    """
    starts = itertools.count(0, size)

    def help_out() -> None:
        while (first := next(starts)) < total:
            call(first, min(first + size, total))

    threads = _MOST.get() or os.cpu_count() or 1
    helpers = min(threads, -(-total // size)) - 1
    helping = [_team().submit(help_out) for _ in range(helpers)]
    try:
        help_out()
    finally:
        for future in helping:
            if not future.cancel():
                future.result()


@functools.cache
def _team() -> ThreadPoolExecutor:
    """Helpers kept from call to call: to start them takes longer than what they help with."""
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), "quantlab-helper")


os.register_at_fork(after_in_child=_team.cache_clear)  # a forked process has none of its parent's threads
