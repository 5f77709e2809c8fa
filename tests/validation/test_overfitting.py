"""The probability of overfitting against a plain loop, another library, and markets whose answer is known."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from purgedcv import probability_of_backtest_overfitting

from quantlab import strategies
from quantlab.backtest.extras import Blocks
from quantlab.backtest.sweep import sweep
from quantlab.errors import InputError
from quantlab.market.synthetic import planted_momentum
from quantlab.validation.overfitting import overfitting

S = 8


def blocks_of(returns: np.ndarray, count: int = S) -> Blocks:
    """Blocks of daily returns (days, cells), as a sweep makes them."""
    edges = np.arange(count + 1) * len(returns) // count
    parts = [returns[a:b] for a, b in pairwise(edges)]
    sums, squares = (np.stack([(p**k).sum(axis=0) for p in parts]) for k in (1, 2))
    return Blocks(edges, sums, squares, np.zeros_like(sums), np.zeros(count))


def plain(returns: np.ndarray, count: int = S) -> tuple[float, list[float]]:
    """The same, one split and one cell at a time."""
    blocks = np.array_split(np.arange(len(returns)), count)
    ranks = []
    for half in combinations(range(count), count // 2):
        inside = np.concatenate([blocks[b] for b in half])
        outside = np.concatenate([blocks[b] for b in range(count) if b not in half])
        here, there = (
            [r.mean() / r.std(ddof=1) if r.std() > 0 else 0.0 for r in returns[rows].T]
            for rows in (inside, outside)
        )
        value = there[int(np.argmax(here))]
        lower, equal = sum(v < value for v in there), sum(v == value for v in there)
        ranks.append((lower + 0.5 * (equal + 1)) / (len(there) + 1))
    below = [1.0 if rank < 0.5 else 0.5 if rank == 0.5 else 0.0 for rank in ranks]
    return float(np.mean(below)), ranks


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(2, 7), st.integers(2, 6))
def test_it_is_what_a_plain_loop_finds(seed: int, cells: int, days: int) -> None:
    returns = np.random.default_rng(seed).normal(0, 0.01, (S * days, cells))
    found, (probability, ranks) = overfitting(blocks_of(returns)), plain(returns)
    assert found.probability == pytest.approx(probability)
    assert sorted(found.ranks) == pytest.approx(sorted(ranks))
    assert len(found.ranks) == 70
    assert found.cells == cells


def test_it_is_what_purgedcv_finds() -> None:
    """Traps: purgedcv wants cells x days, a surface has them the other way round; and a rank at the median,
    which an odd number of cells allows, is not below it there.
    """
    returns = np.random.default_rng(3).normal(0.0004, 0.01, (480, 24))
    theirs = probability_of_backtest_overfitting(returns.T.copy(), n_splits=S)
    found = overfitting(blocks_of(returns))
    assert found.probability == pytest.approx(theirs.pbo)


def test_copies_of_a_cell_share_their_rank() -> None:
    """Plain ranks put the first of many equal cells below the median, or the last above it, for no reason."""
    one = np.random.default_rng(0).normal(0, 0.01, (160, 1))
    found = overfitting(blocks_of(np.repeat(one, 9, axis=1)))
    assert found.ranks == pytest.approx(0.5)
    assert found.probability == 0.5


def test_an_edge_of_one_cell_is_found_again_and_noise_is_not() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.01, (800, 60))
    edge = noise.copy()
    edge[:, 17] += 0.003
    real, idle = overfitting(blocks_of(edge, 16)), overfitting(blocks_of(noise, 16))
    assert len(real.ranks) == 12_870
    assert real.probability < 0.01 < 0.2 < idle.probability
    assert real.probability_of_loss < 0.01 < idle.probability_of_loss
    assert idle.kept < 0.5 < 0.9 < real.kept


def test_on_noise_it_is_one_half_on_average() -> None:
    rng = np.random.default_rng(2)
    found = [overfitting(blocks_of(rng.normal(0, 0.01, (160, 20)))).probability for _ in range(150)]
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found) - 0.5) < 4 * error
    assert error < 0.03


def test_it_takes_the_blocks_of_a_sweep_and_leaves_out_what_breaks_a_constraint() -> None:
    cross = strategies.get("sma_cross")
    grid = cross.grid(fast=[5, 20, 50], slow=[10, 30, 60])
    surface = sweep(cross, planted_momentum(1_200, seed=3, true_sharpe=3.0), grid, blocks=16, progress=False)
    found = overfitting(surface.blocks)
    assert found.cells == int(grid.allowed.sum()) < grid.size
    assert 0.0 <= found.probability <= 1.0


def test_bad_input_is_named() -> None:
    returns = np.random.default_rng(0).normal(0, 0.01, (60, 4))
    with pytest.raises(
        InputError, match="even number of blocks up to 20 is needed, got 7: sweep with blocks=16"
    ):
        overfitting(blocks_of(returns, 7))
    with pytest.raises(InputError, match="every block needs 2 days, got 1"):
        overfitting(blocks_of(returns[:16], 16))
    with pytest.raises(InputError, match="at least two cells are needed to rank one, got 1"):
        overfitting(blocks_of(returns[:, :1]))
