"""Who is told what a sweep will evaluate, before it evaluates any of it, and keeps what it finishes.

A lab counts what is searched through it. A search calls the sweep many times, deep inside; whoever must know
of each call listens here, for as long as its own call lasts and on its own thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantlab.backtest.sweep import Checkpoint
    from quantlab.backtest.task import Task

Listener = Callable[["Task"], "Checkpoint | None"]
_LISTENER: ContextVar[Listener | None] = ContextVar("quantlab.announce", default=None)


@contextmanager
def announced(listener: Listener) -> Iterator[None]:
    """While this lasts, `listener` receives every market's sweep that begins; raising refuses it.

    What it returns keeps the finished parts of that sweep, unless the sweep has a checkpoint of its own.
    """
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def announce(task: Task) -> tuple[bool, Checkpoint | None]:
    """Tell whoever listens what will be evaluated; whether somebody did, and the checkpoint offered."""
    listener = _LISTENER.get()
    return (False, None) if listener is None else (True, listener(task))
