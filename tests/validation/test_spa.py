"""Superior predictive ability: its size on noise, its power, its match of exposure, another library."""

from __future__ import annotations

import numpy as np
import pytest
from arch.bootstrap import SPA
from scipy.stats import kstest

from quantlab import strategies
from quantlab.backtest.extras import Blocks
from quantlab.backtest.sweep import sweep
from quantlab.errors import InputError
from quantlab.market.synthetic import garch
from quantlab.validation.spa import superior_ability
from quantlab.validation.statistics import binomial_interval

BARS = 1_000


def blocks_of(
    sums: np.ndarray, exposure: np.ndarray | None = None, market: np.ndarray | None = None
) -> Blocks:
    count = len(sums)
    return Blocks(
        np.arange(count + 1) * 10,
        sums,
        sums**2,
        np.zeros_like(sums) if exposure is None else exposure,
        np.zeros(count) if market is None else market,
    )


def test_on_noise_its_p_values_are_uniform() -> None:
    rng = np.random.default_rng(0)
    found = []
    for i in range(1_000):
        common = rng.normal(0, 1, (100, 1))
        sums = 0.6 * common + rng.normal(0, 1, (100, 25)) * rng.uniform(0.2, 5.0, 25)
        found.append(superior_ability(blocks_of(sums), BARS, draws=199, seed=i).p_upper)
    assert kstest(found, "uniform").pvalue > 0.01
    low, high = binomial_interval(int(np.sum(np.array(found) <= 0.05)), len(found), 0.99)
    assert low < 0.05 < high


def test_it_finds_an_edge_whatever_its_scale() -> None:
    rng = np.random.default_rng(1)
    scale = np.geomspace(0.01, 10.0, 200)
    sums = rng.normal(0, 1, (200, 200)) * scale
    sums[:, 3] += 0.5 * scale[3]  # t of about 7 in a column that moves a hundred times less than others
    found = superior_ability(blocks_of(sums), BARS)
    assert found.best == 3
    assert found.p < 0.01
    assert found.t == pytest.approx(np.sqrt(200) * sums[:, 3].mean() / sums[:, 3].std(ddof=1))


def test_cells_that_are_hopeless_do_not_raise_the_bar() -> None:
    rng = np.random.default_rng(2)
    sums = rng.normal(0, 1, (200, 500))
    sums[:, 0] += 0.2
    sums[:, 1:] -= 1.0
    found = superior_ability(blocks_of(sums), BARS)
    assert found.p < 0.01 < 0.05 < found.p_upper


def test_drift_is_no_ability() -> None:
    """Cells that hold a rising market all the time, each at its own size, and nothing else."""
    rng = np.random.default_rng(3)
    market = rng.normal(0.5, 1.0, 200)
    size = rng.uniform(0.2, 1.0, 40)
    sums = np.outer(market, size) + rng.normal(0, 0.3, (200, 40))
    exposure = np.outer(np.full(200, BARS / 200), size)
    assert superior_ability(blocks_of(sums), BARS).p < 0.01  # against zero, drift earns it
    assert superior_ability(blocks_of(sums, exposure, market), BARS).p > 0.1


def test_its_p_value_is_that_of_arch() -> None:
    """Trap: `SPA(studentize=True)` of arch 8 does not studentise, so it is given columns of one scale."""
    for seed, shift in ((4, 0.0), (5, 0.12), (6, 0.2)):
        rng = np.random.default_rng(seed)
        sums = rng.normal(0, 1, (250, 30))
        sums[:, 0] += shift
        scaled = sums / sums.std(axis=0)
        theirs = SPA(np.zeros(250), -scaled, block_size=1, reps=4_000, bootstrap="circular", seed=1)
        theirs.compute()
        ours = superior_ability(blocks_of(sums), BARS, draws=4_000)
        assert ours.p == pytest.approx(theirs.pvalues["consistent"], abs=0.04)
        assert ours.p_upper == pytest.approx(theirs.pvalues["upper"], abs=0.04)


def test_it_takes_the_blocks_of_a_sweep() -> None:
    cross = strategies.get("sma_cross")
    candles = garch(3_000, timeframe="1d", seed=1)
    surface = sweep(
        cross, candles, cross.grid(fast=[5, 20, 50], slow=[10, 30, 60]), blocks=200, progress=False
    )
    found = superior_ability(surface.blocks, len(candles))
    ts = surface["timing_t"].ravel()
    assert np.isfinite(ts[found.best])
    assert found.best == np.nanargmax(ts)
    # blocks of 15 days instead of days, and another estimate of the spread
    assert found.t == pytest.approx(ts[found.best], rel=0.35)
    assert found == superior_ability(surface.blocks, len(candles))


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="at least 20 blocks are needed, got 10: sweep with blocks=200"):
        superior_ability(blocks_of(np.ones((10, 3))), BARS)
    with pytest.raises(InputError, match="no cell ever traded"):
        superior_ability(blocks_of(np.zeros((40, 3))), BARS)
