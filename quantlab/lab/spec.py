"""What a job is to do, as JSON: enough to do it in another process, and to notice that it has become another.

A job is asked for in one process and done in another, perhaps after its worker was killed and the strategy
edited. Its specification therefore carries the hashes of all that decides the result; who does it compares.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from quantlab.backtest.engine import engine_hash
from quantlab.backtest.execution import AllIn, Costs, Execution, Risk
from quantlab.backtest.request import Request
from quantlab.backtest.surface import identity
from quantlab.backtest.task import Task, as_execution, make_tasks, read_cells
from quantlab.errors import InputError, JobError, NotStoredError, UnknownNameError, demand
from quantlab.lab.given import OF_THE_LAB, check_options
from quantlab.market.candles import Candles, check_candles
from quantlab.search.question import Question, make_question
from quantlab.signals import REGISTRY, Strategy, find_strategy
from quantlab.space import Cells
from quantlab.store.store import Store
from quantlab.validation.thresholds import Gate

_UNSENT = ("progress", "on_batch", "journal")


class Asked(TypedDict, total=False):
    """What a job may be asked beside strategy, candles and grid: see `Lab.submit`."""

    sampler: str | None
    trials: int
    execution: Execution | None
    assumptions: Sequence[str]
    regimes: Any
    blocks: int
    intrabar: Any
    validate: bool | Gate
    objective: Any
    min_trades: int
    max_drawdown: float | None
    aggregate: str
    seed: int
    batch: int | None
    bounds: Mapping[str, Any] | None
    name: str | None
    restart: bool


@dataclass(frozen=True)
class Spec:
    """A sweep or a search of one strategy on one market, and whether the gate judges it.

    Attributes
    ----------
    strategy : Strategy
    candles : Candles
    execution : Execution
    task : Task, optional
        The sweep; None of a search.
    sampler : str, optional
        Of a search; None of a sweep.
    trials : int
    options : mapping
        Of a search, as `quantlab.search` takes them.
    gate : Gate, optional
        Judge it too.
    """

    strategy: Strategy
    candles: Candles
    execution: Execution
    task: Task | None
    sampler: str | None
    trials: int
    options: Mapping[str, Any]
    gate: Gate | None

    @property
    def cells(self) -> Cells | None:
        """Cells of the sweep; None of a search."""
        return None if self.task is None else self.task.cells

    @property
    def markets(self) -> tuple[Candles, ...]:
        """All candles that it reads."""
        detail = None if self.task is None else self.task.job.intrabar
        return (self.candles,) if detail is None else (self.candles, detail)

    @property
    def method(self) -> str:
        """How it searches: the name of the sampler, or ``"grid"`` of a sweep."""
        return self.sampler or "grid"

    @property
    def size(self) -> int:
        """Cells that it evaluates at most."""
        return self.trials if self.cells is None else self.cells.size

    @property
    def work(self) -> int:
        """Cells times bars."""
        return self.size * len(self.candles)

    def question(self) -> Question:
        """The search that it asks for."""
        options = {name: value for name, value in self.options.items() if name not in OF_THE_LAB}
        return make_question(self.strategy, sampler=self.method, trials=self.trials, **options)

    def columns(self) -> dict[str, Any]:
        """What the queue shows of it."""
        return {
            "strategy_id": self.strategy.name,
            "exchange": self.candles.exchange,
            "pair": self.candles.symbol,
            "timeframe": self.candles.timeframe,
            "optimization_method": self.method,
            "seed": self.options.get("seed"),
            "work": self.work,
        }

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        request = Request() if self.task is None else self.task.job.request
        detail = None if self.task is None else self.task.job.intrabar
        return {
            "strategy": self.strategy.name,
            "module": _module(self.strategy),
            "decides": _decisive(self.strategy),
            "candles": identity(self.candles).to_json(),
            "cells": None if self.cells is None else self.cells.to_json(),
            "execution": self.execution.to_json(),
            "assumptions": list(request.assumptions),
            "regimes": _runs(request),
            "blocks": request.blocks,
            "intrabar": None if detail is None else identity(detail).to_json(),
            "sampler": self.sampler,
            "trials": self.trials,
            "options": dict(self.options),
            "gate": self.gate and self.gate.to_json(),
        }


def make_spec(
    store: Store,
    strategy: str | Strategy,
    candles: Candles,
    grid: Cells | Mapping[str, Any] | None = None,
    *,
    sampler: str | None = None,
    trials: int = 1_000,
    execution: Execution | None = None,
    assumptions: Sequence[str] = (),
    regimes: Any = None,
    blocks: int = 0,
    intrabar: Any = None,
    validate: bool | Gate = False,
    **options: Any,
) -> Spec:
    """Check what is asked of a job, as far as it can be checked before it runs; see `Lab.submit`."""
    found = find_strategy(strategy)
    _check_reachable(found)
    _check_stored(store, candles)
    execution = as_execution(execution)
    task = None
    demand(
        validate, bool | Gate, "`validate` must be True, False or a Gate", "write ql.Gate(alpha=0.01), say"
    )
    gate = validate if isinstance(validate, Gate) else Gate() if validate else None
    if sampler is None:
        if options:
            raise InputError(f"a sweep has no options {', '.join(options)}: they need a `sampler`.")
        besides = {"assumptions": assumptions, "regimes": regimes, "blocks": blocks, "intrabar": intrabar}
        (task,) = make_tasks(found, candles, grid, execution, **besides)
        if intrabar is not None:
            _check_stored(store, intrabar)
            if gate:
                raise InputError("the gate judges fills by whole bars: submit without `intrabar`.")
    else:
        sweeping = grid is not None or regimes is not None or intrabar is not None
        if sweeping or assumptions or blocks:
            raise InputError(
                "a search takes `bounds`, not `grid`, `assumptions`, `regimes`, `blocks` or `intrabar`: ask "
                "those of a sweep of the cells that it finds."
            )
        if not isinstance(sampler, str):
            raise InputError("a job is done in another process: give the sampler by its name.")
        options = _plain_options(options)
    spec = Spec(found, candles, execution, task, sampler, trials, options, gate)
    if sampler is not None:
        spec.question()
    return spec


def read_spec(store: Store, spec: Mapping[str, Any]) -> Spec:
    """What `Spec.to_json` wrote, with its candles.

    Raises
    ------
    JobError
        Strategy, engine or candles are no longer those that the job was submitted with.
    """
    strategy = _strategy(spec["strategy"], spec["module"])
    now = _decisive(strategy)
    for name, then in spec["decides"].items():
        if now.get(name) != then:
            raise JobError(
                f"{name} changed since the job was submitted ({then[:12]} then, {now.get(name, '')[:12]} "
                "here): a result would not be what was asked for. Submit it anew, or start the worker on the "
                "code of that time."
            )
    candles, execution = _candles(store, spec["candles"]), read_execution(spec["execution"])
    task, detail = None, spec.get("intrabar")
    if spec["cells"] is not None:
        (task,) = make_tasks(
            strategy,
            candles,
            read_cells(strategy.space, spec["cells"]),
            execution,
            assumptions=spec["assumptions"],
            regimes=_labels(spec.get("regimes")),
            blocks=spec["blocks"],
            intrabar=detail and _candles(store, detail),
        )
    return Spec(
        strategy=strategy,
        candles=candles,
        execution=execution,
        task=task,
        sampler=spec["sampler"],
        trials=spec["trials"],
        options=spec["options"],
        gate=None if spec["gate"] is None else Gate.from_json(spec["gate"]),
    )


def read_execution(document: Mapping[str, Any]) -> Execution:
    """The rules that `Execution.to_json` wrote."""
    sizing = dict(document["sizing"])
    sized = {"AllIn": AllIn, "Risk": Risk}[sizing.pop("kind")](**sizing)
    return Execution(**{**document, "costs": Costs(**document["costs"]), "sizing": sized})


def _runs(request: Request) -> dict[str, Any] | None:
    """Labels of the bars as JSON: where each run of equal ones begins, its label, and the names."""
    if request.regimes is None:
        return None
    begins = np.flatnonzero(np.diff(request.regimes, prepend=request.regimes[0] - 1))
    labels = request.regimes[begins].tolist()
    bars, names = len(request.regimes), list(request.regime_names)
    return {"begins": begins.tolist(), "labels": labels, "bars": bars, "names": names}


def _labels(runs: Mapping[str, Any] | None) -> Any:
    """What `_runs` wrote, as a sweep takes it: a Series of categories, which keep their names."""
    if runs is None:
        return None
    import pandas as pd

    labels = np.repeat(runs["labels"], np.diff([*runs["begins"], runs["bars"]]))
    return pd.Series(pd.Categorical.from_codes(labels, categories=runs["names"]))


def _decisive(strategy: Strategy) -> dict[str, str]:
    """Hashes of the code that decides a result, by what they are called in a message."""
    return {
        f"the code of {strategy.name}": strategy.code_hash,
        f"the space of {strategy.name}": strategy.space.hash,
        "the engine": engine_hash(),
    }


def _module(strategy: Strategy) -> str:
    return str(inspect.unwrap(strategy.signals).__module__)


def _check_reachable(strategy: Strategy) -> None:
    module = _module(strategy)
    if module == "__main__":
        raise JobError(
            f"{strategy.name} is defined in a notebook or script, where no worker can import it: put it into "
            "a module beside it and import that."
        )
    if REGISTRY.get(strategy.name) is not strategy:
        raise JobError(f"{strategy.name} is not registered under that name: use `quantlab.strategy`.")


def _check_stored(store: Store, candles: Candles) -> None:
    if isinstance(candles, list | tuple):
        raise InputError(f"a job is about one market, got {len(candles)}: `lab.train` queues several.")
    check_candles(candles)
    _candles(store, identity(candles).to_json(), "store these with lab.put_candles, or submit stored ones")


def _candles(store: Store, where: Mapping[str, Any], remedy: str = "submit it anew") -> Candles:
    name = f"{where['exchange']} {where['symbol']} {where['timeframe']}"
    given = (where["exchange"], where["symbol"], where["timeframe"], where["first_ms"], where["last_ms"])
    try:
        stored = store.candles(*given)
    except NotStoredError as error:
        raise JobError(f"the candles of a job are read from the database: {error}") from None
    if stored.fingerprint != where["fingerprint"]:
        raise JobError(
            f"the candles of {name} that are stored ({len(stored):,} bars, fingerprint "
            f"{stored.fingerprint[:12]}) are not those of the job ({where['bars']:,} bars, "
            f"{where['fingerprint'][:12]}): {remedy}."
        )
    return stored


def _strategy(name: str, module: str) -> Strategy:
    try:
        importlib.import_module(module)
        return find_strategy(name)
    except ImportError as error:
        raise JobError(
            f"the strategy {name} lies in {module}, which this worker cannot import ({error}): start it "
            "where that module is."
        ) from error
    except UnknownNameError as error:
        raise JobError(f"{module} no longer registers a strategy {name}: {error}") from error


def _plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    check_options(name for name in options if name not in _UNSENT)
    wrong = [name for name in _UNSENT if name in options]
    if wrong:
        raise InputError(f"`{wrong[0]}` cannot be sent to a worker: follow the job instead.")
    try:
        plain: dict[str, Any] = json.loads(json.dumps(options, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"options of a job must be plain values: {error}.") from error
    return plain
