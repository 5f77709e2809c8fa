"""Block sums of a search's cells, and how many independent trials they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantlab import strategies
from quantlab.backtest.extras import Blocks
from quantlab.backtest.series import daily_returns_of
from quantlab.backtest.sweep import sweep
from quantlab.errors import InputError
from quantlab.market import synthetic
from quantlab.validation import trials
from quantlab.validation.trials import Trials, merged, trial_blocks

CROSS = strategies.get("sma_cross")
GRID = CROSS.grid(fast=[5, 10, 20, 40], slow=[20, 40, 80, 160])
DAYS = synthetic.garch(900, timeframe="1d", seed=1)
SURFACE = sweep(CROSS, DAYS, GRID, progress=False)


def of(returns: np.ndarray) -> Trials:
    """Trials of block returns (blocks, cells)."""
    count = len(returns)
    blocks = Blocks(np.arange(count + 1), returns, returns**2, 0 * returns, np.zeros(count))
    cells = CROSS.space.points([{"fast": 5, "slow": 50}] * returns.shape[1])
    return Trials(blocks, cells, returns.shape[1])


def test_the_blocks_are_a_multiple_of_sixteen_and_merge_to_those_of_a_sweep():
    found = trial_blocks(SURFACE, DAYS)
    assert len(found.blocks.market) == 208
    whole = sweep(CROSS, DAYS, GRID, blocks=16, progress=False).blocks
    small = merged(found.blocks, 16)
    assert np.array_equal(small.first_day, whole.first_day)
    for name in ("sum", "sum_of_squares", "exposure", "market"):
        assert getattr(small, name) == pytest.approx(getattr(whole, name), nan_ok=True, abs=1e-12)
    with pytest.raises(InputError, match="208 blocks cannot be merged into 7"):
        merged(found.blocks, 7)


def test_short_histories_get_fewer_blocks_or_a_reason():
    short = DAYS[:100]
    assert len(trial_blocks(sweep(CROSS, short, GRID, progress=False), short).blocks.market) == 48
    short = DAYS[:31]
    with pytest.raises(InputError, match="32 days are needed to cut them into 16 blocks, got 31"):
        trial_blocks(sweep(CROSS, short, GRID, progress=False), short)


def test_many_cells_are_thinned_and_it_is_said(monkeypatch):
    assert trial_blocks(SURFACE, DAYS).words == "13 cells"  # of 16, three of which break fast < slow
    monkeypatch.setattr(trials, "MOST_CELLS", 9)
    found = trial_blocks(SURFACE, DAYS)
    assert found.cells.size <= 9
    assert found.words.endswith("cells spread over the search")


def test_copies_count_once_and_independent_cells_each():
    rng = np.random.default_rng(0)
    apart = rng.normal(size=(208, 6))
    assert of(apart).independent() == 6
    copies = np.repeat(apart[:, :3], 5, axis=1) + rng.normal(0, 0.05, (208, 15))
    assert of(copies).independent() == 3
    assert of(np.hstack([copies, np.zeros((208, 4)), np.full((208, 2), np.nan)])).independent() == 3
    assert of(np.zeros((208, 4))).independent() == 0
    assert of(np.hstack([apart[:, :1], np.zeros((208, 3))])).independent() == 1


def test_the_threshold_is_a_correlation():
    """Two cells of correlation 0.75: one trial below that threshold, two above it."""
    rng = np.random.default_rng(1)
    one = rng.normal(size=4_000)
    two = 0.75 * one + np.sqrt(1 - 0.75**2) * rng.normal(size=4_000)
    both = of(np.stack([one, two], axis=1))
    assert both.independent(alike=0.7) == 1
    assert both.independent(alike=0.8) == 2


def test_independent_trials_of_a_sweep_are_those_of_its_daily_returns():
    """Blocks of four days tell cells apart as their days do: between a half and all as many groups."""
    daily = daily_returns_of(CROSS, DAYS, GRID, progress=False).reshape(GRID.size, -1).T
    by_day = of(daily).independent()
    by_block = trial_blocks(SURFACE, DAYS).independent()
    assert 1 < by_block <= GRID.allowed.sum()
    assert abs(by_block - by_day) <= 2


def test_a_list_of_points_works_too():
    points = CROSS.space.points([{"fast": 5, "slow": 50}, {"fast": 10, "slow": 50}])
    surface = sweep(CROSS, DAYS, points, progress=False)
    assert trial_blocks(surface, DAYS).words == "2 cells"
    assert trial_blocks(replace(surface), DAYS).blocks.sum.shape == (208, 2)
