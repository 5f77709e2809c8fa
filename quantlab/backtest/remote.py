"""What the worker of a cluster runs: one part of a sweep, by the same code as the client's.

A market travels once, as a `Parcel`. A strategy travels by name where the worker can import it, and its
code hash must be the client's; a strategy of a notebook travels as its code.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import pickle
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

import quantlab
from quantlab.backtest.engine import engine_hash
from quantlab.backtest.execution import Execution
from quantlab.backtest.local import Job, run_part
from quantlab.backtest.request import Request
from quantlab.errors import ClusterError, UnknownNameError
from quantlab.market.candles import Candles
from quantlab.signals import REGISTRY, Strategy, find_strategy
from quantlab.space import Cells
from quantlab.threads import at_most


@functools.cache
def code() -> dict[str, str]:
    """What client and workers must have in common for equal bits: versions, and the hash of the engine."""
    packages = {name: importlib.metadata.version(name) for name in ("numpy", "numba")}
    python = ".".join(platform.python_version_tuple()[:2])
    return {"quantlab": quantlab.__version__, "engine": engine_hash(), **packages, "python": python}


def same_code(who: str, ours: Mapping[str, str], theirs: Mapping[str, str]) -> None:
    """Refuse a worker whose `theirs` are not `ours`.

    Raises
    ------
    ClusterError
        Names what differs, on both sides.
    """
    different = [name for name in ours if ours[name] != theirs.get(name)]
    if different:
        found = "; ".join(f"{name}: {ours[name]} here, {theirs.get(name)} there" for name in different)
        raise ClusterError(
            f"{who} runs other code than the client ({found}), so its results would not be the same: install "
            "the same versions on both sides, then restart the workers."
        )


@dataclass(frozen=True)
class Recipe:
    """How a worker gets a strategy: imported from where it is registered, else unpickled.

    Attributes
    ----------
    name, module : str
    code : str
        Its `code_hash`; empty where the code itself is sent (of a notebook).
    pickled : bytes
        Empty where the strategy is imported.
    """

    name: str
    module: str
    code: str
    pickled: bytes

    @classmethod
    def of(cls, strategy: Strategy) -> Recipe:
        """The recipe of a strategy."""
        import cloudpickle

        module = str(inspect.unwrap(strategy.signals).__module__)
        importable = _importable(module)
        registered = importable and REGISTRY.get(strategy.name) is strategy
        pickled = b"" if registered else cloudpickle.dumps(strategy)
        return cls(strategy.name, module, strategy.code_hash if importable else "", pickled)


def _importable(module: str) -> bool:
    try:
        return module != "__main__" and importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


@dataclass(frozen=True, eq=False)
class Parcel:
    """What all parts of one market share, as it is sent to the workers."""

    code: Mapping[str, str]
    recipe: Recipe
    candles: Candles
    execution: Execution
    request: Request
    intrabar: Candles | None
    threads: int | None

    @classmethod
    def of(cls, job: Job) -> Parcel:
        """The parcel of a job."""
        recipe = Recipe.of(job.strategy)
        return cls(code(), recipe, job.candles, job.execution, job.request, job.intrabar, job.threads)


def compute(parcel: Parcel, part: Cells) -> np.ndarray:
    """Compute one part on a worker: float64 matrix ``(rows, cells of the part)``."""
    from distributed import Reschedule, get_worker

    worker = get_worker()
    same_code(f"the worker {worker.address}", parcel.code, code())
    strategy = _strategy(parcel.recipe, worker.address)
    threads = parcel.threads or 1  # Dask runs as many parts as the worker has threads
    job = Job(strategy, parcel.candles, parcel.execution, parcel.request, parcel.intrabar, threads)
    key = worker.get_current_task()

    def still_wanted(_: int) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":
            raise Reschedule  # nobody waits for it; should somebody do so again, it is run again

    return run_part(job, part, still_wanted)


def alone(call: bytes, number: int) -> float:
    """Make one call of a function that was sent, on one thread of a worker."""
    with at_most(1):
        return float(_sent(call)(number))


@functools.lru_cache(maxsize=4)
def _sent(call: bytes) -> Callable[[int], float]:
    function: Callable[[int], float] = pickle.loads(call)
    return function


@functools.lru_cache(maxsize=32)
def _strategy(recipe: Recipe, worker: str) -> Strategy:
    try:
        if recipe.pickled:
            strategy: Strategy = pickle.loads(recipe.pickled)
        else:
            importlib.invalidate_caches()  # the module may be newer than this process
            importlib.import_module(recipe.module)
            strategy = find_strategy(recipe.name)
    except (ImportError, AttributeError, UnknownNameError) as error:
        raise ClusterError(
            f"the worker {worker} cannot load the strategy {recipe.name} of {recipe.module}: {error}. "
            "Install what it imports on every worker (client.upload_file sends a file), or define it in the "
            "notebook itself."
        ) from error
    if recipe.code:
        seen = _SEEN.setdefault(recipe.module, strategy.code_hash)
        same_code(f"the worker {worker}", {recipe.module: recipe.code}, {recipe.module: seen})
    return strategy


_SEEN: dict[str, str] = {}
"""Hash of each module when this process first used it: what it runs, even if the file changed since."""
