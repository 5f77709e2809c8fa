"""What samplers are compared on: functions whose minimum is known, and real surfaces kept as tables.

Branin, Hartmann-6, Rosenbrock and Ackley are after Surjanovic and Bingham, sfu.ca/~ssurjano (branin.html,
hart6.html, rosen.html, ackley.html). The two surfaces are Sharpe ratios on the shipped BTC/USD hours:
`surface` of every cell of `sma_cross` (two whole numbers and a constraint), `sparse` of the reference grid
of `liquidity_sweep` (seven parameters by the place of their value). A cell with fewer than 30 trades has
none, which are 44 in 100 of the latter.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

import quantlab as ql
from quantlab.backtest.sweep import sweep
from quantlab.search.objective import fewest
from quantlab.space import Choice, Float, Grid, Int, Space
from quantlab.strategies import get

Columns = Mapping[str, np.ndarray]
_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_A = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


@dataclass(frozen=True)
class Task:
    """A space, what a cell is worth (the lower the better, NaN: undefined), and the least there is.

    ``value(columns, share)`` is what cells are worth on the first `share` of the history, where there is one.
    """

    space: Space
    value: Callable[[Columns, float], np.ndarray]
    least: float
    history: bool = False


def branin(cells: Columns, _: float = 1.0) -> np.ndarray:
    """Minimum 0.397887."""
    x, y = cells["x0"], cells["x1"]
    b, c, t = 5.1 / (4 * np.pi**2), 5 / np.pi, 1 / (8 * np.pi)
    return (y - b * x**2 + c * x - 6) ** 2 + 10 * (1 - t) * np.cos(x) + 10


def hartmann6(cells: Columns, _: float = 1.0) -> np.ndarray:
    """Minimum -3.32237."""
    x = _rows(cells)
    return -np.exp(-(_A * (x[:, None] - _P) ** 2).sum(axis=-1)) @ _ALPHA


def rosenbrock(cells: Columns, _: float = 1.0) -> np.ndarray:
    """Minimum 0, at the end of a bent valley; the logarithm, since values span nine decades."""
    x = _rows(cells)
    return np.log1p((100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (x[:, :-1] - 1) ** 2).sum(axis=-1))


def ackley(cells: Columns, _: float = 1.0) -> np.ndarray:
    """Minimum 0, among many local ones."""
    x = _rows(cells)
    wide = np.exp(-0.2 * np.sqrt((x**2).mean(axis=-1)))
    return 20 + np.e - 20 * wide - np.exp(np.cos(2 * np.pi * x).mean(axis=-1))


def _rows(cells: Columns) -> np.ndarray:
    return np.stack([cells[f"x{i}"] for i in range(len(cells))], axis=-1)


def _box(owner: str, *bounds: tuple[float, float]) -> Space:
    return Space(*[Float(f"x{i}", low, high, low) for i, (low, high) in enumerate(bounds)], owner=owner)


def sma_surface() -> Task:
    """Every cell of `sma_cross`: it is searched in its own space."""
    space = get("sma_cross").space
    grid = space.grid(fast=range(2, 201), slow=range(5, 401))
    table = functools.cache(lambda share: _table("sma_cross", grid, share))
    return Task(
        space,
        lambda cells, share: table(share)[cells["fast"] - 2, cells["slow"] - 5],
        float(np.nanmin(table(1.0))),
        history=True,
    )


def sweep_surface() -> Task:
    """The reference grid of `liquidity_sweep`, each parameter by the place of its value."""
    grid = ql.reference_grid("liquidity_sweep")
    names = list(grid.axes)
    space = Space(
        *[
            Choice(name, tuple(values.tolist()), values[0])
            if values.dtype.kind == "U"
            else Int(name, 0, len(values) - 1, 0)
            for name, values in grid.axes.items()
        ],
        owner="grid",
    )
    table = functools.cache(lambda share: _table("liquidity_sweep", grid, share))
    place = {
        name: {value: i for i, value in enumerate(grid.axes[name].tolist())}
        for name in names
        if grid.axes[name].dtype.kind == "U"
    }

    def value(cells: Columns, share: float) -> np.ndarray:
        rows = [
            np.array([place[name][v] for v in cells[name].tolist()]) if name in place else cells[name]
            for name in names
        ]
        return table(share)[tuple(rows)]

    return Task(space, value, float(np.nanmin(table(1.0))), history=True)


def _table(strategy: str, grid: Grid, share: float) -> np.ndarray:
    """Negated Sharpe ratios of a grid on the first `share` of the shipped hours."""
    market = ql.sample_candles()
    market = market[: int(np.ceil(share * len(market)))]
    metrics = sweep(strategy, market, grid, progress=False).metrics
    return np.where(metrics["trades"] >= fewest(30, share), -metrics["sharpe"], np.nan)


TASKS: dict[str, Callable[[], Task]] = {
    "branin": lambda: Task(_box("branin", (-5, 10), (0, 15)), branin, 0.397887),
    "hartmann6": lambda: Task(_box("hartmann6", *[(0, 1)] * 6), hartmann6, -3.32237),
    "surface": sma_surface,
    "sparse": sweep_surface,
    "rosenbrock": lambda: Task(_box("rosenbrock", *[(-5, 10)] * 4), rosenbrock, 0.0),
    "ackley": lambda: Task(_box("ackley", *[(-32.8, 27.2)] * 5), ackley, 0.0),
}
HELD_OUT = ("rosenbrock", "ackley")
"""No setting of a sampler was chosen by these."""
