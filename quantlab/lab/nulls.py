"""What the gate has drawn on markets without an edge, kept so that a verdict goes on where it stopped."""

from __future__ import annotations

import json

from quantlab.store.store import Store
from quantlab.validation.rerun import Rerun


class StoredNulls:
    """The null scores of a verdict that is not finished, in the store.

    Market i of a null depends on its seed and on i alone, so what is kept is what would be drawn again.

    Parameters
    ----------
    store : Store
    key : str
        Of the verdict: everything that decides it.
    """

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key = store, f"nulls of {key}"

    def earlier(self) -> Rerun | None:
        """What was drawn before an interruption or a kill; None if nothing was."""
        kept = self._store.load_chunks(self._key)
        return Rerun.from_json(json.loads(kept[0])) if kept else None

    def keep(self, found: Rerun) -> None:
        """Keep what was drawn; once this returns, it survives a kill -9."""
        self._store.save_chunk(self._key, 0, json.dumps(found.to_json(), allow_nan=False).encode())

    def drop(self) -> None:
        """Forget it: the verdict is stored."""
        self._store.drop_chunks(self._key)
