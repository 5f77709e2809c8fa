"""The markets on which the gate is measured, and the search that is judged on each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy as np

import quantlab as ql
from quantlab import strategies
from quantlab.backtest.execution import Execution
from quantlab.backtest.surface import Surface
from quantlab.backtest.sweep import sweep
from quantlab.market import nulls, synthetic
from quantlab.market.candles import Candles
from quantlab.market.skewed import skewed
from quantlab.search.run import search
from quantlab.space import Grid

BARS = 2_000
CROSSES = {
    "fast": [3, 5, 8, 10, 12, 16, 20, 25, 30, 36, 44, 52],
    "slow": [15, 20, 26, 32, 40, 50, 60, 72, 85, 100, 120, 145],
}
REVERSIONS = {
    "window": [10, 12, 14, 17, 20, 25, 30, 40, 50, 65, 80, 100, 125, 150, 200],
    "deviation": [1.0, 1.5, 2.0, 2.5, 3.0],
    "exit_z": [-0.25, 0.0, 0.25],
}
STOPS = {
    "pierce_depth": [0.0005, 0.001, 0.002, 0.003],
    "volume_spike": [1.5, 2.0, 2.5, 3.0],
    "level_lookback": [50, 100, 200],
    "stop_atr": [1.0, 1.5, 2.0],
    "reward_risk": [1.5, 2.0, 3.0],
}


@dataclass(frozen=True)
class Family:
    """A kind of market, and what is searched on it.

    Parameters
    ----------
    make : callable ``(seed) -> Candles``
    about : str
        What it is, for the table.
    markets : int
        How many are measured, chosen beforehand.
    edge : bool
        Whether there is anything to find.
    strategy, axes, direction : str, mapping, str
        The grid that is swept, and the sides that may be taken.
    sampler : str, optional
        Search so instead, within the bounds of the grid.
    choice : {"plateau", "ensemble"}
        What the gate judges of it.
    long_run : callable ``(seed) -> Candles``, optional
        The same edge over many years, for measuring it.
    """

    make: Callable[[int], Candles]
    about: str
    markets: int = 100
    edge: bool = False
    strategy: str = "sma_cross"
    axes: Mapping[str, Any] = field(default_factory=lambda: CROSSES)
    direction: str = "both"
    sampler: str | None = None
    choice: str = "plateau"
    long_run: Callable[[int], Candles] | None = None

    @property
    def grid(self) -> Grid:
        """The cells."""
        return strategies.get(self.strategy).grid(**self.axes)

    @property
    def execution(self) -> Execution:
        """Default costs."""
        return Execution(direction=self.direction)  # type: ignore[arg-type]

    def searched(self, candles: Candles) -> Surface:
        """The whole search on some candles."""
        if self.sampler is None:
            return sweep(self.strategy, candles, self.grid, self.execution, progress=False)
        found = search(
            self.strategy,
            candles,
            sampler=self.sampler,
            trials=96,
            batch=24,
            objective="timing_t",
            bounds={name: (min(values), max(values)) for name, values in self.axes.items()},
            execution=self.execution,
            progress=False,
        )
        return found.surface


@cache
def _hours() -> Candles:
    return ql.resample(ql.sample_candles(), "4h")


def real(null: Callable[[Candles, np.random.Generator], Candles], seed: int) -> Candles:
    """A stretch of the shipped candles, begun anywhere, without its edge if it had one."""
    rng = np.random.default_rng([7, seed])
    first = int(rng.integers(0, len(_hours()) - BARS))
    return null(_hours()[first : first + BARS], rng)


def daily(make: Callable[..., Candles], begin: int, **how: Any) -> Callable[[int], Candles]:
    """Market i of a family: daily bars from the seed ``begin + i``, so that no two families share a path."""
    return lambda seed: make(BARS, timeframe="1d", seed=begin + seed, **how)


def planted(make: Callable[..., Candles], begin: int, about: str, markets: int, **how: Any) -> Family:
    """A family with an edge, that can also be had for a thousand years."""
    search_of = {} if make is not synthetic.planted_reversion else REVERTING
    long_run = partial(_long_run, make, how)
    return Family(daily(make, begin, **how), about, markets, edge=True, long_run=long_run, **search_of)


def _long_run(make: Callable[..., Candles], how: Mapping[str, Any], seed: int) -> Candles:
    return make(365_000, timeframe="1d", seed=900_000 + seed, **how)


REVERTING: dict[str, Any] = {"strategy": "mean_reversion", "axes": REVERSIONS}
MOMENTUM, REGIME = synthetic.planted_momentum, synthetic.planted_regime
# what is planted is the Sharpe ratio of a reference rule before costs; the best cell after costs has less,
# and it is what the families are named by
FAMILIES: dict[str, Family] = {
    "iid": Family(daily(synthetic.iid, 0), "independent normal returns", 150),
    "garch": Family(daily(synthetic.garch, 10_000), "GARCH with fat tails", 200),
    "garch_drift": Family(
        daily(synthetic.garch, 20_000, annual_drift=0.6),
        "the same with 60 % drift a year, long or flat",
        150,
        direction="long",
    ),
    "skewed": Family(daily(skewed, 30_000), "clusters of volatility and skewed returns", 150),
    "flipped": Family(partial(real, nulls.sign_flip), "real 4-hour candles, sign-flipped"),
    "permuted": Family(partial(real, nulls.permute), "real 4-hour candles, permuted"),
    "long": Family(daily(synthetic.garch, 40_000), "GARCH, long only", direction="long"),
    "short": Family(daily(synthetic.garch, 50_000), "GARCH, short only", direction="short"),
    "stops": Family(
        lambda seed: synthetic.garch(5_000, timeframe="1h", seed=60_000 + seed),
        "GARCH hours, a rule with stop and target",
        strategy="liquidity_sweep",
        axes=STOPS,
    ),
    "reversion": Family(daily(synthetic.garch, 70_000), "GARCH, mean reversion", 50, **REVERTING),
    "adaptive": Family(
        daily(synthetic.garch, 80_000), "GARCH, searched by evolution, 96 cells", 200, sampler="evolution"
    ),
    "plateau_1.0": planted(MOMENTUM, 100_000, "momentum", 60, true_sharpe=1.1),
    "plateau_1.5": planted(MOMENTUM, 110_000, "momentum", 60, true_sharpe=1.6),
    "plateau_1.9": planted(MOMENTUM, 120_000, "momentum", 60, true_sharpe=1.95),
    "fast_1.5": planted(
        MOMENTUM, 160_000, "momentum of half the half-life", 60, true_sharpe=1.19, half_life_bars=20.0
    ),
    "fast_1.9": planted(
        MOMENTUM, 170_000, "momentum of half the half-life", 60, true_sharpe=1.44, half_life_bars=20.0
    ),
    "needle_1.6": planted(
        synthetic.planted_reversion,
        130_000,
        "reversion that few cells catch",
        60,
        true_sharpe=1.65,
        half_life_bars=2.0,
    ),
    "decayed": planted(
        synthetic.planted_decay, 140_000, "momentum that dies in the last 30 %", 60, true_sharpe=1.95
    ),
    "regime": planted(REGIME, 150_000, "momentum in one of two regimes", 60, true_sharpe=3.0),
}
TOGETHER = {"iid": 100, "garch": 150, "garch_drift": 100, "permuted": 100, "reversion": 50}
"""Families without an edge on which the ensemble is judged, too; how many markets of each."""

FAMILIES |= {
    f"{name}.ensemble": replace(family, choice="ensemble", markets=TOGETHER.get(name, family.markets))
    for name, family in FAMILIES.items()
    if family.edge or name in TOGETHER
}
