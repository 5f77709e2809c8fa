from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_liquidity_sweep import Market, decide

from quantlab import strategies
from quantlab.backtest.parts import _shapes
from quantlab.market.candles import Candles
from quantlab.market.sample import sample_candles
from quantlab.testing.case import arrays, entered

SWEEP = strategies.get("liquidity_sweep")
BTC = sample_candles()
CELLS = [
    {},
    {"pierce_depth": 0.0005, "rejection_bars": 5, "volume_spike": 1.5, "min_touches": 1},
    {"pierce_depth": 0.001, "rejection_bars": 3, "volume_spike": 1.5, "level_lookback": 20, "min_touches": 1},
    {
        "pierce_depth": 0.001,
        "rejection_bars": 4,
        "level_lookback": 200,
        "min_touches": 3,
        "level_tolerance": 0.003,
    },
    {"pierce_depth": 0.0005, "rejection_bars": 2, "volume_spike": 1.5, "reversal_size": 1.5, "stop_atr": 3.0},
    {"rejection_bars": 4, "volume_spike": 1.5, "min_touches": 1, "stop_atr": 0.5, "stop_at": "extreme"},
]


def compare(candles: Candles, cells: list[dict[str, Any]]) -> int:
    """Assert that every cell decides as the plain rule does; return the number of entries."""
    points = SWEEP.space.points(cells)
    found = arrays(SWEEP.signals(candles, points.params()), 1)
    market = Market(*(getattr(candles, c).tolist() for c in ("open", "high", "low", "close", "volume")))
    entries = 0
    for i in range(points.size):
        plain = decide(market, points.cell((i,)))
        for side in ("long", "short"):
            bars = np.flatnonzero(plain[side]).tolist()
            assert np.flatnonzero(found[side][i]).tolist() == bars, (side, points.cell((i,)))
            entries += len(bars)
        for name in ("stop", "target"):
            row = found[name][i if len(found[name]) > 1 else 0]
            np.testing.assert_allclose(row[14:], plain[name][14:], rtol=1e-11)
        assert found["max_holding"][i, 0] == points.cell((i,))["max_holding"]
    return entries


@pytest.mark.parametrize("first", [400, 8_000, 14_000])
def test_the_plain_rule_on_real_candles(first: int) -> None:
    assert compare(BTC[first : first + 1_000], CELLS) > 20


def ranging(seed: int, n: int, tick: float, lost_share: float) -> Candles:
    """Hours on a tick grid inside a narrow range, with stop hunts, volume spikes and lost bars."""
    rng = np.random.default_rng(seed)
    close = 1000 + tick * rng.integers(-5, 6, n)
    open_ = np.append(1000.0, close[:-1]) + tick * rng.integers(-1, 2, n)
    wick = tick * rng.choice([0, 1, 2, 6], (2, n), p=[0.3, 0.3, 0.2, 0.2])
    high, low = np.maximum(open_, close) + wick[0], np.minimum(open_, close) - wick[1]
    volume = rng.choice([0.0, 1.0, 2.0, 15.0], n, p=[0.05, 0.5, 0.25, 0.2])
    lost = (rng.random(n) < lost_share) & (np.arange(n) > 0)
    columns = [np.where(lost, np.nan, c) for c in (open_, high, low, close, volume)]
    return Candles.from_arrays("test", "BTC/USD", "1h", 3_600_000 * np.arange(n), *columns)


MARKETS = st.builds(
    ranging,
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 200),
    tick=st.sampled_from([0.5, 1.0, 2.0]),
    lost_share=st.sampled_from([0.0, 0.0, 0.03]),
)
CELL = st.fixed_dictionaries(
    {
        "pierce_depth": st.sampled_from([0.0005, 0.001, 0.003]),
        "rejection_bars": st.integers(1, 5),
        "volume_spike": st.sampled_from([1.5, 2.0]),
        "reversal_size": st.sampled_from([0.5, 0.75]),
        "level_lookback": st.sampled_from([20, 33, 80]),
        "min_touches": st.integers(1, 4),
        "level_tolerance": st.sampled_from([0.0005, 0.001, 0.003]),
        "stop_at": st.sampled_from(["atr", "extreme"]),
    }
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(MARKETS, st.lists(CELL, min_size=1, max_size=3))
def test_the_plain_rule_on_generated_candles(candles: Candles, cells: list[dict[str, Any]]) -> None:
    compare(candles, cells)


def test_the_generated_candles_have_something_to_sweep() -> None:
    cell = {**CELLS[1], "level_lookback": 20}
    assert sum(compare(ranging(seed, 200, 1.0, 0.02), [cell]) for seed in range(10)) > 10


def hunted() -> list[list[float]]:
    """Two lows at 100, a bar to 99 on tenfold volume, and a close back above."""
    rows = [[102.0, 103.0, 101.0, 102.0, 1.0] for _ in range(40)]
    rows[20][2] = rows[28][2] = 100.0
    rows[35] = [101.5, 102.0, 99.0, 99.5, 10.0]
    rows[36] = [99.5, 103.0, 99.4, 102.5, 1.0]
    return rows


def decided(rows: list[list[float]], **cell: Any) -> dict[str, list[int]]:
    candles = Candles.from_arrays(
        "test", "BTC/USD", "1h", 3_600_000 * np.arange(len(rows)), *np.array(rows).T
    )
    found = arrays(SWEEP.signals(candles, SWEEP.space.points([{"level_lookback": 20, **cell}]).params()), 1)
    return {side: np.flatnonzero(found[side][0]).tolist() for side in ("long", "short")}


def test_a_stop_hunt_by_hand() -> None:
    assert decided(hunted()) == {"long": [36], "short": []}


def test_a_stop_at_the_extreme_is_never_nearer_and_costs_nothing_where_nobody_asks_for_it() -> None:
    axes = {"rejection_bars": [1, 3, 5], "stop_atr": [0.5, 3.0]}
    plain = arrays(SWEEP.signals(BTC, SWEEP.space.grid(**axes).params()), 2)["stop"]
    extreme = arrays(SWEEP.signals(BTC, SWEEP.space.grid(**axes, stop_at="extreme").params()), 2)["stop"]
    both = arrays(SWEEP.signals(BTC, SWEEP.space.grid(**axes, stop_at=["extreme", "atr"]).params()), 3)[
        "stop"
    ]
    assert plain.shape == (1, 2, len(BTC))
    assert extreme.shape == (3, 2, len(BTC))
    known = ~np.isnan(extreme)
    assert (extreme >= plain)[known].all()
    assert 0.01 < (extreme > plain)[known].mean() < 0.99
    assert np.array_equal(both[:, :, 0], extreme, equal_nan=True)
    assert np.array_equal(both[:, :, 1], np.broadcast_to(plain, extreme.shape), equal_nan=True)


def test_a_sweep_counts_the_axes_that_a_choice_brings() -> None:
    cells = [SWEEP.space.grid(rejection_bars=[1, 3], stop_at=choice) for choice in ("atr", "extreme")]
    for order in (cells, cells[::-1]):
        shapes = [_shapes(SWEEP, BTC, grid) for grid in order]
        assert shapes[0] != shapes[1]


@pytest.mark.parametrize(
    "clause",
    [{"rejection_bars": 1}, {"min_touches": 3}, {"level_lookback": 200}, {"reversal_size": 2.0}],
    ids=lambda clause: next(iter(clause)),
)
def test_each_clause_can_say_no(clause: dict[str, Any]) -> None:
    assert decided(hunted(), **clause)["long"] == []


def test_the_pierce_must_be_deep_and_on_volume() -> None:
    shallow, quiet = hunted(), hunted()
    shallow[35][2], shallow[35][3], shallow[36][0], shallow[36][2] = 99.9, 100.5, 100.5, 100.4
    quiet[35][4] = 1.9
    assert decided(shallow, pierce_depth=0.002)["long"] == []
    assert decided(shallow, pierce_depth=0.0005)["long"] == [36]
    assert decided(quiet)["long"] == []


def test_the_warmup_is_what_the_oldest_touch_needs() -> None:
    """With `level_lookback` + 8 bars every decision is the same, with one less some are not."""
    candles = BTC[:4_000]
    axes = {"pierce_depth": [0.0005, 0.001], "min_touches": [1, 2, 3], "level_tolerance": [0.001, 0.003]}
    grid = SWEEP.space.grid(**axes, rejection_bars=5, volume_spike=1.5, level_lookback=20)
    assert int(SWEEP.warmup(grid.mesh()).max()) >= 28
    unguarded = inspect.unwrap(SWEEP.signals)
    whole = entered(arrays(SWEEP.signals(candles, grid.params()), 3))
    differing = {}
    for bars in (27, 28):
        differing[bars] = 0
        for t in np.flatnonzero(whole.any(axis=(0, 1, 2))).tolist():
            live = entered(arrays(unguarded(candles[t - bars + 1 : t + 1], grid.params()), 3))
            differing[bars] += not np.array_equal(live[..., -1], whole[..., t])
    assert differing[28] == 0 < differing[27]
