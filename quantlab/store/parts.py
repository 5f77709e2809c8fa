"""The checkpoint of a sweep: finished parts kept in the store, written at most once a second."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import numpy as np

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

    def load(self) -> Mapping[int, np.ndarray]:
        """Parts kept so far: number to a flat float64 array, each read when it is asked for."""
        return _Kept(self._store, self._key)

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

    def drop(self) -> None:
        """Forget all parts: the whole is stored."""
        self._pending.clear()
        self._store.drop_chunks(self._key)


class _Kept(Mapping[int, np.ndarray]):
    """Parts in the store; only their numbers are held."""

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key = store, key
        self._numbers = set(store.chunk_numbers(key))

    def __getitem__(self, part: int) -> np.ndarray:
        if part not in self._numbers:
            raise KeyError(part)
        return np.frombuffer(self._store.load_chunk(self._key, part))

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)
