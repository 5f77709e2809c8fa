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
from typing import Any

import numpy as np

from quantlab.backtest.engine import engine_hash
from quantlab.backtest.execution import AllIn, Costs, Execution, Risk
from quantlab.backtest.surface import identity
from quantlab.backtest.task import make_tasks
from quantlab.errors import InputError, JobError, NotStoredError, UnknownNameError
from quantlab.market.candles import Candles
from quantlab.search.choose import make_sampler, narrow
from quantlab.signals import REGISTRY, Strategy, find_strategy
from quantlab.space import Cells, Grid, Points, Space
from quantlab.store.store import Store
from quantlab.validation.thresholds import Gate

_UNSENT = ("progress", "on_batch", "journal")


@dataclass(frozen=True)
class Spec:
    """A sweep or a search of one strategy on one market, and whether the gate judges it.

    Attributes
    ----------
    strategy : Strategy
    candles : Candles
    cells : Grid or Points, optional
        Of a sweep; None of a search.
    execution : Execution
    assumptions : tuple of str
    blocks : int
        What else a sweep is asked for.
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
    cells: Cells | None
    execution: Execution
    assumptions: tuple[str, ...]
    blocks: int
    sampler: str | None
    trials: int
    options: Mapping[str, Any]
    gate: Gate | None

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
        return {
            "strategy": self.strategy.name,
            "module": _module(self.strategy),
            "decides": _decisive(self.strategy),
            "candles": identity(self.candles).to_json(),
            "cells": None if self.cells is None else self.cells.to_json(),
            "execution": self.execution.to_json(),
            "assumptions": list(self.assumptions),
            "blocks": self.blocks,
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
    blocks: int = 0,
    validate: bool | Gate = False,
    **options: Any,
) -> Spec:
    """Check what is asked of a job, as far as it can be checked before it runs; see `Lab.submit`."""
    found = find_strategy(strategy)
    _check_reachable(found)
    _check_stored(store, candles)
    execution = execution or Execution()
    cells = None
    if sampler is None:
        if options:
            raise InputError(f"a sweep has no options {', '.join(options)}: they need a `sampler`.")
        cells = found.space.grid(**grid) if isinstance(grid, Mapping) else grid or found.grid()
        make_tasks(found, candles, cells, execution, assumptions=assumptions, blocks=blocks)
    else:
        if grid is not None or assumptions or blocks:
            raise InputError("a search takes `bounds`, not `grid`, `assumptions` or `blocks`.")
        options = _plain_options(options)
        if not isinstance(sampler, str):
            raise InputError("a job is done in another process: give the sampler by its name.")
        make_sampler(sampler, found, narrow(found.space, options.get("bounds", {})), options.get("seed", 0))
        if not isinstance(trials, int) or trials < 1:
            raise InputError(f"`trials` must be a whole number of at least 1, got {trials!r}.")
    gate = validate if isinstance(validate, Gate) else Gate() if validate else None
    given = (execution, tuple(assumptions), blocks, sampler, trials, options, gate)
    return Spec(found, candles, cells, *given)


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
    where, cells = spec["candles"], spec["cells"]
    return Spec(
        strategy=strategy,
        candles=_candles(store, where),
        cells=None if cells is None else read_cells(strategy.space, cells),
        execution=read_execution(spec["execution"]),
        assumptions=tuple(spec["assumptions"]),
        blocks=spec["blocks"],
        sampler=spec["sampler"],
        trials=spec["trials"],
        options=spec["options"],
        gate=None if spec["gate"] is None else Gate.from_json(spec["gate"]),
    )


def read_cells(space: Space, document: Mapping[str, Any]) -> Cells:
    """The cells that their `to_json` wrote."""
    kind = "axes" if "axes" in document else "columns"
    checked = {
        name: space[name].check(np.asarray(values), space.owner) for name, values in document[kind].items()
    }
    return Grid(space, checked, document["fixed"]) if kind == "axes" else Points(space, checked)


def read_execution(document: Mapping[str, Any]) -> Execution:
    """The rules that `Execution.to_json` wrote."""
    sizing = dict(document["sizing"])
    sized = {"AllIn": AllIn, "Risk": Risk}[sizing.pop("kind")](**sizing)
    return Execution(**{**document, "costs": Costs(**document["costs"]), "sizing": sized})


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
    if not isinstance(candles, Candles):
        raise InputError(f"a job is about one market, got {type(candles).__name__}: see `lab.train`.")
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
    wrong = [name for name in _UNSENT if name in options]
    if wrong:
        raise InputError(f"`{wrong[0]}` cannot be sent to a worker: follow the job instead.")
    try:
        plain: dict[str, Any] = json.loads(json.dumps(options, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"options of a job must be plain values: {error}.") from error
    return plain
