"""Who is told what a sweep will evaluate, before it evaluates any of it.

A lab counts what is searched through it. A search calls the sweep many times, deep inside; whoever must know
of each call listens here, for as long as its own call lasts and on its own thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantlab.backtest.task import Task

Listener = Callable[["Task"], None]
_LISTENER: ContextVar[Listener | None] = ContextVar("quantlab.announce", default=None)


@contextmanager
def announced(listener: Listener) -> Iterator[None]:
    """While this lasts, `listener` receives every market's sweep that begins; raising refuses it."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def announce(task: Task) -> bool:
    """Tell whoever listens what will be evaluated; whether somebody did."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(task)
    return listener is not None
