"""Candles with the trades of one cell, its equity and its drawdown, to zoom through: an anywidget.

Import it only where a widget is wanted: it needs ipywidgets, which is slow to import. The page asks nothing
of the network: TradingView Lightweight Charts lies beside (see ``static/lightweight-charts.NOTICE.md``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from quantlab.backtest.trades import REASONS, Run, last_fill
from quantlab.errors import InputError
from quantlab.market.candles import Candles

STATIC = Path(__file__).with_name("static")


def _module() -> str:
    """The widget's module, the library with it as a text: a bundler would have to be installed."""
    library = (STATIC / "lightweight-charts.mjs").read_text(encoding="utf-8")
    own = (STATIC / "chart.js").read_text(encoding="utf-8")
    return f"{own}\nconst LIBRARY = {json.dumps(library)};\n"


class CandleChart(anywidget.AnyWidget):
    """Candles with entries, exits and stops over equity and drawdown; made by `Lab.chart` and `Run.chart`.

    Prices travel as 32-bit floats, seven digits: for the eye, not for sums.

    Parameters
    ----------
    candles : Candles
    run : Run
        Of the same candles.
    stops : float array (trades,), optional
        Price of the stop at entry of each trade, NaN without one: see `quantlab.explore.stops.stop_levels`.

    Raises
    ------
    InputError
        Candles and run differ in length.
    """

    _esm = _module()
    _css = STATIC / "chart.css"

    title = traitlets.Unicode().tag(sync=True)
    market = traitlets.Dict().tag(sync=True)
    trades = traitlets.Dict().tag(sync=True)
    curve = traitlets.Dict().tag(sync=True)
    trade = traitlets.Int(-1).tag(sync=True)

    def __init__(self, candles: Candles, run: Run, stops: np.ndarray | None = None) -> None:
        if len(candles) != len(run.equity):
            raise InputError(
                f"this run has {len(run.equity):,} bars, got {len(candles):,}: pass the candles it was "
                "run on."
            )
        caveat = f" ({run.execution.caveat})" if run.execution.caveat else ""
        super().__init__(
            title=f"{run.strategy} on {candles.exchange} {candles.symbol} {candles.timeframe}{caveat}",
            market=market(candles),
            trades=fills(run, stops),
            curve={"equity": _bytes(run.equity, "<f4")},
        )
        self._count = len(run.trades)

    def __repr__(self) -> str:
        bars = len(self.market["close"]) // 4
        return f"CandleChart({self.title}: {bars:,} bars, {self._count:,} trades)"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        return {**data, "text/plain": repr(self)}, metadata

    def select(self, trade: int) -> None:
        """Go to a trade, counted from 0; InputError if there is none of that number."""
        if not 0 <= trade < self._count:
            raise InputError(f"this run has {self._count:,} trades, numbered from 0, got {trade}.")
        self.trade = trade


def market(candles: Candles) -> dict[str, Any]:
    """First open time and step in seconds, and the prices of every bar as bytes of float32."""
    prices = {name: _bytes(getattr(candles, name), "<f4") for name in ("open", "high", "low", "close")}
    return {"first_s": candles.first_ms // 1000, "step_s": candles.step_ms // 1000, **prices}


def fills(run: Run, stops: np.ndarray | None) -> dict[str, Any]:
    """Where each trade was entered and left, as bytes of int32 and float32."""
    trades = run.trades
    if stops is not None and np.shape(stops) != trades.shape:
        raise InputError(f"each of {len(trades)} trades has one stop, or NaN, got shape {np.shape(stops)}.")
    level = np.full(len(trades), np.nan) if stops is None else stops
    whole = {name: _bytes(trades[name], "<i4") for name in ("entry_bar", "exit_bar", "side", "reason")}
    return {
        **whole,
        "entry": _bytes(trades["entry_price"], "<f4"),
        "exit": _bytes(last_fill(trades), "<f4"),
        "stop": _bytes(level, "<f4"),
        "result": _bytes(trades["trade_return"], "<f4"),
        "reasons": list(REASONS),
    }


def _bytes(values: np.ndarray, kind: str) -> bytes:
    return np.ascontiguousarray(values).astype(kind).tobytes()
