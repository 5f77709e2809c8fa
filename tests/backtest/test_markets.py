"""Several markets in one call: each is the sweep of its market alone, and what holds on all of them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from quantlab import strategies
from quantlab.backtest import sweep as sweep_module
from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import Execution
from quantlab.backtest.markets import MarketSurface
from quantlab.backtest.metrics import METRICS, definition
from quantlab.backtest.surface import Surface
from quantlab.backtest.sweep import sweep
from quantlab.errors import InputError, UnknownNameError
from quantlab.market.resample import resample
from quantlab.market.sample import sample_candles
from quantlab.market.synthetic import garch

BTC = sample_candles()[3_000:5_000]
SLOW = resample(BTC, "4h")
MADE = garch(1_500, seed=5)
MARKETS = [BTC, SLOW, MADE]
SWEEP, CROSS = strategies.get("liquidity_sweep"), strategies.get("sma_cross")
CROSSES = CROSS.space.grid(fast=[5, 10, 20, 40], slow=[15, 30, 60])
GRID = SWEEP.space.grid(pierce_depth=[0.0005, 0.002], level_lookback=[20, 50], stop_atr=[0.5, 1.5, 3.0])


def swept(candles: Any, cells: Any = CROSSES, **how: Any) -> Any:
    return sweep(cells.space.owner, candles, cells, progress=False, **how)


def same(a: Surface, b: Surface) -> bool:
    return a.key == b.key and all(a[name].tobytes() == b[name].tobytes() for name in METRICS)


@pytest.fixture(scope="module")
def crossed() -> MarketSurface:
    return swept(MARKETS)


@pytest.mark.parametrize("cells", [CROSSES, GRID, CROSS.space.points([{"fast": 5}, {"fast": 9, "slow": 70}])])
@pytest.mark.parametrize("how", [{}, {"budget": 2**18}, {"threads": 1}])
def test_each_market_is_its_own_sweep(cells: Any, how: dict[str, Any]) -> None:
    together = swept(MARKETS, cells, **how)
    assert isinstance(together, MarketSurface)
    for place, candles in enumerate(MARKETS):
        alone = swept(candles, cells)
        assert same(together.market(place), alone)
        assert same(together.market(together.labels[place]), alone)
        assert together.market(place).identity == alone.identity


def test_markets_lie_on_the_first_axis(crossed: MarketSurface) -> None:
    assert len(crossed) == 3
    assert crossed.shape == crossed["sharpe"].shape == (3, 4, 3)
    assert crossed.size == 36
    for place, surface in enumerate(crossed):
        assert all(np.array_equal(crossed.metrics[m][place], surface[m], equal_nan=True) for m in METRICS)
    assert list(crossed.axes) == ["market", "fast", "slow"]
    assert tuple(crossed.axes["market"]) == crossed.labels
    assert crossed.labels[:2] == (f"{BTC.exchange} {BTC.symbol} 1h", f"{BTC.exchange} {BTC.symbol} 4h")
    assert len(set(crossed.metrics)) == len(METRICS)


def test_periods_of_one_market_are_told_apart() -> None:
    together = swept([BTC[:1_000], BTC[1_000:], MADE])
    assert all(" to " in label for label in together.labels[:2])
    assert len(set(together.labels)) == 3
    assert " to " not in together.labels[2]


def plain_aggregate(name: str, aggregate: str, values: list[float]) -> float:
    if any(np.isnan(values)):
        return float("nan")
    if name == "trades" or aggregate == "min":
        return min(values)
    if aggregate == "worst":
        return max(values) if definition(name).better == "lower" else min(values)
    middle = sorted(values)[len(values) // 2]
    return {"max": max(values), "mean": sum(values) / len(values), "median": middle}[aggregate]


@pytest.mark.parametrize("aggregate", ["worst", "min", "median", "mean", "max"])
def test_an_aggregate_is_taken_cell_by_cell(crossed: MarketSurface, aggregate: Any) -> None:
    across = crossed.across(aggregate)
    assert across.shape == (4, 3)
    for place in itertools.product(range(4), range(3)):
        for name in METRICS:
            expected = plain_aggregate(name, aggregate, [float(s[name][place]) for s in crossed])
            assert across[name][place] == pytest.approx(expected, rel=1e-12, nan_ok=True)
            assert across.cell(place).metrics[name] == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert across.sel(fast=10)["sharpe"].tobytes() == across["sharpe"][1].tobytes()


def test_the_best_cell_holds_on_every_market(crossed: MarketSurface) -> None:
    best = crossed.best(min_trades=5)
    worst = np.full((4, 3), np.inf)
    for surface in crossed:
        worst = np.minimum(worst, np.where(surface["trades"] >= 5, surface["sharpe"], np.nan))
    assert best.metrics["sharpe"] == np.nanmax(worst)
    assert best.index == np.unravel_index(np.nanargmax(worst), worst.shape)
    assert list(best.markets) == list(crossed.labels)
    for (label, cell), candles in zip(best.markets.items(), MARKETS, strict=True):
        assert dict(cell.metrics) == dict(run_cell("sma_cross", candles, best.params).metrics)
        assert cell.metrics["sharpe"] >= best.metrics["sharpe"]
        assert f"{label}: sharpe={cell.metrics['sharpe']:.3g}" in repr(best)
    longest = crossed.best("drawdown_duration", min_trades=5)
    assert longest.metrics["drawdown_duration"] == np.nanmin(crossed["drawdown_duration"].max(axis=0))


def test_trades_are_asked_of_every_market(crossed: MarketSurface) -> None:
    fewest = int(np.nanmax(crossed["trades"].min(axis=0)))
    assert fewest < np.nanmax(np.median(crossed["trades"], axis=0))
    for aggregate in ("median", "mean", "max"):
        crossed.best(min_trades=fewest, aggregate=aggregate)
        with pytest.raises(InputError, match=rf"at least {fewest + 1} closed trades \(most: {fewest}\)"):
            crossed.best(min_trades=fewest + 1, aggregate=aggregate)


def test_a_plateau_across_markets(crossed: MarketSurface) -> None:
    plateau = crossed.plateau(min_trades=5, aggregate="median")
    place = plateau.cell.index
    assert plateau.cell.metrics["sharpe"] == np.median(crossed["sharpe"], axis=0)[place]
    assert set(plateau.cell.markets) == set(crossed.labels)
    assert plateau.neighbours["sharpe"].notna().any()


def test_one_market_alone_is_its_own_aggregate() -> None:
    one = swept([BTC])
    assert isinstance(one, MarketSurface)
    assert all(np.array_equal(one.across()[m], swept(BTC)[m], equal_nan=True) for m in METRICS)
    assert one.plateau(min_trades=5).cell.index == swept(BTC).plateau(min_trades=5).cell.index


def test_heatmaps_of_one_market_and_across(crossed: MarketSurface) -> None:
    across = crossed.heatmap("sharpe", x="fast", y="slow")
    assert "sma_cross, worst of 3 markets: sharpe" in across.layout.title.text
    np.testing.assert_allclose(
        np.asarray(across.data[0].z, float), crossed["sharpe"].min(axis=0).T, rtol=1e-5
    )
    alone = crossed.heatmap("sharpe", x="fast", y="slow", market=crossed.labels[1])
    np.testing.assert_allclose(np.asarray(alone.data[0].z, float), crossed["sharpe"][1].T, rtol=1e-5)


def test_selections_and_tables(crossed: MarketSurface) -> None:
    part = crossed.sel(slow=30)
    assert part.shape == (3, 4)
    assert all(same(part.market(i), crossed.market(i).sel(slow=30)) for i in range(3))
    frame = crossed.to_frame()
    assert list(frame.columns) == ["market", "fast", "slow", *METRICS]
    assert frame["market"].tolist() == [label for label in crossed.labels for _ in range(12)]
    assert frame["sharpe"].to_numpy().tobytes() == crossed["sharpe"].ravel().tobytes()
    assert "sma_cross, 4 x 3 = 12 cells on 3 markets: coinbase BTC/USD 1h, " in repr(crossed)
    assert crossed.key != crossed.sel(slow=30).key
    assert crossed.fingerprint().count("sharpe") == 3


@pytest.mark.parametrize(
    ("act", "kind", "words"),
    [
        (lambda s: swept([]), InputError, "at least one market, got an empty list"),
        (
            lambda s: swept([BTC, MADE, BTC[:]]),
            InputError,
            r"must differ, got Candles\(.* twice \(places 0 and 2",
        ),
        (lambda s: swept([BTC, "MADE"]), InputError, "must be Candles, got 'MADE': lab.candles"),
        (lambda s: swept("BTC"), InputError, "must be Candles, got 'BTC': lab.candles"),
        (
            lambda s: swept(MARKETS, regimes=np.zeros(len(BTC), int)),
            InputError,
            "one for each of them.*ndarray",
        ),
        (lambda s: swept(MARKETS, intrabar=[BTC]), InputError, "with 3 markets `intrabar` .* got 1"),
        (lambda s: swept(MARKETS, checkpoint=Kept()), InputError, "with 3 markets `checkpoint` .* got Kept"),
        (
            lambda s: s.market("coinbase BTC/USD 2h"),
            UnknownNameError,
            "is not a market of this surface: did you",
        ),
        (lambda s: s.market(3), InputError, "has 3 markets, numbered from 0, got 3"),
        (lambda s: s["sharp"], UnknownNameError, "did you mean 'sharpe'"),
        (lambda s: s.across("medain"), UnknownNameError, "did you mean 'median'"),
        (lambda s: s.sel(fsat=5), UnknownNameError, "did you mean 'fast'"),
    ],
)
def test_what_makes_no_sense_is_refused(act: Any, kind: Any, words: str, crossed: MarketSurface) -> None:
    with pytest.raises(kind, match=words):
        act(crossed)


class Kept:
    """A checkpoint in memory that can stop the sweep after some parts."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after, self.parts, self.saved = stop_after, {}, []

    def load(self) -> dict[int, np.ndarray]:
        return self.parts

    def save(self, part: int, values: np.ndarray) -> None:
        self.parts[part] = values.copy()
        self.saved.append(part)
        if len(self.saved) == self.stop_after:
            raise KeyboardInterrupt


def test_a_stopped_sweep_resumes_in_the_market_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [Kept(), Kept(stop_after=2), Kept()]
    with pytest.raises(KeyboardInterrupt):
        swept(MARKETS, GRID, checkpoint=kept, budget=2**16)
    first = [list(one.saved) for one in kept]
    assert first[0]
    assert len(first[1]) == 2
    assert not first[2]
    for one in kept:
        one.stop_after, one.saved = None, []
    counted: list[int] = []
    monkeypatch.setattr(sweep_module._Bar, "update", lambda _, cells: counted.append(cells))
    resumed = swept(MARKETS, GRID, checkpoint=kept, budget=2**16)
    assert sum(counted) == 3 * GRID.size
    assert kept[0].saved == []
    assert not set(first[1]) & set(kept[1].saved)
    assert kept[2].saved
    for place, candles in enumerate(MARKETS):
        assert same(resumed.market(place), swept(candles, GRID))
    again = swept(MARKETS, GRID, checkpoint=kept, budget=2**16)
    assert all(same(a, b) for a, b in zip(again, resumed, strict=True))


def test_execution_is_shared() -> None:
    together = sweep("sma_cross", MARKETS, CROSSES, Execution(delay_bars=1), progress=False)
    assert all(surface.execution.delay_bars == 1 for surface in together)
    assert together.execution.delay_bars == 1
