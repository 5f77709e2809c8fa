"""The kernels of tail and break-even against numpy's quantile and scipy's root finder."""

from __future__ import annotations

import math

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from quantlab.backtest.metric_kernels import break_even, cost_near_zero, losses_needed, tail, tail_of_gains

RETURNS = hnp.arrays(np.float64, st.integers(0, 80), elements=st.floats(-0.5, 0.5, width=32))
TIES = hnp.arrays(np.float64, st.integers(0, 60), elements=st.sampled_from([-0.02, -0.01, 0.0, 0.01]))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(RETURNS | TIES, st.integers(0, 120))
def test_tail_is_the_quantile_of_all_days(active: np.ndarray, idle: int) -> None:
    assume(len(active) + idle > 0)
    daily = np.concatenate([active, np.zeros(idle)])
    quantile = np.quantile(daily, 0.05)
    # the room behind the first `lost` values is scratch that must not be read
    losses = np.concatenate([active[active < 0], [np.nan, -9.0]])
    gains = int((active > 0).sum())
    lost, scratch = len(losses) - 2, np.full(len(losses), np.nan)
    *found, settled = tail(losses, lost, lost, gains, len(daily), scratch)
    # gains decide it once they reach down to the quantile or to the return next to it
    assert settled == (int(0.05 * (len(daily) - 1)) + 1 < len(daily) - gains)
    if not settled:
        found = tail_of_gains(daily.copy())
    assert found[0] == pytest.approx(-quantile, rel=1e-15, abs=0)
    assert found[1] == pytest.approx(-daily[daily <= quantile].mean(), rel=1e-13, abs=0)
    assert (losses[:lost] == active[active < 0]).all()
    # how many of the losses are kept changes no bit, if they are enough
    for limit in np.unique(losses[:lost]):
        kept = losses[:lost][losses[:lost] < limit]
        if len(kept) >= losses_needed(lost, len(daily)):
            assert tail(kept, len(kept), lost, gains, len(daily), scratch)[:2] == tuple(found)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(hnp.arrays(np.float64, st.integers(1, 90), elements=st.floats(-0.0625, 0.5, width=32)))
def test_tail_of_gains_is_the_quantile(daily: np.ndarray) -> None:
    quantile = np.quantile(daily, 0.05)
    found = tail_of_gains(daily.copy())
    assert found[0] == pytest.approx(-quantile, rel=1e-15, abs=0)
    assert found[1] == pytest.approx(-daily[daily <= quantile].mean(), rel=1e-13, abs=1e-300)


def test_tail_by_hand() -> None:
    losses = np.array([-0.03, -0.01])
    # 21 days, two of them gains: the 5 % quantile is the second lowest
    assert tail(losses, 2, 2, 2, 21, np.empty(2)) == pytest.approx((0.01, 0.02, True))
    # 41 days: the third lowest, a day without a position
    assert tail(losses, 2, 2, 2, 41, np.empty(2)) == pytest.approx((0.0, 0.04 / 39, True))


def multipliers(
    ratio: np.ndarray, stop: np.ndarray, f: float, r: float, leverage: float, c: float
) -> list[float]:
    """Re-priced multipliers as the definition of the metric has them, one trade at a time (P = 1)."""
    out = []
    for signed, distance in zip(ratio, stop, strict=True):
        q = abs(signed)
        units = min(r / distance, leverage / (1 + c)) if r > 0 else f / (1 + c)
        if signed > 0:
            out.append(1 - units * (1 + c) + units * q * (1 - c))
        else:
            out.append(1 + units * (1 - c) - units * q * (1 + c))
    return out


def oracle(ratio: np.ndarray, stop: np.ndarray, f: float, r: float, leverage: float) -> float:
    """Root in bps by Brent's method on the sum of logs, -40 standing for a multiplier at or below zero."""

    def growth(c: float) -> float:
        found = multipliers(ratio, stop, f, r, leverage, c)
        return math.fsum(math.log(m) for m in found) if min(found) > 0 else -40.0 * len(found)

    return 1e4 * brentq(growth, -1 + 1e-9, 1 - 1e-9, xtol=1e-15, rtol=1e-14, maxiter=500)


SIZINGS = st.one_of(
    st.tuples(st.sampled_from([1.0, 0.5, 0.1]), st.just(0.0), st.just(1.0)),
    st.tuples(st.just(1.0), st.sampled_from([0.01, 0.1]), st.sampled_from([1.0, 3.0])),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(0.7, 1.4)),
    st.integers(0, 2**40 - 1),
    SIZINGS,
    st.floats(0.005, 0.2),
)
def test_break_even_is_the_root(
    q: np.ndarray, sides: int, sizing: tuple[float, float, float], stop: float
) -> None:
    ratio = np.array([v if sides >> i & 1 else -v for i, v in enumerate(q)])
    distances = np.full(len(q), stop)
    room = np.append(ratio, np.nan), np.append(distances, np.nan)
    found = break_even_bps(*room, len(q), *sizing)
    assert found == pytest.approx(oracle(ratio, distances, *sizing), rel=1e-9, abs=1e-7)


def break_even_bps(
    ratio: np.ndarray,
    stop: np.ndarray,
    size: int,
    f: float,
    r: float,
    leverage: float,
    guess: float = math.nan,
) -> float:
    return 1e4 * break_even(ratio, stop, size, math.nan, f, r, leverage)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    hnp.arrays(np.float64, st.integers(1, 300), elements=st.floats(0.9, 1.12)),
    st.integers(0, 2**60 - 1),
    st.sampled_from([1.0, 0.5, 0.1]),
)
def test_cost_near_zero_is_the_root_wherever_it_says_so(q: np.ndarray, sides: int, f: float) -> None:
    ratio = np.array([v if sides >> (i % 60) & 1 else -v for i, v in enumerate(q)])
    free = np.array(multipliers(ratio, np.ones(len(q)), f, 0.0, 1.0, 0.0))
    gamma = f * np.where(ratio > 0, q, 1.0) / free
    sums = [(gamma**k).sum() for k in range(1, 7)]
    cost, near = cost_near_zero(np.log(free).sum(), *sums)
    root = oracle(ratio, np.ones(len(q)), f, 0.0, 1.0)
    assert near == (abs(root) < 100) or 90 < abs(root) < 700
    if near:
        assert 1e4 * cost == pytest.approx(root, rel=1e-9, abs=1e-7)


@pytest.mark.parametrize(
    ("ratio", "bps"),
    [
        # one long from 100 to 102: 1.02 (1 - c) = 1 + c
        ([1.02], 1e4 * 0.02 / 2.02),
        # one short from 100 to 98: 1 - c = 0.98 (1 + c)
        ([-0.98], 1e4 * 0.02 / 1.98),
        ([1.0], 0.0),
        ([1.1, 1 / 1.1], 0.0),
        ([0.98], -1e4 * 0.02 / 1.98),
    ],
)
def test_break_even_by_hand(ratio: list[float], bps: float) -> None:
    found = break_even_bps(np.array(ratio), np.ones(len(ratio)), len(ratio), 1.0, 0.0, 1.0)
    assert found == pytest.approx(bps, rel=1e-12, abs=1e-9)


def test_break_even_without_a_trade_is_undefined() -> None:
    assert math.isnan(break_even(np.empty(0), np.empty(0), 0, math.nan, 1.0, 0.0, 1.0))


def test_break_even_of_thousands_of_trades_does_not_overflow() -> None:
    rng = np.random.default_rng(5)
    for centre in (1.01, 0.99):
        ratio = centre * np.exp(rng.normal(0, 0.01, 30_000))
        stop = np.ones(len(ratio))
        found = break_even_bps(ratio, stop, len(ratio), 1.0, 0.0, 1.0)
        assert found == pytest.approx(oracle(ratio, stop, 1.0, 0.0, 1.0), rel=1e-9)
