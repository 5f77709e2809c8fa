"""Surfaces that were counted and are stored when nobody waits for an answer."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Iterator, Sequence

from quantlab.backtest.surface import Surface
from quantlab.errors import StoreError
from quantlab.lab.sweeps import write
from quantlab.store.store import Store

QUIET_S = 1.0
"""Seconds without a question before what waits is stored."""
MOST_BYTES = 400 * 1024**2
"""What may wait in memory; beyond that the oldest is stored at once."""


class Keeper:
    """Stores surfaces on a thread of its own, as long as no sweep that somebody waits for is under way.

    What was handed over is found here until it is stored. `flush` stores the rest; it is called when the lab
    is closed and when Python ends. A process that is killed before loses results that can be computed again,
    and nothing of what was counted.

    Parameters
    ----------
    store : Store
    quiet_s : float
    most_bytes : int
    """

    def __init__(self, store: Store, quiet_s: float = QUIET_S, most_bytes: int = MOST_BYTES) -> None:
        self._store, self._quiet_s, self._most = store, quiet_s, most_bytes
        self._waiting: dict[str, Surface] = {}
        self._busy, self._until = 0, 0.0
        self._change = threading.Condition()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """While this lasts, and a little longer, nothing is stored unless too much waits."""
        with self._change:
            self._busy += 1
        try:
            yield
        finally:
            with self._change:
                self._busy -= 1
                self._until = time.monotonic() + self._quiet_s
                self._change.notify_all()

    def keep(self, found: Sequence[Surface]) -> None:
        """Hand over surfaces whose cells were counted."""
        if not found:
            return
        with self._change:
            self._waiting.update({surface.key: surface for surface in found})
            self._change.notify_all()
            if self._thread is None:
                atexit.register(self.flush)
                self._thread = threading.Thread(target=self._work, name="quantlab-store", daemon=True)
                self._thread.start()

    def find(self, key: str) -> Surface | None:
        """A surface that waits, by the key of its sweep."""
        with self._change:
            return self._waiting.get(key)

    def flush(self) -> None:
        """Store what waits, now; without a database it is let go of."""
        with contextlib.suppress(StoreError):
            while self._write_oldest():
                pass
        with self._change:
            self._waiting.clear()
            self._change.notify_all()
        atexit.unregister(self.flush)

    def _write_oldest(self) -> bool:
        with self._writing:
            with self._change:
                oldest = next(iter(self._waiting.values()), None)
            if oldest is None:
                return False
            write(self._store, oldest)
            with self._change:
                self._waiting.pop(oldest.key, None)
            return True

    def _pause(self) -> float | None:
        """Seconds to wait before the oldest is stored; None if only a change can tell."""
        if sum(map(_bytes, self._waiting.values())) > self._most:
            return 0.0
        return None if self._busy else max(0.0, self._until - time.monotonic())

    def _work(self) -> None:
        while True:
            with self._change:
                while self._waiting and (pause := self._pause()) != 0.0:
                    self._change.wait(pause)
                if not self._waiting:
                    self._thread = None
                    return
            try:
                self._write_oldest()
            except StoreError:  # the database is gone: what waits is tried again with what comes next
                with self._change:
                    self._thread = None
                return


def _bytes(surface: Surface) -> int:
    extras = 0 if surface.extras is None else surface.extras.rows.nbytes
    return extras + sum(values.nbytes for values in surface.metrics.values())
