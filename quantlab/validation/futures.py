"""Other futures for the same past: where to cut the candles, and what to put in place of the bars after it.

The new bars are wild in level, shape and volume. Extreme levels move a maximum, a quantile or a scaler
taken over the whole history; bars that all close far above or far below their open flip whatever asks for
the next bar's colour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from quantlab.market.candles import COLUMNS, MISSING, Candles

FACTORS = {"three times as high": 3.0, "a third as high": 1.0 / 3.0}
EXTREMES = (300.0, 1.0 / 300.0)
"""So extreme that a single bar moves a mean over the whole history."""
CUT_OFF = "cut off"
LOST_BARS = 3
_HIGHER = 2 * 3 * 5 * 7
_STEP = 0.02
_MOST_AWAY = 3.0
"""Greatest logarithm of a wild path relative to its factor: prices stay numbers on long histories."""


def changed(
    candles: Candles,
    first: int,
    last: int,
    factor: float,
    rng: np.random.Generator,
    columns: Sequence[str] = COLUMNS,
) -> Candles:
    """The candles with other bars in ``[first, last)``.

    Parameters
    ----------
    candles : Candles
    first, last : int
        Bars.
    factor : float
        On prices and volume; above 1 every new bar closes above its open, below 1 below it.
    rng : Generator
        Of the wild paths that prices and volume take around the factor.
    columns : sequence of str
        Those that change. With fewer than all, a high may lie below a low.

    Returns
    -------
    Candles
        Lost bars stay lost.
    """
    path, flow = np.clip(
        np.cumsum(rng.normal(0.0, _STEP, (2, last - first)), axis=1), -_MOST_AWAY, _MOST_AWAY
    )
    gap, body, up, down = np.abs(rng.normal(0.0, _STEP, (4, last - first)))
    prices, away = factor * np.exp(path), np.sign(np.log(factor))
    old = {name: getattr(candles, name)[first:last] for name in COLUMNS}
    opened = old["close"] * prices * np.exp(-away * gap)
    closed = old["close"] * prices * np.exp(away * (body + 0.01))
    new = {
        "open": opened,
        "high": np.maximum.reduce([old["high"] * prices, opened, closed]) * np.exp(up),
        "low": np.minimum.reduce([old["low"] * prices, opened, closed]) * np.exp(-down),
        "close": closed,
        "volume": old["volume"] * factor * np.exp(flow),
    }
    written = {name: getattr(candles, name).copy() for name in columns}
    for name in columns:
        written[name][first:last] = new[name]
    return replace(candles, **written)


def calm(candles: Candles, first: int, last: int, columns: Sequence[str] = COLUMNS) -> Candles:
    """The candles with the bar before `first` repeated at its close in ``[first, last)``: nothing happens."""
    written = {name: getattr(candles, name).copy() for name in columns}
    for name in columns:
        written[name][first:last] = (candles.volume if name == "volume" else candles.close)[first - 1]
    return replace(candles, **written)


def probes(
    candles: Candles, first: int, last: int, seed: int, columns: Sequence[str] = COLUMNS
) -> Iterator[Candles]:
    """Many other bars in ``[first, last)``: wild, extreme and calm, as some decisions hide much."""
    for factor in (*FACTORS.values(), *EXTREMES):
        yield changed(candles, first, last, factor, np.random.default_rng([seed, first]), columns)
    yield calm(candles, first, last, columns)


def futures(candles: Candles, cut: int, seed: int) -> Iterator[tuple[str, Candles]]:
    """The bars before `cut` alone, then with bars three times and a third as high after them."""
    yield CUT_OFF, candles[:cut]
    for name, factor in FACTORS.items():
        yield name, changed(candles, cut, len(candles), factor, np.random.default_rng([seed, cut]))


def losing(candles: Candles, cut: int) -> Candles:
    """The candles with the last `LOST_BARS` bars before `cut` lost: what fills them in reads later ones."""
    lost = slice(max(cut - LOST_BARS, 0), cut)
    columns = {name: getattr(candles, name).copy() for name in COLUMNS}
    for column in columns.values():
        column[lost] = np.nan
    flags = candles.flags.copy()
    flags[lost] = MISSING
    return replace(candles, flags=flags, **columns)


def choose_cuts(candles: Candles, fired: Sequence[np.ndarray], k: int, rng: np.random.Generator) -> list[int]:
    """Cuts in the last three quarters, spread, none of which begins a bar of a higher timeframe.

    Parameters
    ----------
    candles : Candles
    fired : sequence of boolean arrays (n_bars,)
        Bars on which each kind of signal is given by any cell. The cuts lie right after such bars, the kinds
        taking turns, where there are any in the stretch; the last cut lies anywhere.
    k : int
    rng : Generator

    Returns
    -------
    list of int
        At most `k`, ascending; bar ``cut`` is the first that is changed.
    """
    n = len(candles)
    inside = np.gcd(candles.timestamps // candles.step_ms, _HIGHER) == 1
    inside[: max(1, min(n // 4, n - 1))] = False
    edges = np.linspace(n // 4, n, k + 1).astype(int)
    kinds = rng.permutation(len(fired)).tolist()
    cuts = set()
    for i in range(k):
        stretch = np.flatnonzero(inside[edges[i] : edges[i + 1]]) + edges[i]
        if kinds and i < k - 1:
            after = stretch[fired[kinds[i % len(kinds)]][stretch - 1]]
            stretch = after if len(after) else stretch
        if len(stretch):
            cuts.add(int(rng.choice(stretch)))
    return sorted(cuts) or [n - 1]
