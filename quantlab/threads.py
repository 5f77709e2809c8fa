"""Share the work of one call among threads, which run kernels without the interpreter lock, and wait for it
with an ear open to Ctrl-C. Threads are kept from call to call: to start them takes longer than a small sweep.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from quantlab.errors import InputError

T = TypeVar("T")

SETTING = "QUANTLAB_THREADS"


def _processors() -> int:
    wanted = os.environ.get(SETTING)
    if not wanted:
        return os.cpu_count() or 1
    if not wanted.strip().isdecimal() or int(wanted) < 1:
        raise InputError(
            f"{SETTING} must be a whole number of at least 1, got {wanted!r}: unset it to use all processors."
        )
    return int(wanted)


PROCESSORS = _processors()
"""Threads of a call that is not told how many; QUANTLAB_THREADS may say so for a whole process."""

_TICK_S = 0.05
_PATIENCE_S = 0.1
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

    threads = _MOST.get() or PROCESSORS
    helpers = min(threads, -(-total // size)) - 1
    helping = [_team().submit(help_out) for _ in range(helpers)]
    try:
        help_out()
    finally:
        for future in helping:
            if not future.cancel():
                future.result()


def beside(call: Callable[[], T]) -> Callable[[], T]:
    """Begin `call` on a helper, if one is free and may be used; what is returned waits for its result.

    Parameters
    ----------
    call : callable
        Calls `share` and `beside` no further. It runs on this thread when its result is asked for, if no
        helper has begun it.
    """
    if (_MOST.get() or PROCESSORS) == 1:
        return call
    future = _team().submit(call)
    return lambda: call() if future.cancel() else future.result()


def aside(
    call: Callable[[], T],
    stop: Callable[[], None] = lambda: None,
    waiting: Callable[[], None] = lambda: None,
) -> T:
    """Run `call` on another thread and return what it returns; wait for it open to Ctrl-C.

    A compiled function that meets Ctrl-C on the main thread turns it into a SystemError, so whoever may run
    one on behalf of the main thread runs it aside. `call` may use `share`, and calls `aside` no further.

    Parameters
    ----------
    call : callable
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
        future = _leaders().submit(call)
        while True:
            try:
                future.exception(timeout=_TICK_S)
                return future.result()
            except TimeoutError:
                if future.done():  # of its own, or it ended just after the wait for it did
                    return future.result()
                waiting()
    except BaseException:
        stop()
        if future is not None and not future.cancel():
            wait([future], timeout=_PATIENCE_S)
        raise


@functools.cache
def _team() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, PROCESSORS - 1), "quantlab-helper")


@functools.cache
def _leaders() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(PROCESSORS, "quantlab-aside")


def _forget() -> None:
    _team.cache_clear()
    _leaders.cache_clear()


os.register_at_fork(after_in_child=_forget)  # a forked process has none of its parent's threads
