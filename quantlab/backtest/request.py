"""What a sweep is asked for beside the metrics, and how the rows of its result are laid out.

The result of a sweep, and of every part of it, is one float64 matrix ``(rows, cells)``: `METRICS` under
the execution's own fill assumption; `METRICS` under each other assumption asked for; for each regime
`REGIME_METRICS`; for each block of days `BLOCK_SUMS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from quantlab.backtest.daily import day_numbers, market_returns
from quantlab.backtest.execution import ASSUMPTIONS, Assumption, Execution
from quantlab.backtest.metrics import METRICS
from quantlab.errors import InputError, UnknownNameError
from quantlab.market.candles import Candles
from quantlab.regimes import REGIMES, Regimes

REGIME_METRICS = ("trades", "net_profit", "win_rate", "profit_factor", "expectancy", "exposure")
"""Figures of the trades decided in one regime, in their order in the rows."""

BLOCK_SUMS = ("sum", "sum_of_squares", "exposure")
"""Sums over the days of one block: daily returns, their squares, signed notional over equity per bar, taken
at the entry and anew as each UTC day begins."""


@dataclass(frozen=True, eq=False)
class Request:
    """What is wanted beside the metrics under the execution's own fill assumption.

    Parameters
    ----------
    assumptions : tuple of str
        Other fill assumptions than the execution's own.
    regimes : int64 array (n_bars,), optional
        Label of the regime of each bar, 0 to ``n_regimes - 1``, or -1 where it is unknown; known at the
        close of its bar.
    n_regimes : int
        Number of regimes.
    blocks : int
        Number of blocks of days; 0 for none.
    regime_names : tuple of str
        How the regimes are called; decides no figure.
    """

    assumptions: tuple[str, ...] = ()
    regimes: np.ndarray | None = None
    n_regimes: int = 0
    blocks: int = 0
    regime_names: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether nothing but the metrics is wanted."""
        return not (self.assumptions or self.n_regimes or self.blocks)

    @property
    def rows(self) -> int:
        """Number of rows."""
        metrics = len(METRICS) * (1 + len(self.assumptions))
        return metrics + len(REGIME_METRICS) * self.n_regimes + len(BLOCK_SUMS) * self.blocks

    @property
    def layout(self) -> tuple[str, ...]:
        """Row names: ``sharpe``, ``sharpe, pessimistic``, ``trades, regime 0``, ``sum, block 0``."""
        return (
            *METRICS,
            *(f"{name}, {assumption}" for assumption in self.assumptions for name in METRICS),
            *(f"{name}, regime {r}" for r in range(self.n_regimes) for name in REGIME_METRICS),
            *(f"{name}, block {s}" for s in range(self.blocks) for name in BLOCK_SUMS),
        )

    def assumption_rows(self, i: int) -> slice:
        """Rows of `METRICS` under the assumption ``assumptions[i]``; -1: the execution's own."""
        return slice(len(METRICS) * (i + 1), len(METRICS) * (i + 2))

    @property
    def regime_rows(self) -> slice:
        """Rows of all regimes, `REGIME_METRICS` of the first one first."""
        first = self.assumption_rows(len(self.assumptions)).start
        return slice(first, first + len(REGIME_METRICS) * self.n_regimes)

    @property
    def block_rows(self) -> slice:
        """Rows of all blocks, `BLOCK_SUMS` of the first one first."""
        first = self.regime_rows.stop
        return slice(first, first + len(BLOCK_SUMS) * self.blocks)

    def bounds(self, n_days: int) -> np.ndarray:
        """First day of each block, then `n_days`: int64 array (blocks + 1,), floor(i * n_days / blocks)."""
        return np.arange(self.blocks + 1, dtype=np.int64) * n_days // self.blocks

    def market_sums(self, candles: Candles) -> np.ndarray:
        """Sum of the market's daily returns over each block; float64 array (blocks,)."""
        returns = market_returns(candles.open, candles.close, candles.timestamps)
        return np.add.reduceat(returns, self.bounds(returns.size)[:-1]) if self.blocks else np.zeros(0)

    def to_json(self) -> dict[str, Any]:
        """Plain values that decide the rows; the regime labels as their SHA-256 (hex)."""
        labels = None
        if self.regimes is not None:
            labels = hashlib.sha256(self.regimes.astype("<i8").tobytes()).hexdigest()
        return {
            "assumptions": list(self.assumptions),
            "regimes": labels,
            "n_regimes": self.n_regimes,
            "blocks": self.blocks,
        }


def rules_under(execution: Execution, assumption: str) -> Execution:
    """The same rules under another of `ASSUMPTIONS`."""
    return replace(execution, assumption=cast(Assumption, assumption))


def make_request(
    candles: Candles,
    execution: Execution,
    assumptions: Sequence[str] = (),
    regimes: Any = None,
    blocks: int = 0,
) -> Request:
    """Check what is wanted of a sweep over these candles.

    Parameters
    ----------
    candles : Candles
    execution : Execution
    assumptions : sequence of str
        The execution's own may be among them.
    regimes : Regimes, integer array (n_bars,) or categorical pandas Series, optional
        From `quantlab.regimes.detect`; or the label of each bar from 0 on; -1, or no category, where it is
        unknown.
    blocks : int
        0 for none, else 2 to the number of days.

    Raises
    ------
    UnknownNameError
        An assumption that does not exist.
    InputError
        Labels of another length or kind, or a number of blocks that makes no sense.
    """
    wanted = (assumptions,) if isinstance(assumptions, str) else tuple(assumptions)
    for name in wanted:
        if name not in ASSUMPTIONS:
            raise UnknownNameError("fill assumption", str(name), ASSUMPTIONS)
    others = tuple(name for name in ASSUMPTIONS if name in wanted and name != execution.assumption)
    labels, names = _labels(regimes, candles)
    return Request(others, labels, len(names), _blocks(blocks, candles), names)


def _labels(regimes: Any, candles: Candles) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Label of each bar, and the name of each label."""
    if regimes is None:
        return None, ()
    n_bars = len(candles)
    names: tuple[str, ...] = ()
    if isinstance(regimes, Regimes):
        labels, names = regimes.label, REGIMES
        if not np.array_equal(regimes.timestamps, candles.timestamps):
            raise InputError(
                f"`regimes` were detected on {len(regimes):,} other bars than these {n_bars:,}: detect them "
                "on the candles of the sweep."
            )
    elif hasattr(regimes, "cat"):  # a categorical Series
        labels, names = np.asarray(regimes.cat.codes), tuple(map(str, regimes.cat.categories))
    else:
        labels = np.asarray(regimes)
    if labels.shape != (n_bars,):
        raise InputError(
            f"`regimes` must label each of the {n_bars:,} bars, got an array of shape {labels.shape}: detect "
            "them on the candles of the sweep."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"`regimes` must be whole numbers from 0 on, -1 where unknown, got {labels.dtype}: number them, "
            "or pass a categorical Series."
        )
    low, high = int(labels.min()), int(labels.max())
    if low < -1 or high < 0:
        raise InputError(
            f"`regimes` must be labels from 0 on, -1 where unknown, and label some bar; got {low} to {high}."
        )
    return labels.astype(np.int64), names or tuple(f"regime {r}" for r in range(high + 1))


def _blocks(blocks: int, candles: Candles) -> int:
    if isinstance(blocks, bool) or not isinstance(blocks, int | np.integer):
        raise InputError(f"`blocks` must be a whole number, got {blocks!r}.")
    days = len(day_numbers(candles.timestamps)) if blocks else 0
    if blocks and not 2 <= blocks <= days:
        raise InputError(
            f"`blocks` must be in [2, {days}], the days of these candles, or 0 for none, got {blocks}."
        )
    return int(blocks)
