"""The store: one face for everything that is kept. The only SQL of quantlab lies in this room."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from quantlab.store import candles as _candles
from quantlab.store import checkpoints, configurations, surfaces, trials, verdicts
from quantlab.store.candles import Market
from quantlab.store.connection import Connections
from quantlab.store.holdouts import HoldOuts
from quantlab.store.queue import Fenced, Jobs
from quantlab.store.trials import Counted, Entry, Search

if TYPE_CHECKING:
    import numpy as np

    from quantlab.market.candles import Candles
    from quantlab.settings import Settings


class Store:
    """The lab's database. Every method is one transaction, may be repeated and called from any thread.

    If the server was killed, the next call starts or finds it again; a call that was under way raises
    `StoreUnavailableError` and has left nothing half done.

    Parameters
    ----------
    settings : Settings
        Which database; see `Settings`.

    Raises
    ------
    StoreUnavailableError
        The server does not answer or cannot be started.
    StoreVersionError
        The server, its data or the schema is of another version.
    """

    def __init__(self, settings: Settings) -> None:
        self._connections: Connections | Fenced = Connections(settings)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database; the embedded server stops if nobody else uses it."""
        self._connections.close()

    def candles(
        self,
        exchange: str,
        symbol: str,
        timeframe: str,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> Candles:
        """Read candles.

        Parameters
        ----------
        exchange, symbol, timeframe : str
            Identity of the market.
        start_ms, end_ms : int, optional
            Open times of the first and the last bar wanted [epoch ms], both included.

        Raises
        ------
        NotStoredError
            Nothing is stored there; names what is, nearest first.
        """
        with self._connections.transaction() as connection:
            return _candles.get(connection, exchange, symbol, timeframe, start_ms, end_ms)

    def put_candles(self, candles: Candles) -> int:
        """Store candles, adding new bars and replacing changed ones.

        Lost bars have no row: lost bars at either end are not read back, and a stored bar that these candles
        have lost stays.

        Returns
        -------
        int
            The revision of the series, one more than before if anything changed.
        """
        with self._connections.transaction() as connection:
            return _candles.put(connection, candles)

    def markets(self) -> list[Market]:
        """All stored series, by name."""
        with self._connections.transaction() as connection:
            return _candles.markets(connection)

    def put_surface(
        self, key: str, meta: Mapping[str, Any], metrics: Mapping[str, np.ndarray], shape: Sequence[int]
    ) -> None:
        """Store a surface once; the same key again changes nothing.

        Parameters
        ----------
        key : str
            SHA-256 (hex) of everything that decides the result.
        meta : mapping
            JSON values, read back as they are. ``strategy`` and exchange, symbol, timeframe, fingerprint
            (here, or under ``identity`` or ``candles``) also become columns.
        metrics : mapping of str to ndarray of float64
            Each of `shape`; NaN where undefined.
        shape : sequence of int
            Length of each axis.

        Raises
        ------
        InputError
            A metric has another shape, or `meta` is not JSON.
        """
        with self._connections.transaction() as connection:
            surfaces.put(connection, key, meta, metrics, shape)

    def get_surface(self, key: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Read a surface: its meta and its metrics (read-only float64 arrays of its shape).

        Raises
        ------
        NotStoredError
            There is no surface with that key.
        """
        with self._connections.transaction() as connection:
            return surfaces.get(connection, key)

    def has_surface(self, key: str) -> bool:
        """Whether a surface with that key is stored."""
        with self._connections.transaction() as connection:
            return surfaces.has(connection, key)

    def count(self, *entries: Entry) -> int:
        """Count searches or batches in the ledger, each once; returns how many were not counted before.

        Call it before anything is evaluated: once this returns, the count survives whatever happens.
        """
        with self._connections.transaction() as connection:
            return trials.record(connection, entries)

    def counted(self, family: str, first_ms: int, last_ms: int, search: str | None = None) -> Counted:
        """Trials and searches on bars of a period of a family, and the place of `search` among these.

        Parameters
        ----------
        family : str
            ``exchange:symbol``.
        first_ms, last_ms : int
            Open times of the first and last bar [epoch ms]. A search counts if it shares any time with it.
        search : str, optional
            Key of a search.
        """
        with self._connections.transaction() as connection:
            return trials.counted(connection, family, first_ms, last_ms, search)

    def ledger(
        self, family: str | None = None, first_ms: int | None = None, last_ms: int | None = None
    ) -> list[Search]:
        """Every search of the ledger, oldest first; or those that share time with a period of a family."""
        with self._connections.transaction() as connection:
            return trials.searches(connection, family, first_ms, last_ms)

    def trials_ever(self, family: str) -> int:
        """Cells ever evaluated on a family (``exchange:symbol``), over all searches."""
        with self._connections.transaction() as connection:
            return trials.totals(connection, family)[1]

    def searches(self, family: str) -> int:
        """Searches ever made on a family (``exchange:symbol``)."""
        with self._connections.transaction() as connection:
            return trials.totals(connection, family)[0]

    def save_chunk(self, key: str, index: int, data: bytes) -> None:
        """Keep finished part `index` of the sweep `key`; once this returns, it survives a kill -9."""
        with self._connections.transaction() as connection:
            checkpoints.save(connection, key, index, data)

    def chunk_numbers(self, key: str) -> list[int]:
        """Numbers of the finished parts of the sweep `key`."""
        with self._connections.transaction() as connection:
            return checkpoints.numbers(connection, key)

    def load_chunk(self, key: str, index: int) -> bytes:
        """Finished part `index` of the sweep `key`.

        Raises
        ------
        NotStoredError
            There is no such part.
        """
        with self._connections.transaction() as connection:
            return checkpoints.load_one(connection, key, index)

    def load_chunks(self, key: str) -> dict[int, bytes]:
        """Finished parts of the sweep `key`: number to bytes; empty if there are none."""
        with self._connections.transaction() as connection:
            return checkpoints.load(connection, key)

    def drop_chunks(self, *keys: str) -> None:
        """Forget the parts of the sweeps `keys`."""
        with self._connections.transaction() as connection:
            checkpoints.drop(connection, keys)

    @property
    def jobs(self) -> Jobs:
        """The queue of jobs and what they came to."""
        return Jobs(self._connections)

    @property
    def hold_outs(self) -> HoldOuts:
        """The hold-outs and every touch of them."""
        return HoldOuts(self._connections)

    def fenced(self, job: str, attempt: int) -> Store:
        """This store for the worker that holds a job: every transaction is refused once its lease is lost."""
        fenced = copy.copy(self)
        fenced._connections = Fenced(self._connections, job, attempt)
        return fenced

    def put_verdict(self, key: str, surface_key: str, document: Mapping[str, Any]) -> None:
        """Store the gate's verdict on a surface; the same key again replaces it."""
        with self._connections.transaction() as connection:
            verdicts.put(connection, key, surface_key, document)

    def get_verdict(self, key: str) -> dict[str, Any]:
        """Read a verdict.

        Raises
        ------
        NotStoredError
            There is none with that key.
        """
        with self._connections.transaction() as connection:
            return verdicts.get(connection, key)

    def put_configuration(self, columns: Mapping[str, Any], payload: bytes | None = None) -> str:
        """Store or update a row of ``trained_configurations`` and, beside it, its V3 document.

        Parameters
        ----------
        columns : mapping
            Some of the 70 columns, with ``id``; None and NaN become NULL. The row stays as active or
            inactive as it is; what was approved keeps its market and parameters.
        payload : bytes, optional
            The document's canonical bytes; another one than before is kept beside it.

        Returns
        -------
        str
            The id.

        Raises
        ------
        UnknownNameError
            A column that the table does not have.
        StoreError
            A check of the database refuses.
        """
        with self._connections.transaction() as connection:
            return configurations.put(connection, columns, payload)

    def configuration_row(self, id: str) -> dict[str, Any]:
        """All 70 columns of a configuration; what was not measured is None.

        Raises
        ------
        NotStoredError
            There is no such configuration.
        """
        with self._connections.transaction() as connection:
            return configurations.row(connection, id)

    def configuration_document(self, id: str) -> bytes:
        """The exact bytes of the document in force, else of the one stored last.

        Raises
        ------
        NotStoredError
            There is none.
        """
        with self._connections.transaction() as connection:
            return configurations.document(connection, id)

    def approve(self, id: str, sha: str, actor: str, reason: str) -> int:
        """Activate a configuration; the active one of the same strategy, market and regime is deactivated.

        Parameters
        ----------
        id : str
            The configuration.
        sha : str
            SHA-256 (hex) of the document that was looked at.
        actor, reason : str
            Who approves, and why.

        Returns
        -------
        int
            Number of the approval.

        Raises
        ------
        StoreError
            Refused, with the reason.
        """
        with self._connections.transaction() as connection:
            return configurations.approve(connection, id, sha, actor, reason)

    def approve_group(self, group: str, members: Mapping[str, str], actor: str, reason: str) -> int:
        """Activate all members of a group (id of each to the SHA-256 of its document), or none.

        What was active for their strategy, market and regime is deactivated. Returns the number of the first
        approval; StoreError with the reason if it is refused.
        """
        with self._connections.transaction() as connection:
            return configurations.approve_group(connection, group, members, actor, reason)

    def revoke(self, id: str, actor: str, reason: str) -> None:
        """Withdraw a configuration for ever: it is never approved again; its group is deactivated with it."""
        with self._connections.transaction() as connection:
            configurations.revoke(connection, id, actor, reason)

    def active_configurations(self) -> list[dict[str, Any]]:
        """What a bot may see: approved, unrevoked and unexpired configurations with their documents."""
        with self._connections.transaction() as connection:
            return configurations.active(connection)

    def record_stage(self, id: str, stage: str, reason: str) -> None:
        """Pass a configuration to another stage; every step is recorded.

        Raises
        ------
        NotStoredError
            There is no such configuration.
        ConfigurationError
            The lifecycle has no such step.
        """
        with self._connections.transaction() as connection:
            configurations.record_stage(connection, id, stage, reason)

    def stages(self, id: str) -> list[tuple[str, str]]:
        """Every (stage, reason) a configuration ever had, oldest first."""
        with self._connections.transaction() as connection:
            return configurations.stages(connection, id)

    def verify_audit(self) -> int:
        """Recompute the audit's hash chain; returns its length.

        Raises
        ------
        IntegrityError
            A row was altered or removed.
        """
        with self._connections.transaction() as connection:
            return configurations.verify_audit(connection)
