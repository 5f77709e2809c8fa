"""Who is told how far a long call is: whoever listens on the thread that makes it, without a word of its own.

A progress bar is one listener; a widget or a job is another. The call tells, and need not know who hears.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[float, str], None]
"""Receives the share that is done, from 0 to 1, and the name of the step that begins."""

_LISTENER: ContextVar[Listener | None] = ContextVar("quantlab.progress", default=None)


@contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """While this lasts, `listener` is told of each step that begins on this thread; raising stops it."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def tell(share: float, step: str) -> None:
    """Tell whoever listens that `step` begins when `share` of the whole is done."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(min(max(share, 0.0), 1.0), step)
