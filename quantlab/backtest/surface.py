"""The surface: every metric of every cell, labelled by parameter, sliceable to any two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.backtest.drawing import Drawing, Reduce
from quantlab.backtest.execution import ASSUMPTIONS, Execution
from quantlab.backtest.extras import Blocks, Extras, part_key
from quantlab.backtest.metrics import METRICS, definition
from quantlab.backtest.request import rules_under
from quantlab.errors import InputError, UnknownNameError
from quantlab.market.candles import Candles
from quantlab.signals import Strategy
from quantlab.space import Cells, Choice, Grid

if TYPE_CHECKING:
    import pandas as pd

    from quantlab.backtest.plateau import Plateau

_REDUCERS: dict[str, Any] = {"max": np.nanmax, "median": np.nanmedian, "mean": np.nanmean, "min": np.nanmin}


@dataclass(frozen=True)
class CandlesIdentity:
    """Which candles a surface was computed on; times in epoch milliseconds."""

    exchange: str
    symbol: str
    timeframe: str
    fingerprint: str
    family: str
    first_ms: int
    last_ms: int
    bars: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def identity(candles: Candles) -> CandlesIdentity:
    """What identifies these candles."""
    return CandlesIdentity(
        exchange=candles.exchange,
        symbol=candles.symbol,
        timeframe=candles.timeframe,
        fingerprint=candles.fingerprint,
        family=candles.family,
        first_ms=candles.first_ms,
        last_ms=candles.last_ms,
        bars=len(candles),
    )


@dataclass(frozen=True)
class Cell:
    """One cell of a surface: where it lies, its parameters (fixed ones included) and its metrics."""

    index: tuple[int, ...]
    params: Mapping[str, Any]
    metrics: Mapping[str, float]

    def __repr__(self) -> str:
        figures = ", ".join(f"{m}={self.metrics[m]:.3g}" for m in ("sharpe", "net_profit", "trades"))
        return f"Cell({', '.join(f'{n}={v}' for n, v in self.params.items())}: {figures})"


@dataclass(frozen=True, eq=False)
class Surface(Drawing):
    """The result of a sweep.

    Attributes
    ----------
    strategy : Strategy
    cells : Grid or Points
    metrics : mapping of str to float64 array, shape of the cells
        Every name of `METRICS`; NaN where undefined and for cells that break a constraint.
    execution : Execution
    identity : CandlesIdentity
    key : str
        SHA-256 (hex) of code, cells, candles, execution and what else was asked: the same key is the same
        result.
    extras : Extras, optional
        What was asked for beside the metrics: see `under`, `regimes` and `blocks`.
    intrabar : CandlesIdentity, optional
        Candles of a lower timeframe that decided whether stop or target came first.
    counted : bool
        Whether the ledger of a lab counted its cells; false of a surface that was made without a lab.
    """

    strategy: Strategy
    cells: Cells
    metrics: Mapping[str, np.ndarray]
    execution: Execution
    identity: CandlesIdentity
    key: str
    extras: Extras | None = None
    intrabar: CandlesIdentity | None = None
    counted: bool = False

    def __getitem__(self, metric: str) -> np.ndarray:
        if metric not in self.metrics:
            raise UnknownNameError("metric", metric, self.metrics)
        return self.metrics[metric]

    def __repr__(self) -> str:
        where = self.identity
        market = f"{where.exchange} {where.symbol} {where.timeframe}, {where.bars:,} bars"
        shape = " x ".join(map(str, self.shape))
        caveat = f" [{self.execution.caveat}]" if self.execution.caveat else ""
        caveat += "" if self.counted else " [made without a lab: counted in no ledger]"
        return f"Surface({self.strategy.name}, {shape} = {self.size:,} cells, {market}){caveat}"

    @property
    def subject(self) -> str:
        """What a figure of this surface is about, for its title."""
        return self.strategy.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self.cells.shape

    @property
    def size(self) -> int:
        """Number of cells."""
        return self.cells.size

    @property
    def axes(self) -> Mapping[str, np.ndarray]:
        """Values along each axis (of a grid)."""
        return self._grid().axes

    @property
    def plain_key(self) -> str:
        """The key of the same sweep without extras."""
        return self.key if self.extras is None else self.extras.keys[self.execution.assumption]

    def under(self, assumption: str) -> Surface:
        """The surface under a fill assumption, bit for bit (and by key) that of a sweep under it alone.

        Raises
        ------
        UnknownNameError
            There is no such assumption.
        InputError
            It was not among the `assumptions` of the sweep.
        """
        if assumption not in ASSUMPTIONS:
            raise UnknownNameError("fill assumption", assumption, ASSUMPTIONS)
        if assumption == self.execution.assumption:
            return self if self.extras is None else replace(self, key=self.plain_key, extras=None)
        if self.extras is None or assumption not in self.extras.request.assumptions:
            known = [self.execution.assumption, *(self.extras.request.assumptions if self.extras else ())]
            raise InputError(
                f"this surface has no figures under {assumption!r}, only under {', '.join(known)}: sweep "
                f"with assumptions=[{assumption!r}]."
            )
        return replace(
            self,
            metrics=self.extras.metrics(assumption),
            execution=rules_under(self.execution, assumption),
            key=self.extras.keys[assumption],
            extras=None,
        )

    @property
    def regimes(self) -> Mapping[str, np.ndarray]:
        """`REGIME_METRICS` by regime of the decision bar: each of shape (regimes, *shape of the cells).

        Raises
        ------
        InputError
            The sweep was not given regimes.
        """
        if self.extras is None or not self.extras.request.n_regimes:
            raise InputError("this surface was swept without regimes: sweep with regimes=labels of its bars.")
        return self.extras.regimes

    def in_regime(self, metric: str, regime: str | int) -> np.ndarray:
        """One of `REGIME_METRICS` of the trades decided in a regime, given by name or number.

        Raises
        ------
        UnknownNameError
            There is no such regime, or the metric is not measured by regime.
        InputError
            The sweep was not given regimes.
        """
        found = self.regimes
        if metric not in found:
            raise UnknownNameError("metric that is measured by regime", metric, found)
        names = self.extras.request.regime_names if self.extras else ()
        numbers = range(len(found[metric]))
        if regime in names:
            return found[metric][names.index(str(regime))]
        if isinstance(regime, bool) or regime not in numbers:
            raise UnknownNameError("regime of this surface", str(regime), [*names] or map(str, numbers))
        return found[metric][int(regime)]

    @property
    def blocks(self) -> Blocks:
        """Sums of daily returns by block of days.

        Raises
        ------
        InputError
            The sweep was not asked for blocks.
        """
        if self.extras is None or not self.extras.request.blocks:
            raise InputError(
                "this surface was swept without blocks: sweep with blocks=their number, e.g. 16."
            )
        return self.extras.blocks

    def cell(self, index: tuple[int, ...]) -> Cell:
        """The cell at `index`."""
        metrics = {name: float(values[index]) for name, values in self.metrics.items()}
        return Cell(tuple(map(int, index)), self.cells.cell(index), metrics)

    def eligible(self, metric: str = "sharpe", min_trades: int = 30) -> np.ndarray:
        """`metric`, shape of the cells, with NaN where a cell has fewer than `min_trades` closed trades."""
        return np.where(self["trades"] >= min_trades, self[metric], np.nan)

    def best(self, metric: str = "sharpe", min_trades: int = 30) -> Cell:
        """The cell with the best `metric` (lowest where lower is better); do not trade it: see `plateau`.

        Parameters
        ----------
        metric : str
            One of `METRICS`.
        min_trades : int
            Least closed trades of a cell that is looked at.

        Raises
        ------
        UnknownNameError
            There is no such metric.
        InputError
            No cell has the metric and trades enough, or satisfies the constraints.
        """
        if not self.cells.allowed.any():
            clauses = " and ".join(f"`{clause}`" for clause in self.cells.space.constraints)
            raise InputError(
                f"none of the {self.size:,} cells of {self.strategy.name} satisfies {clauses}: sweep others."
            )
        values = sign(metric) * self.eligible(metric, min_trades)
        if np.isnan(values).all():
            raise InputError(
                f"no cell has a {metric} and at least {min_trades} closed trades (most: "
                f"{np.nanmax(self['trades'], initial=0):.0f}): lower min_trades or use more candles."
            )
        return self.cell(tuple(map(int, np.unravel_index(int(np.nanargmax(values)), self.shape))))

    def plateau(self, metric: str = "sharpe", min_trades: int = 30) -> Plateau:
        """The cell whose neighbourhood is best: mean minus one standard deviation of a narrow kernel.

        Parameters and errors as of `best`; see `quantlab.backtest.plateau.find_plateau`.
        """
        from quantlab.backtest.plateau import find_plateau

        return find_plateau(self, metric, min_trades)

    def sel(self, **values: Any) -> Surface:
        """The surface with some axes fixed at one of their values."""
        grid = self._grid()
        place: list[Any] = [slice(None)] * len(grid.axes)
        axes, fixed = dict(grid.axes), dict(grid.fixed)
        for name, value in values.items():
            if name not in grid.axes:
                raise UnknownNameError("axis of this surface", name, grid.axes)
            found = np.flatnonzero(grid.axes[name] == value)
            if not found.size:
                raise InputError(
                    f"{name} has no value {value!r} on this surface: it has {grid.axes[name].tolist()}."
                )
            place[list(grid.axes).index(name)] = int(found[0])
            fixed[name] = axes.pop(name)[found[0]].item()
        metrics = {name: array[tuple(place)] for name, array in self.metrics.items()}
        chosen = str(sorted(fixed.items()))
        extras = self.extras.at(tuple(place), chosen) if self.extras else None
        key = part_key(self.key, chosen)
        return replace(self, cells=Grid(grid.space, axes, fixed), metrics=metrics, key=key, extras=extras)

    def plane(
        self, metric: str, x: str, y: str, reduce: Reduce = "max", regime: str | int | None = None
    ) -> np.ndarray:
        """`metric` over two axes, shape ``(len(y), len(x))``; the other axes reduced, NaN ignored.

        With `regime` only the trades decided in it count: see `in_regime`.
        """
        grid = self._grid()
        for name in (x, y):
            if name not in grid.axes:
                raise UnknownNameError("axis of this surface", name, grid.axes)
        if x == y:
            raise InputError(f"x and y must be two different axes, got {x!r} twice.")
        if reduce not in _REDUCERS:
            raise UnknownNameError("reduction", reduce, _REDUCERS)
        names = list(grid.axes)
        ix, iy = names.index(x), names.index(y)
        others = tuple(i for i in range(len(names)) if i not in (ix, iy))
        found = self[metric] if regime is None else self.in_regime(metric, regime)
        values = np.transpose(found, (iy, ix, *others)).reshape(len(grid.axes[y]), len(grid.axes[x]), -1)
        empty = np.isnan(values).all(axis=-1)
        reduced = _REDUCERS[reduce](np.where(empty[..., None], 0.0, values), axis=-1)
        return np.where(empty, np.nan, reduced)

    def fingerprint(self) -> str:
        """What identifies this result to six digits: candles, cells, quartiles of every metric."""
        lines = [f"candles {self.identity.fingerprint[:16]}, {self.size} cells"]
        for name, values in self.metrics.items():
            present = values[~np.isnan(values)]
            figures = np.quantile(present, [0, 0.25, 0.5, 0.75, 1]) if present.size else []
            lines.append(" ".join([f"{name:21s}", *(f"{figure:.6g}" for figure in figures)]))
        return "\n".join(lines)

    def to_frame(self) -> pd.DataFrame:
        """One row per cell: the varying parameters, then all metrics."""
        import pandas as pd

        if isinstance(self.cells, Grid):
            mesh = np.meshgrid(*self.cells.axes.values(), indexing="ij")
            columns = {name: array.ravel() for name, array in zip(self.cells.axes, mesh, strict=True)}
        else:
            columns = dict(self.cells.columns)
        return pd.DataFrame(columns | {name: values.ravel() for name, values in self.metrics.items()})

    def _grid(self) -> Grid:
        if not isinstance(self.cells, Grid):
            raise InputError(f"a list of {self.size} points has no axes: use to_frame(), or sweep a grid.")
        return self.cells


def sign(metric: str) -> float:
    """-1 for a metric of which less is better, else 1."""
    return -1.0 if definition(metric).better == "lower" else 1.0


def is_ordered(grid: Grid, name: str) -> bool:
    """Whether neighbouring values of an axis are near each other (choices are not)."""
    return not isinstance(grid.space[name], Choice)


__all__ = ["METRICS", "CandlesIdentity", "Cell", "Reduce", "Surface", "identity"]
