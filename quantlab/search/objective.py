"""What a search is for: one metric or several with their directions, and what a cell must fulfil to count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantlab.backtest.markets import Aggregate, MarketSurface
from quantlab.backtest.metrics import definition
from quantlab.backtest.surface import Surface
from quantlab.errors import InputError, UnknownNameError

Wanted = str | Sequence[str] | Mapping[str, str]
Searched = Surface | MarketSurface


def fewest(min_trades: int, share: float) -> int:
    """Closed trades that a cell needs on a share of the history, if it needs `min_trades` on all of it.

    The 5 % quantile of a Poisson distribution with mean ``min_trades * share``, but one at least: trades come
    in bunches, and to ask for the mean would throw away half of the cells that just have enough in all.
    """
    if share == 1.0 or min_trades == 0:
        return min_trades
    from scipy.stats import poisson

    return max(int(poisson.ppf(0.05, min_trades * share)), 1)


@dataclass(frozen=True)
class Objective:
    """Metrics to be raised or lowered, and constraints.

    Attributes
    ----------
    metrics : tuple of str
    directions : tuple of {"higher", "lower"}
        Which way is better, for each metric.
    min_trades : int
        Fewest closed trades on every market; on a share of the history see `fewest`.
    max_drawdown : float or None
        Deepest drawdown on any market, a fraction of equity, e.g. 0.25.
    aggregate : str
        How the figures of several markets become one: see `MarketSurface.across`.
    """

    metrics: tuple[str, ...]
    directions: tuple[str, ...]
    min_trades: int
    max_drawdown: float | None
    aggregate: Aggregate

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "metrics": list(self.metrics), "directions": list(self.directions)}

    @property
    def signs(self) -> np.ndarray:
        """1 for a metric to be raised, -1 for one to be lowered."""
        return np.array([-1.0 if d == "lower" else 1.0 for d in self.directions])

    def values(self, surface: Searched, share: float = 1.0) -> np.ndarray:
        """The metrics of every allowed cell in C order: float64 (cells, metrics).

        Parameters
        ----------
        surface : Surface or MarketSurface
        share : float
            Share of the history that it was swept on.

        Returns
        -------
        float64 array
            NaN where undefined, and in a whole row where a constraint is not met.
        """
        one = surface if isinstance(surface, Surface) else surface.across(self.aggregate)
        counts = one["trades"] >= fewest(self.min_trades, share)
        if self.max_drawdown is not None:
            deepest = one if isinstance(surface, Surface) else surface.across("worst")
            counts &= deepest["max_drawdown"] >= -self.max_drawdown
        table = np.stack([np.where(counts, one[name], np.nan).ravel() for name in self.metrics], axis=1)
        allowed = np.ravel(one.cells.allowed)
        return table if allowed.all() else table[allowed]

    def scores(self, surface: Searched, share: float = 1.0) -> np.ndarray:
        """`values`, the higher the better."""
        return self.values(surface, share) * self.signs

    def why_none(self, surface: Searched) -> str:
        """Why no cell has a defined value: what is not met, and by how much."""
        one = surface if isinstance(surface, Surface) else surface.across(self.aggregate)
        most = np.nanmax(one["trades"], initial=0)
        if most < self.min_trades:
            return (
                f"no cell has at least {self.min_trades} closed trades (most: {most:.0f}): lower min_trades "
                "or use more candles"
            )
        enough = one["trades"] >= self.min_trades
        if self.max_drawdown is not None:
            deepest = one if isinstance(surface, Surface) else surface.across("worst")
            least = float(np.nanmin(-deepest["max_drawdown"][enough], initial=np.inf))
            if least > self.max_drawdown:
                return (
                    f"no cell with at least {self.min_trades} closed trades keeps its drawdown within "
                    f"{self.max_drawdown:g} (best: {least:.3g}): raise max_drawdown or widen the bounds"
                )
        undefined = [name for name in self.metrics if np.isnan(one[name][enough]).all()]
        if undefined:
            return f"{', '.join(undefined)} is undefined in every cell with enough trades: search for another"
        return "no cell meets all constraints at once: relax min_trades or max_drawdown"


def make_objective(
    wanted: Wanted, min_trades: int, max_drawdown: float | None, aggregate: Aggregate
) -> Objective:
    """Check what is asked for.

    Parameters
    ----------
    wanted : str, sequence of str, or mapping of str to {"higher", "lower"}
        Without a direction, the one in which the metric is better.
    min_trades, max_drawdown, aggregate
        As of `Objective`.

    Raises
    ------
    UnknownNameError
        An unknown metric or direction.
    InputError
        No metric, one named twice, one of which neither side is better, or a drawdown outside (0, 1].
    """
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    if not names or len(set(names)) != len(names):
        raise InputError(f"an objective is one metric or several different ones, got {names}.")
    directions = []
    for name in names:
        better = wanted[name] if isinstance(wanted, Mapping) else definition(name).better
        if isinstance(wanted, Mapping):
            definition(name)
            if better not in ("higher", "lower"):
                raise UnknownNameError("direction", str(better), ("higher", "lower"))
        if better is None:
            raise InputError(
                f"neither more nor less `{name}` is better: search for another metric, such as sharpe, or "
                f'say which with objective={{"{name}": "lower"}}.'
            )
        directions.append(str(better))
    if max_drawdown is not None and not 0 < max_drawdown <= 1:
        raise InputError(
            f"`max_drawdown` must be a fraction of equity in (0, 1], such as 0.25, got {max_drawdown!r}."
        )
    return Objective(tuple(names), tuple(directions), min_trades, max_drawdown, aggregate)
