"""What the tests of rules worked by hand share: rows of a market, their mirror image, the first partial fill.

A short lives on the mirror image of the long's market, every price p taken to 200 - p.
"""

from __future__ import annotations

from typing import Any

from generated_markets import play

from quantlab.backtest.trades import Run

FLAT = (100, 101, 99, 100)
Rows = list[tuple | None]


def mirrored(rows: Rows) -> Rows:
    return [None if r is None else (200 - r[0], 200 - r[2], 200 - r[1], 200 - r[3]) for r in rows]


def short(rows: Rows, *, inner: Rows | None = None, **rules: Any) -> Run:
    return play(mirrored(rows), short=0, inner=None if inner is None else mirrored(inner), **rules)


def partial(run: Run) -> tuple[int, float, float]:
    """Bar, price and share of the units of the first trade's partial fill."""
    trade = run.trades[0]
    return trade["partial_bar"].item(), trade["partial_price"].item(), trade["partial_units"] / trade["units"]
