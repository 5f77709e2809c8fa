"""The same search on one market after the other, on several threads at once where that is safe."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

from quantlab.backtest.execution import Execution
from quantlab.backtest.surface import Surface
from quantlab.backtest.sweep import sweep
from quantlab.backtest.timing import timing_surface
from quantlab.market.candles import Candles
from quantlab.signals import Strategy
from quantlab.space import Cells
from quantlab.threads import PROCESSORS


@dataclass(frozen=True, eq=False)
class SameCells:
    """The search that sweeps the same cells on whatever candles it is handed.

    Parameters
    ----------
    strategy : Strategy
    cells : Grid or Points
    execution : Execution
    """

    strategy: Strategy
    cells: Cells
    execution: Execution

    def __call__(self, candles: Candles) -> Surface:
        """Sweep these candles on all threads."""
        return sweep(self.strategy, candles, self.cells, self.execution, progress=False)

    def timing(self, candles: Candles) -> Surface:
        """Timing t and trades alone, on this thread alone, to the last bit as in the sweep."""
        return timing_surface(self.strategy, candles, self.cells, self.execution)


@dataclass(frozen=True, eq=False)
class SideBySide:
    """A function of candles that may be called on several threads at once.

    Parameters
    ----------
    call : callable ``(candles) -> anything``
    """

    call: Callable[[Candles], Any]

    def __call__(self, candles: Candles) -> Any:
        """What it returns."""
        return self.call(candles)


def in_order(call: Callable[[int], float], first: int) -> Generator[float, None, None]:
    """``call(first)``, ``call(first + 1)``, ... without end, one on each processor, ahead of what is asked.

    Close it when enough is known: what was begun is thrown away. On Ctrl-C nobody waits for it.
    """
    begun, numbers = deque[Future[float]](), count(first)
    team = ThreadPoolExecutor(PROCESSORS, "quantlab-null")
    try:
        while True:
            while len(begun) <= PROCESSORS:
                begun.append(team.submit(call, next(numbers)))
            yield begun.popleft().result()
    finally:
        team.shutdown(wait=False, cancel_futures=True)
