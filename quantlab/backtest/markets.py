"""One sweep of several markets: a surface for each, and the parameters that hold on all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from quantlab.backtest.execution import Execution
from quantlab.backtest.metrics import definition
from quantlab.backtest.surface import CandlesIdentity, Cell, Reduce, Surface
from quantlab.errors import InputError, UnknownNameError
from quantlab.market.candles import iso
from quantlab.signals import Strategy
from quantlab.space import Cells

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from quantlab.backtest.plateau import Plateau

Aggregate = Literal["worst", "min", "median", "mean", "max"]
_AGGREGATES: dict[str, Any] = {"min": np.min, "median": np.median, "mean": np.mean, "max": np.max}


@dataclass(frozen=True)
class MarketCell(Cell):
    """One cell on several markets: `metrics` across them, and the cell of each market.

    Attributes
    ----------
    markets : mapping of str to Cell
        Label of the market to its cell.
    """

    markets: Mapping[str, Cell]

    def __repr__(self) -> str:
        lines = [super().__repr__()]
        lines += [
            f"  {label}: "
            + ", ".join(f"{m}={cell.metrics[m]:.3g}" for m in ("sharpe", "net_profit", "trades"))
            for label, cell in self.markets.items()
        ]
        return "\n".join(lines)


class _ByMetric(Mapping[str, np.ndarray]):
    """A mapping of metrics that are made when they are asked for."""

    def __init__(self, names: Sequence[str], make: Callable[[str], np.ndarray]) -> None:
        self._names, self._make = tuple(names), make

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise UnknownNameError("metric", name, self._names)
        return self._make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True, eq=False)
class MarketSurface:
    """The result of a sweep of several markets: the same cells on each.

    Attributes
    ----------
    surfaces : tuple of Surface
        One per market, each bit for bit that of a sweep of its market alone.
    """

    surfaces: tuple[Surface, ...]

    def __repr__(self) -> str:
        first = self.surfaces[0]
        shape = " x ".join(map(str, first.shape))
        markets = f"{len(self)} markets: {', '.join(self.labels[:4])}{', ...' if len(self) > 4 else ''}"
        caveat = f" [{self.execution.caveat}]" if self.execution.caveat else ""
        caveat += "" if all(one.counted for one in self) else " [made without a lab: counted in no ledger]"
        return f"MarketSurface({self.strategy.name}, {shape} = {first.size:,} cells on {markets}){caveat}"

    def __len__(self) -> int:
        return len(self.surfaces)

    def __iter__(self) -> Iterator[Surface]:
        return iter(self.surfaces)

    def __getitem__(self, metric: str) -> np.ndarray:
        return self.metrics[metric]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Exchange, symbol and timeframe of each market; the period too where these do not tell two apart."""
        short = [_label(surface.identity) for surface in self.surfaces]
        return tuple(
            label if short.count(label) == 1 else f"{label} {_period(surface.identity)}"
            for label, surface in zip(short, self.surfaces, strict=True)
        )

    @property
    def strategy(self) -> Strategy:
        """The strategy that was swept."""
        return self.surfaces[0].strategy

    @property
    def cells(self) -> Cells:
        """The cells that were swept on each market."""
        return self.surfaces[0].cells

    @property
    def execution(self) -> Execution:
        """Costs and rules of every market."""
        return self.surfaces[0].execution

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of markets, then the length of each axis."""
        return (len(self), *self.cells.shape)

    @property
    def size(self) -> int:
        """Cells of all markets together."""
        return len(self) * self.cells.size

    @property
    def axes(self) -> Mapping[str, np.ndarray]:
        """The labels of the markets, then the values along each axis of the grid."""
        return {"market": np.array(self.labels)} | dict(self.surfaces[0].axes)

    @property
    def metrics(self) -> Mapping[str, np.ndarray]:
        """Every metric, of shape (markets, *shape of the cells); stacked anew whenever one is asked for."""
        return _ByMetric(tuple(self.surfaces[0].metrics), lambda name: np.stack([s[name] for s in self]))

    @property
    def key(self) -> str:
        """SHA-256 (hex) of the keys of the surfaces."""
        return hashlib.sha256(",".join(surface.key for surface in self).encode()).hexdigest()

    def market(self, which: str | int) -> Surface:
        """The surface of one market, by its label or its place.

        Raises
        ------
        UnknownNameError
            There is no such label.
        InputError
            There is no such place.
        """
        if isinstance(which, str):
            if which not in self.labels:
                raise UnknownNameError("market of this surface", which, self.labels)
            return self.surfaces[self.labels.index(which)]
        if not -len(self) <= which < len(self):
            raise InputError(f"this surface has {len(self)} markets, numbered from 0, got {which}.")
        return self.surfaces[which]

    def under(self, assumption: str) -> MarketSurface:
        """The surfaces under another fill assumption; see `Surface.under`."""
        return MarketSurface(tuple(surface.under(assumption) for surface in self))

    def sel(self, **values: Any) -> MarketSurface:
        """The surfaces with some axes fixed at one of their values; see `Surface.sel`."""
        return MarketSurface(tuple(surface.sel(**values) for surface in self))

    def across(self, aggregate: Aggregate = "worst") -> Surface:
        """One figure per cell: `aggregate` over the markets, NaN where it is undefined on any of them.

        `trades` is the fewest on any market whatever the aggregate, so that a number of trades asked for
        is asked of every market.

        Parameters
        ----------
        aggregate : {"worst", "min", "median", "mean", "max"}
            "worst" is the minimum, of a metric of which less is better the maximum.
        """
        if aggregate not in ("worst", *_AGGREGATES):
            raise UnknownNameError("aggregate", aggregate, ("worst", *_AGGREGATES))
        first = self.surfaces[0]

        def metric(name: str) -> np.ndarray:
            return _reduce(name, aggregate, self.metrics[name])

        return _Across(
            strategy=self.strategy,
            cells=self.cells,
            metrics=_ByMetric(tuple(first.metrics), cache(metric)),
            execution=self.execution,
            identity=self._identity(aggregate),
            counted=all(one.counted for one in self),
            key=hashlib.sha256(f"{self.key}:{aggregate}".encode()).hexdigest(),
            markets=self,
            aggregate=aggregate,
        )

    def best(self, metric: str = "sharpe", min_trades: int = 30, aggregate: Aggregate = "worst") -> Cell:
        """The cell with the best `aggregate` of a metric over the markets, `min_trades` on each of them."""
        return self.across(aggregate).best(metric, min_trades)

    def plateau(
        self, metric: str = "sharpe", min_trades: int = 30, aggregate: Aggregate = "worst"
    ) -> Plateau:
        """The cell whose neighbourhood has the best `aggregate` of a metric over the markets."""
        return self.across(aggregate).plateau(metric, min_trades)

    def heatmap(
        self,
        metric: str = "sharpe",
        *,
        x: str,
        y: str,
        market: str | int | None = None,
        aggregate: Aggregate = "worst",
        reduce: Reduce = "max",
    ) -> go.Figure:
        """A heatmap of one market, or of the `aggregate` over all of them; see `Surface.heatmap`."""
        surface = self.across(aggregate) if market is None else self.market(market)
        return surface.heatmap(metric, x=x, y=y, reduce=reduce)

    def fingerprint(self) -> str:
        """What identifies this result to six digits, market by market."""
        return "\n".join(f"{label}\n{s.fingerprint()}" for label, s in zip(self.labels, self, strict=True))

    def to_frame(self) -> pd.DataFrame:
        """One row per market and cell: the market's label, the varying parameters, then all metrics."""
        import pandas as pd

        frames = [surface.to_frame() for surface in self]
        for label, frame in zip(self.labels, frames, strict=True):
            frame.insert(0, "market", label)
        return pd.concat(frames, ignore_index=True)

    def _identity(self, aggregate: str) -> CandlesIdentity:
        of = [surface.identity for surface in self]
        prints = hashlib.sha256(",".join(one.fingerprint for one in of).encode()).hexdigest()
        return CandlesIdentity(
            exchange=", ".join(sorted({one.exchange for one in of})),
            symbol=f"{aggregate} of {len(of)} markets",
            timeframe=", ".join(sorted({one.timeframe for one in of})),
            fingerprint=prints,
            family=", ".join(sorted({one.family for one in of})),
            first_ms=min(one.first_ms for one in of),
            last_ms=max(one.last_ms for one in of),
            bars=sum(one.bars for one in of),
        )


def plain_surface(surface: Surface | MarketSurface) -> Surface:
    """The metrics of one market under one fill assumption: what a verdict is about.

    Raises
    ------
    InputError
        There are several markets.
    """
    if isinstance(surface, MarketSurface):
        raise InputError(
            f"a verdict is about one market, got a sweep of {len(surface)}: validate surface.market(label), "
            f"for one of {', '.join(map(repr, surface.labels))}."
        )
    return surface.under(surface.execution.assumption)


@dataclass(frozen=True, eq=False)
class _Across(Surface):
    """An aggregate over markets in the form of a surface; its cells know their markets."""

    markets: MarketSurface = field(kw_only=True)
    aggregate: str = field(kw_only=True)

    @property
    def subject(self) -> str:
        return f"{self.strategy.name}, {self.aggregate} of {len(self.markets)} markets"

    def cell(self, index: tuple[int, ...]) -> MarketCell:
        """The cell at `index`, on every market and across them."""
        of = {label: s.cell(index) for label, s in zip(self.markets.labels, self.markets, strict=True)}
        found = next(iter(of.values()))
        across = {
            name: float(_reduce(name, self.aggregate, np.array([cell.metrics[name] for cell in of.values()])))
            for name in found.metrics
        }
        return MarketCell(found.index, found.params, across, of)

    def sel(self, **values: Any) -> Surface:
        return self.markets.sel(**values).across(self.aggregate)  # type: ignore[arg-type]


def _reduce(name: str, aggregate: str, values: np.ndarray) -> np.ndarray:
    """Over the first axis."""
    if name == "trades":
        aggregate = "min"
    elif aggregate == "worst":
        aggregate = "max" if definition(name).better == "lower" else "min"
    return np.asarray(_AGGREGATES[aggregate](values, axis=0))


def _label(of: CandlesIdentity) -> str:
    return f"{of.exchange} {of.symbol} {of.timeframe}"


def _period(of: CandlesIdentity) -> str:
    return f"{iso(of.first_ms)} to {iso(of.last_ms)}"
