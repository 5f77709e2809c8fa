"""Strategies for jobs: one that takes its time, one that breaks, one whose bars need a look inside them."""

from __future__ import annotations

import os
import time

import quantlab as ql
from quantlab.indicators import shift, sma

SPACE = ql.Space(
    ql.Int("window", 5, 200, 20, "bars", "bars of the average"),
    ql.Float("distance", 0.0, 0.1, 0.01, "fraction", "how far above it"),
    ql.Int("max_holding", 2, 50, 10, "bars", "longest time in the market", role="exit"),
)


@ql.strategy(
    "slow_average", SPACE, lambda p: p["window"] + 1, {"window": [10, 20, 30], "distance": [0.0, 0.01]}
)
def signals(candles: ql.Candles, p: ql.Params) -> ql.Signals:
    if candles.close.size > 100:  # not while the sweep looks at its arrays
        time.sleep(float(os.environ.get("SLOW_S", "0")))
    average = shift(sma(candles.close, p.window), 1)
    return ql.Signals(long=candles.close > average * (1 + p.distance), max_holding=p.max_holding)


@ql.strategy("breaking", SPACE, lambda p: p["window"] + 1, {"window": [10, 20]})
def breaking(candles: ql.Candles, p: ql.Params) -> ql.Signals:
    raise ArithmeticError("this strategy cannot be evaluated")


WIDTHS = ql.Space(ql.Float("width", 0.001, 0.1, 0.005, "fraction", "how far stop and target are"))


@ql.strategy("narrow", WIDTHS, lambda p: 1, {"width": [0.002, 0.005, 0.01]})
def narrow(candles: ql.Candles, p: ql.Params) -> ql.Signals:
    width = candles.close * p.width
    return ql.Signals(long=candles.close > 0, stop=width, target=width)
