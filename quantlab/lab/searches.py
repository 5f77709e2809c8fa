"""Searches through the store: batches are kept as they are finished, and found again.

What was kept of a search lies under its name, or under a hash of everything that decides it: a search
without a name goes on only as exactly the same one, one with a name is refused where anything has changed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from quantlab.backtest.metrics import definition
from quantlab.backtest.surface import Cell, Surface
from quantlab.lab.ledger import counted_search
from quantlab.lab.sweeps import write
from quantlab.market.candles import Candles
from quantlab.search.journal import Batch, check_same
from quantlab.search.run import search
from quantlab.search.study import Study
from quantlab.signals import Strategy
from quantlab.space import Space
from quantlab.store.arrow import pack, unpack
from quantlab.store.store import Store
from quantlab.validation.gate import candidate
from quantlab.validation.thresholds import Gate


def stored_search(
    store: Store,
    strategy: Strategy,
    candles: Candles | Sequence[Candles],
    *,
    sampler: Any,
    trials: int,
    name: str | None = None,
    restart: bool = False,
    **options: Any,
) -> tuple[Study, str]:
    """A search that is counted, whose batches are kept as they are finished, and whose surface at the end.

    Ended, it leaves a row for each of its markets in ``strategy_training_results``.

    Parameters
    ----------
    store : Store
    strategy, candles, sampler, trials, **options
        As `quantlab.search.run.search` takes them.
    name : str, optional
        What the search is kept under, also when it has ended. Without a name its batches are forgotten then.
    restart : bool
        Forget what is kept and begin anew; what was counted stays counted.

    Returns
    -------
    Study
    str
        Key of the search in the ledger.
    """
    journal = StoredJournal(store, name, restart)
    with counted_search(store, strategy, candles, sampler, trials, options) as key:
        study = search(strategy, candles, sampler=sampler, trials=trials, journal=journal, **options)
    for surface in study.surfaces:
        write(store, surface)
    if not study.interrupted:
        gate = choosing(dict(zip(study.aim.metrics, study.aim.directions, strict=True)), study.min_trades)
        for surface in study.surfaces:
            store.jobs.put_result(result_row(surface, candidate(surface, gate)))
    if name is None and not study.interrupted:
        journal.forget()
    return study, key


def choosing(objective: Any, min_trades: int) -> Gate:
    """By what a cell is chosen from a search: the first metric searched for that has a better side.

    Parameters
    ----------
    objective : None, str, sequence of str, or mapping of str to str
    min_trades : int
    """
    names = (
        ["sharpe"] if objective is None else [objective] if isinstance(objective, str) else list(objective)
    )
    metric = next((name for name in names if definition(name).better), "sharpe")
    return Gate(metric=metric, min_trades=max(min_trades, 1))


def figures(cell: Cell) -> dict[str, Any]:
    """Parameters and metrics of a cell as plain values, None where undefined."""
    metrics = {name: value if math.isfinite(value) else None for name, value in cell.metrics.items()}
    return {"params": dict(cell.params), "metrics": metrics}


def result_row(surface: Surface, chosen: Cell) -> dict[str, Any]:
    """What ``strategy_training_results`` keeps of a surface and the cell chosen from it."""
    of, shown = surface.identity, figures(chosen)
    where = {"exchange": of.exchange, "symbol": of.symbol, "timeframe": of.timeframe}
    return {
        "where": where | {"strategy_name": surface.strategy.name},
        "parameters": shown["params"],
        "metrics": shown["metrics"],
        "key": surface.key,
        "cells": surface.size,
    }


def journal_key(about: Mapping[str, Any], name: str | None = None) -> str:
    """What the batches of a search are kept under: its name, or a hash of everything that decides it.

    Parameters
    ----------
    about : mapping
        As of `quantlab.search.question.Question.about`.
    name : str, optional
        What it was given by `Lab.search`.
    """
    if name is not None:
        return f"search named {name}"
    return f"search:{hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()}"


class StoredJournal:
    """Finished batches of a search in the store, each written at once.

    Parameters
    ----------
    store : Store
    name : str, optional
        What the search is kept under.
    restart : bool
        Forget what is kept and begin anew; what was counted stays counted.
    """

    def __init__(self, store: Store, name: str | None = None, restart: bool = False) -> None:
        self._store, self._name, self._restart = store, name, restart
        self._key, self._count = "", 0

    def begin(self, about: Mapping[str, Any], space: Space) -> Sequence[Batch]:
        """The batches kept so far.

        Raises
        ------
        InputError
            Another search is kept under this name.
        """
        self._key = journal_key(about, self._name)
        if self._restart:
            self._store.drop_chunks(self._key)
        kept = self._store.load_chunks(self._key)
        if 0 not in kept:
            self._store.save_chunk(self._key, 0, json.dumps(about, sort_keys=True).encode())
            return []
        check_same(json.loads(kept[0]), about, "give it another name, or pass restart=True to begin anew")
        batches: list[Batch] = []
        while len(batches) + 1 in kept:
            batches.append(read_batch(kept[len(batches) + 1], space))
        self._count = len(batches)
        return batches

    def save(self, batch: Batch) -> None:
        """Keep a batch; once this returns, it survives a kill -9."""
        self._store.save_chunk(self._key, self._count + 1, _written(batch))
        self._count += 1

    def forget(self) -> None:
        """Forget what is kept."""
        self._store.drop_chunks(self._key)


def _written(batch: Batch) -> bytes:
    head = batch.head().encode()
    return len(head).to_bytes(8, "big") + head + pack(batch.values)


def read_batch(data: bytes, space: Space) -> Batch:
    """A batch as `StoredJournal` keeps it."""
    end = 8 + int.from_bytes(data[:8], "big")
    head = data[8:end].decode()
    return Batch.read(head, unpack(bytes(data[end:]), (-1,)), space)
