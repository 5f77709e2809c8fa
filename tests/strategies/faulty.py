"""A clean strategy and broken copies of it, each with one fault and the words by which it must be named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from quantlab.indicators import mean_true_range, shift, sma
from quantlab.signals import Signals, Strategy, all_of
from quantlab.space import Choice, Float, Int, Params, Space

SPACE = Space(
    Int("window", 5, 40, 20, "bars", "of the mean", "entry"),
    Float("threshold", 0.2, 2.0, 1.0, "ATR", "distance from the mean", "entry"),
    Choice("side", ("with", "against"), "with", "name", "of the move", "entry"),
    Float("stop_atr", 0.5, 3.0, 1.5, "ATR", "stop distance", "exit"),
    Int("hold", 5, 50, 10, "bars", "longest time in the market", "exit"),
)


def longest(params: Any) -> Any:
    return np.maximum(params["window"], 15)


def clean(candles: Any, p: Params) -> Signals:
    atr = mean_true_range(candles.high, candles.low, candles.close)
    move = (candles.close - sma(candles.close, p.window)) * np.where(p.side == "with", 1.0, -1.0)
    return Signals(
        long=move > p.threshold * atr,
        short=move < -p.threshold * atr,
        stop=p.stop_atr * atr,
        exit_long=candles.close < shift(candles.low, 1),
        exit_short=candles.close > shift(candles.high, 1),
        max_holding=p.hold,
    )


def made(name: str, function: Callable = clean, warmup: Callable = longest, space: Space = SPACE) -> Strategy:
    owned = Space(*space.parameters, constraints=space.constraints, owner=name)
    return Strategy(name, owned, function, warmup)


def altered(**fields: Callable[[Any, Params, Signals], Any]) -> Callable:
    """`clean` with some fields computed by functions of (candles, p, the clean signals)."""

    def signals(candles: Any, p: Params) -> Signals:
        right = clean(candles, p)
        return dataclasses.replace(right, **{name: f(candles, p, right) for name, f in fields.items()})

    return signals


def follower(x: np.ndarray, bars: int = 1) -> np.ndarray:
    return np.concatenate([x[bars:], np.full(min(bars, len(x)), np.nan)])


def centred(x: np.ndarray, half: int) -> np.ndarray:
    return np.convolve(np.pad(x, half, mode="edge"), np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid")


def not_far(candles: Any, p: Params, way: int) -> np.ndarray:
    """Where `clean` does not enter, false where it cannot know."""
    atr = mean_true_range(candles.high, candles.low, candles.close)
    move = (candles.close - sma(candles.close, p.window)) * np.where(p.side == "with", way, -way)
    return move <= p.threshold * atr


def mutates_candles(candles: Any, p: Params) -> Signals:
    decided = clean(candles, p)
    volume = candles.volume
    volume /= 2
    return decided


def mutates_parameters(candles: Any, p: Params) -> Signals:
    decided = clean(candles, p)
    threshold = p.threshold
    threshold += 0.1
    return decided


def dead(candles: Any, p: Params) -> Signals:
    return clean(
        candles, Params("dead", {name: getattr(p, name) if name != "threshold" else 0.7 for name in p})
    )


def half_dead(candles: Any, p: Params) -> Signals:
    """Reads `stop_atr`, but only into bars on which nothing is ever entered."""
    right = clean(candles, p)
    atr = mean_true_range(candles.high, candles.low, candles.close)
    return dataclasses.replace(right, stop=np.where(right.long | right.short, atr, p.stop_atr * atr))


def crowded(candles: Any, p: Params) -> Signals:
    """Every cell is measured against the best of all cells."""
    right = clean(candles, p)
    move = candles.close - sma(candles.close, p.window)
    return dataclasses.replace(right, long=right.long & (move >= move.max(axis=tuple(range(move.ndim - 1)))))


def needs_history(candles: Any, p: Params) -> Signals:
    if candles.close.size < 5:
        raise IndexError("index 4 is out of bounds")
    return clean(candles, p)


def sometimes_short(candles: Any, p: Params) -> Signals:
    right = clean(candles, p)
    return right if candles.close[-1] > candles.close[0] else dataclasses.replace(right, exit_long=None)


GENERATOR = np.random.default_rng(3)

FAULTS: dict[str, tuple[Strategy, str]] = {}


def plant(name: str, words: str, function: Callable = clean, warmup: Callable = longest) -> None:
    FAULTS[name] = made(name, function, warmup), words


READ_LATER = r"may read bars up to its own only, but .* goes from .* It depends on "
# the future
plant("negative_shift", READ_LATER, altered(long=lambda c, p, s: s.long & (follower(c.close) > c.close)))
plant("centred_window", READ_LATER, altered(long=lambda c, p, s: s.long & (c.close > centred(c.close, 5))))
plant("global_scale", READ_LATER, altered(short=lambda c, p, s: s.short & (c.volume > c.volume.mean())))
plant(
    "global_quantile",
    READ_LATER,
    altered(long=lambda c, p, s: s.long & (c.close < np.nanquantile(c.close, 0.8))),
)
plant(
    "stop_of_the_next_bar",
    READ_LATER,
    altered(stop=lambda c, p, s: follower(s.stop[(0,) * (s.stop.ndim - 1)])),
)
plant("exit_knows", READ_LATER, altered(exit_long=lambda c, p, s: follower(c.close) < c.close))
plant("backfill", READ_LATER, altered(short=lambda c, p, s: s.short & (follower(c.volume, 3) > c.volume)))
plant(
    "reversed_mean",
    READ_LATER,
    altered(long=lambda c, p, s: s.long & (c.close > sma(c.close[::-1], 10)[::-1])),
)
# the warm-up
plant(
    "short_warmup",
    "the warm-up alone must give the same decision",
    warmup=lambda p: np.maximum(p["window"] - 3, 15),
)
plant(
    "endless_memory", "the warm-up alone must", altered(long=lambda c, p, s: s.long & (c.close > c.close[0]))
)
plant("fractional_warmup", "the warm-up must be a whole number", warmup=lambda p: p["window"] * 1.5)
plant("no_warmup", "the warm-up must be a whole number of bars, at least 1", warmup=lambda p: p["window"] * 0)
plant(
    "needs_history",
    "must be returned for any candles, but on the first 1 bars it raised IndexError",
    needs_history,
)
# inputs and state
plant("mutates_candles", "left as they are, but it changed the column `volume`", mutates_candles)
plant("mutates_parameters", "left as they are, but it changed the parameter `threshold`", mutates_parameters)
plant(
    "random",
    "the same candles must give",
    altered(long=lambda c, p, s: s.long & (GENERATOR.random(c.close.size) < 0.5)),
)
plant("sometimes_short", "`exit_long` is returned only sometimes", sometimes_short)
# parameters and cells
plant("dead", "every parameter must matter, but `threshold` changes nothing", dead)
plant("half_dead", "every parameter must matter, but `stop_atr` changes nothing", half_dead)
plant("crowded", "decide alone as it does among others", crowded)
# form
plant("float_entry", "`long` must be boolean, but it is float64", altered(long=lambda c, p, s: s.long * 1.0))
plant("float_hold", "`max_holding` must be integer", altered(max_holding=lambda c, p, s: p.hold * 1.5))
plant("integer_stop", "`stop` must be float", altered(stop=lambda c, p, s: p.hold))
plant(
    "time_first",
    r"`exit_long` must broadcast to \(parameters",
    altered(exit_long=lambda c, p, s: s.exit_long[:, None]),
)
plant("entry_on_exit", "`long` may vary over entry", altered(long=lambda c, p, s: s.long & (p.hold > 6)))
plant(
    "no_entries",
    "Signals with entries must be returned",
    altered(long=lambda *_: None, short=lambda *_: None),
)
plant("unknown_opposite", "`on_opposite` must be ignore", altered(on_opposite=lambda *_: "flip"))
plant(
    "float_clause",
    r"clause 2 of 2 of `long` must be boolean, but it is float64",
    altered(long=lambda c, p, s: all_of(s.long, c.close)),
)
plant(
    "time_first_in_a_clause",
    r"clause 2 of 2 of `short` must broadcast to \(parameters",
    altered(short=lambda c, p, s: all_of(s.short, (c.close > 0)[:, None])),
)
# what is unknown
plant(
    "unknown_is_yes",
    "what is unknown must count as a no, but `long` at bar .* holds after 40 lost bars",
    altered(long=lambda c, p, s: ~not_far(c, p, 1), short=lambda c, p, s: ~not_far(c, p, -1)),
)
plant(
    "unknown_clause_is_yes",
    "what is unknown must count as a no, but clause 2 of 2 of `long` at bar",
    altered(
        long=lambda c, p, s: all_of(c.close > 0, ~not_far(c, p, 1)),
        short=lambda c, p, s: all_of(c.close > 0, ~not_far(c, p, -1)),
    ),
)
# symmetry
plant(
    "not_mirrored",
    "`long` must become `short` on mirrored",
    altered(short=lambda c, p, s: s.short & (c.close < c.open)),
)
plant("tilted", "must become", altered(short=lambda c, p, s: clean(c, _more(p)).short))
plant(
    "tilted_stop",
    "`stop` must be as far",
    altered(stop=lambda c, p, s: np.where(s.long, s.stop, 1.3 * s.stop)),
)
plant(
    "tilted_exit", "`exit_long` must become", altered(exit_long=lambda c, p, s: c.close < shift(c.close, 1))
)
plant("absolute_price", "prices x 1024 must leave", altered(long=lambda c, p, s: s.long & (c.close < 11_000)))


def _more(p: Params) -> Params:
    return Params(
        "more", {name: getattr(p, name) * 1.15 if name == "threshold" else getattr(p, name) for name in p}
    )
