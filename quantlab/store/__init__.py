"""The store: PostgreSQL, embedded or by DSN, behind one face. The only SQL of quantlab lies here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantlab.settings import Settings
    from quantlab.store.store import Store

__all__ = ["open_store"]


def open_store(settings: Settings) -> Store:
    """Open the lab's database, starting and making it if need be.

    Parameters
    ----------
    settings : Settings
        ``dsn`` names a PostgreSQL server (15 or later); without it the embedded one runs in
        ``home/postgres``.

    Returns
    -------
    Store
        Close it, or use it as a context manager.

    Raises
    ------
    StoreUnavailableError
        The server does not answer or cannot be started.
    StoreVersionError
        The server, its data or the schema is of another version.
    """
    from quantlab.store.store import Store

    return Store(settings)
