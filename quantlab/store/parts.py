"""The checkpoint of a sweep: finished parts kept in the store, written at most once a second."""

from __future__ import annotations

import time

import numpy as np

from quantlab.backtest.metrics import METRICS
from quantlab.store.store import Store

_FLUSH_S = 1.0


class Parts:
    """Finished parts of the sweep `key`; what `quantlab.backtest.sweep.Checkpoint` asks for.

    Parameters
    ----------
    store : Store
    key : str
        Identity of the sweep: parts of other code, cells or candles are never found under it.
    """

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key = store, key
        self._pending: dict[int, np.ndarray] = {}
        self._written = time.monotonic()

    def load(self) -> dict[int, np.ndarray]:
        """Parts kept so far: number to float64 array (metrics, cells of the part)."""
        chunks = self._store.load_chunks(self._key)
        return {n: np.frombuffer(data).reshape(len(METRICS), -1) for n, data in chunks.items()}

    def save(self, part: int, values: np.ndarray) -> None:
        """Keep a part; it is written now if the last write was a second ago."""
        self._pending[part] = values
        if time.monotonic() - self._written > _FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write what is pending."""
        for part in list(self._pending):
            self._store.save_chunk(self._key, part, self._pending[part].tobytes())
            del self._pending[part]
        self._written = time.monotonic()
