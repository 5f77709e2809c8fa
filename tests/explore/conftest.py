"""The strategy, market and surface that the explorer's tests look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from explored import AXES, SPACE

import quantlab as ql
from quantlab.backtest.surface import Surface
from quantlab.lab import Lab
from quantlab.market.candles import Candles
from quantlab.market.synthetic import garch
from quantlab.settings import Settings


@pytest.fixture(scope="module", autouse=True)
def _strategy() -> None:
    @ql.strategy("explored", SPACE, lambda p: p["slow"] + 1)
    def signals(candles: Any, p: Any) -> ql.Signals:
        from quantlab.indicators import sma

        up = sma(candles.close, p.fast) > sma(candles.close, p.slow)
        long = np.where(p.side == "with", up, ~up)
        return ql.Signals(long=long, stop=candles.close * p.stop, max_holding=p.max_holding)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(Settings(home=tmp_path_factory.mktemp("lab home"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def candles(lab: Lab) -> Candles:
    made = garch(n_bars=3_000, timeframe="1h", seed=4)
    lab.put_candles(made)
    return lab.candles(made.exchange, made.symbol, "1h")


@pytest.fixture(scope="module")
def surface(lab: Lab, candles: Candles) -> Surface:
    return lab.sweep("explored", candles, AXES, progress=False)
