"""What the gate has drawn on markets without an edge, kept so that a verdict goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def told_by(store: Store, job: str, key: str) -> Iterator[None]:
    """While this lasts, whoever watches a job is told which verdict it works on; also if it is stopped."""
    name = f"verdict of job {job}"
    store.save_chunk(name, 0, key.encode())
    yield
    store.drop_chunks(name)


def drawn_by(store: Store, job: str) -> Rerun | None:
    """The nulls that a job has drawn so far, of a verdict that is not finished; None where there is none."""
    told = store.load_chunks(f"verdict of job {job}")
    return StoredNulls(store, told[0].decode()).earlier() if told else None
