"""The known ways to fool oneself with these strategies, each as a market on which the fault would show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quantlab import strategies
from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import Execution
from quantlab.backtest.sweep import sweep
from quantlab.errors import InputError
from quantlab.indicators import score_at_least, sma
from quantlab.market.candles import Candles
from quantlab.market.sample import sample_candles
from quantlab.market.synthetic import garch
from quantlab.space import Choice, Float
from quantlab.testing.case import arrays, entered

HOUR = 3_600_000
LIBRARY = [
    name for name in strategies.names() if strategies.get(name).signals.__module__.startswith("quantlab.")
]
BTC = sample_candles()


def candles(rows: np.ndarray, first_ms: int = 0) -> Candles:
    return Candles.from_arrays(
        "test", "BTC/USD", "1h", first_ms + HOUR * np.arange(len(rows)), *np.array(rows).T
    )


def decided(name: str, market: Candles, **cell: Any) -> dict[str, list[int]]:
    strategy = strategies.get(name)
    found = arrays(strategy.signals(market, strategy.space.points([cell]).params()), 1)
    return {side: np.flatnonzero(found[side][0]).tolist() for side in ("long", "short")}


def quiet(n: int, price: float = 100.0) -> np.ndarray:
    """Bars with a range of 1 around a price, on volume 1, one up and one down."""
    up = np.where(np.arange(n) % 2 == 0, 0.2, -0.2)
    return np.column_stack(
        [np.full(n, price) - up, np.full(n, price + 0.5), np.full(n, price - 0.5), price + up, np.ones(n)]
    )


@pytest.mark.parametrize("name", LIBRARY)
def test_fractions_are_never_percent(name: str) -> None:
    space = strategies.get(name).space
    for p in space.parameters:
        if isinstance(p, Float) and p.unit == "fraction":
            assert p.high <= 0.2
            with pytest.raises(InputError, match="parameters are fractions, not percent"):
                space.grid(**{p.name: 100 * p.high})


@pytest.mark.parametrize("name", LIBRARY)
def test_a_pair_is_two_values_and_never_a_range(name: str) -> None:
    space = strategies.get(name).space
    for p in space.parameters:
        if not isinstance(p, Choice):
            assert space.grid(**{p.name: (p.low, p.high)}).axes[p.name].tolist() == [p.low, p.high]


def test_a_higher_bar_counts_from_its_close_only() -> None:
    """Until the last base bar of the sweeping higher bar is known, whatever it shows is nobody's signal."""
    rows = quiet(24 * 4 * 6)
    four = slice(4 * 100, 4 * 101)
    rows[4 * 97 : 4 * 98, 2] = 98.0  # a swing low of the higher bars
    rows[four, 2] = 97.0  # swept: the low of all four base bars
    rows[four.stop + 2] = [100.0, 102.0, 99.9, 101.5, 1.0]  # closes above the sweep bar's high
    cell = {"htf_multiple": 4, "swing_lookback": 15, "sweep_depth": 0.001}
    assert decided("htf_sweep", candles(rows), **cell)["long"] == [four.stop + 2]
    early = rows.copy()
    early[four.stop - 2] = [100.0, 102.0, 97.0, 101.5, 1.0]  # above all before, but inside the sweep bar
    assert decided("htf_sweep", candles(early[: four.stop + 2]), **cell)["long"] == []
    undone = rows.copy()
    undone[four.stop - 1, 3] = 97.5  # the higher bar closes below the level: no sweep
    assert decided("htf_sweep", candles(undone), **cell)["long"] == []


@pytest.mark.parametrize(("age", "found"), [(3, True), (15, True), (16, False)])
def test_a_swing_grows_old_by_higher_bars(age: int, found: bool) -> None:
    rows, sweep_bar = quiet(24 * 4 * 6), 100
    rows[4 * (sweep_bar - age) : 4 * (sweep_bar - age + 1), 2] = 98.0
    rows[4 * sweep_bar : 4 * sweep_bar + 4, 2] = 97.0
    rows[4 * sweep_bar + 6] = [100.0, 102.0, 99.9, 101.5, 1.0]
    cell = {"htf_multiple": 4, "swing_lookback": 15, "sweep_depth": 0.001}
    assert decided("htf_sweep", candles(rows), **cell)["long"] == [4 * sweep_bar + 6] * found


def test_higher_bars_lie_on_the_clock_and_not_on_the_first_candle() -> None:
    cell = {"htf_multiple": 12, "swing_lookback": 15, "sweep_depth": 0.0005, "mss_bars": 48}
    whole = decided("htf_sweep", BTC[:4_000], **cell)
    assert len(whole["long"]) > 10
    for first in (1, 5, 7):
        part = decided("htf_sweep", BTC[first:4_000], **cell)
        warm = first + strategies.get("htf_sweep").warmup(cell)
        for side, bars in whole.items():
            assert [t + first for t in part[side]] == [t for t in bars if t >= warm - 1]


def falling_twice() -> np.ndarray:
    """A long slide, a sharp low, and 20 bars later a lower low on volume after a slower fall."""
    n = 1_000
    close = 300.0 - 0.1 * np.arange(n)
    rows = np.column_stack([close + 0.1, close + 0.3, close - 0.3, close, np.ones(n)])
    for first, depth in ((900, 8.0), (925, 6.0)):
        for k, part in enumerate((0.4, 0.7, 1.0, 0.6, 0.3)):
            rows[first - 2 + k, 1:4] -= depth * part
            rows[first - 2 + k, 0] = rows[first - 3 + k, 3]
            rows[first - 2 + k, 1] = rows[first - 2 + k, [0, 1, 3]].max()
            rows[first - 2 + k, 2] = min(rows[first - 2 + k, 2], rows[first - 2 + k, 0])
    rows[903:923, :4] += 0.05 * np.arange(20)[:, None]
    rows[925, 4] = 9.0
    rows[925, 2] = rows[900, 2] - 0.5
    return rows


def test_a_divergence_counts_from_the_confirmation_of_its_swing() -> None:
    """The bars before it rise too; taking the swing on its own bar would enter there."""
    market = candles(falling_twice())
    assert [market.close[t] > market.open[t] for t in (926, 927, 928)] == [True, True, False]
    bars = decided("divergence_capitulation", market, target_at="reward_risk")["long"]
    assert all(t > 927 for t in bars)
    rising = falling_twice()
    rising[929] = [rising[929, 0], rising[929, 0] + 0.6, rising[929, 0] - 0.3, rising[929, 0] + 0.4, 1.0]
    assert decided("divergence_capitulation", candles(rising), target_at="reward_risk")["long"] == [929]
    undone = rising.copy()
    undone[927, 2] = undone[925, 2] - 1.0  # a lower low within the two bars that confirm
    assert decided("divergence_capitulation", candles(undone), target_at="reward_risk")["long"] == []


def test_a_divergence_whose_average_is_too_near_is_not_taken() -> None:
    strategy = strategies.get("divergence_capitulation")
    found = arrays(strategy.signals(BTC, strategy.space.grid(volume_spike=2.0).params()), 0)
    skipped = entered(found) & np.isnan(found["target"])
    assert 0 < skipped.sum() < entered(found).sum()
    run = run_cell(strategy, BTC, {"volume_spike": 2.0})
    assert not set(run.trades["decision_bar"].tolist()) & set(np.flatnonzero(skipped).tolist())


def test_the_breakout_bar_is_no_part_of_what_it_breaks() -> None:
    """A channel or range that contained the bar itself could never be left."""
    rows = quiet(60)
    rows[50] = [100.0, 103.2, 99.9, 103.0, 9.0]
    assert decided("breakout", candles(rows), period=20)["long"] == [50]
    assert decided("volume_breakout", candles(rows), consolidation_bars=10)["long"] == [50]
    rows[:, :4] = 200 - rows[:, [0, 2, 1, 3]]
    assert decided("breakout", candles(rows), period=20)["short"] == [50]
    assert decided("volume_breakout", candles(rows), consolidation_bars=10) == {"long": [], "short": []}
    assert decided("volume_breakout", candles(rows), consolidation_bars=10, sides="both")["short"] == [50]


def test_usual_volume_is_that_of_the_bars_before() -> None:
    """With the bar itself in the mean, 4 times the usual would be only 3.5 times it."""
    rows = quiet(60)
    rows[50] = [100.0, 103.2, 99.9, 103.0, 3.4]
    market = candles(rows)
    assert market.volume[50] / sma(market.volume, 20)[50] < 3.3
    assert decided("volume_breakout", market, volume_multiple=3.3)["long"] == [50]
    assert decided("volume_breakout", market, volume_multiple=3.45)["long"] == []


@pytest.mark.parametrize(("weak", "strong", "found"), [(0.6, 1.75, [52]), (0.4, 1.75, []), (0.6, 2.5, [])])
def test_a_spring_breaks_on_little_volume_and_recovers_on_much(
    weak: float, strong: float, found: list[int]
) -> None:
    rows = quiet(60)
    rows[50] = [99.8, 99.9, 99.0, 99.2, 0.5]
    rows[51] = [99.2, 99.4, 99.1, 99.3, 1.0]
    rows[52] = [99.3, 100.2, 99.3, 100.1, 2.0]
    cell = {"break_depth": 0.002, "weak_volume": weak, "strong_volume": strong}
    assert decided("failed_breakdown", candles(rows), **cell)["long"] == found


def test_a_break_must_not_move_the_range_that_it_broke() -> None:
    """Judged by a range that contains the break, the recovery would only have to pass the spring's low."""
    rows = quiet(60)
    rows[50] = [99.8, 99.9, 98.0, 98.2, 0.5]
    rows[52] = [98.2, 99.3, 98.1, 99.2, 2.0]  # above the spring's low, still below the range
    rows[51] = [98.2, 98.4, 98.1, 98.2, 1.0]
    assert decided("failed_breakdown", candles(rows), break_depth=0.002, weak_volume=0.6)["long"] == []


def test_a_panic_is_confirmed_by_a_later_bar_and_only_once() -> None:
    rows = np.vstack([quiet(430), quiet(30)])
    rows[400] = [100.0, 100.2, 90.0, 93.0, 20.0]
    rows[401:] -= [7, 7, 7, 7, 0]
    rows[401] = [93.0, 93.2, 91.5, 92.5, 1.0]  # falls on
    rows[402] = [92.5, 94.0, 92.4, 93.5, 1.0]  # recovers
    rows[403] = [93.5, 95.0, 93.4, 94.5, 1.0]  # rises further: the panic is spent
    cell = {"velocity": 0.03, "panic_score": 0.55, "wick_ratio": 1.5}
    assert decided("capitulation_reversal", candles(rows), confirmation_bars=5, **cell)["long"] == [402]
    assert decided("capitulation_reversal", candles(rows), confirmation_bars=1, **cell)["long"] == []


def test_a_score_of_six_tenths_is_reached_by_three_that_add_up_to_it() -> None:
    """0.3 + 0.2 + 0.1 falls short of 0.6 in binary fractions when added in another order."""
    assert 0.1 + 0.2 + 0.3 != 0.6
    flags = [np.ones(1, bool)] * 3
    for weights in ([0.1, 0.2, 0.3], [0.3, 0.2, 0.1]):
        assert np.asarray(score_at_least(flags, weights, 0.6)).all()


def test_removing_lost_bars_would_shorten_the_windows() -> None:
    """The same market with its lost bars cut out and the clock closed up decides otherwise: they are kept."""
    market = garch(4_000, seed=2)
    lost = np.random.default_rng(0).random(len(market)) < 0.1
    columns = [getattr(market, c) for c in ("open", "high", "low", "close", "volume")]
    masked = Candles.from_arrays(
        "test", "BTC/USD", "1h", market.timestamps, *(np.where(lost, np.nan, c) for c in columns)
    )
    kept = np.flatnonzero(~lost)
    shortened = candles(np.column_stack([c[kept] for c in columns]))
    differing = 0
    for name, cell in (("momentum", {"lookback": 24}), ("breakout", {}), ("mean_reversion", {})):
        there = decided(name, masked, **cell)["long"]
        assert not lost[there].any()
        differing += there != kept[decided(name, shortened, **cell)["long"]].tolist()
    assert differing == 3


def test_momentum_counts_bars_of_time() -> None:
    close = np.linspace(100, 120, 60)
    rows = np.column_stack([close, close + 0.1, close - 0.1, close, np.ones(60)])
    rows[30] = np.nan
    bars = decided("momentum", candles(rows), lookback=20, threshold=0.005)["long"]
    assert bars == [t for t in range(20, 60) if t not in (30, 50)]


@pytest.mark.parametrize("sides", ["long", "short", "both"])
def test_random_entries_are_as_many_and_as_long_as_asked(sides: str) -> None:
    strategy, asked, holding = strategies.get("random_entry"), 150.0, 20
    grid = strategy.space.grid(trades_per_year=asked, holding=holding, seed=range(60), sides=sides)
    surface = sweep(strategy, BTC, grid, progress=False)
    years = len(BTC) / (365 * 24)
    assert surface.metrics["trades"].mean() / years == pytest.approx(asked, rel=0.02)
    share = asked * holding / (365 * 24)
    assert surface.metrics["exposure"].mean() == pytest.approx(share, rel=0.03)
    assert surface.metrics["trades"].std() > 3
    run = run_cell(strategy, BTC, grid.cell((7,)))
    assert set(run.closed["bars_held"].tolist()) == {holding}
    both = {"long": {1}, "short": {-1}, "both": {-1, 1}}
    assert set(run.trades["side"].tolist()) == both[sides]


def test_random_entries_of_a_part_are_part_of_the_random_entries() -> None:
    """They follow from the clock and the seed: no state, and no price."""
    whole = decided("random_entry", BTC, trades_per_year=300.0, sides="both")
    part = decided("random_entry", BTC[5_000:6_000], trades_per_year=300.0, sides="both")
    for side in ("long", "short"):
        wanted = [t - 5_000 for t in whole[side] if 5_001 <= t < 6_000]
        known = [t for t in wanted if not np.isnan(BTC.close[t + 5_000])]
        assert part[side] == known
        assert len(known) > 5
    other = replace(BTC, close=BTC.close[::-1].copy(), open=BTC.open[::-1].copy())
    lost = BTC.missing | other.missing | np.isnan(other.close)
    again = decided("random_entry", other, trades_per_year=300.0, sides="both")
    assert [t for t in again["long"] if not lost[t]] == [t for t in whole["long"] if not lost[t]]


def test_seeds_are_independent() -> None:
    strategy = strategies.get("random_entry")
    cells = strategy.space.points([{"trades_per_year": 2000.0, "holding": 1, "seed": s} for s in range(40)])
    drawn = arrays(strategy.signals(BTC, cells.params()), 1)["long"][:, 1:]
    chance = drawn.mean()
    together = np.corrcoef(drawn)[np.triu_indices(40, 1)]
    assert np.abs(drawn.mean(axis=1) - chance).max() < 5 * np.sqrt(chance / drawn.shape[1])
    assert np.abs(together).max() < 5 / np.sqrt(drawn.shape[1])


def test_buy_and_hold_is_the_market_less_one_entry_and_flat_is_nothing() -> None:
    market = BTC[:3_000]
    free = Execution(costs=replace(Execution().costs, maker=0.0, taker=0.0, slippage_bps=0.0))
    run = run_cell(strategies.get("buy_and_hold"), market, {}, free)
    assert len(run.trades) == 1
    assert run.metrics["trades"] == 0  # never closed
    assert run.equity[-1] == pytest.approx(market.close[-1] / market.open[1], rel=1e-12)
    idle = run_cell(strategies.get("flat"), market, {})
    assert len(idle.trades) == 0
    assert (idle.equity == 1).all()
    for name in ("buy_and_hold", "flat"):
        surface = sweep(name, market, progress=False)
        assert surface.shape == ()
