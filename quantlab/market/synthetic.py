"""Markets made of random numbers: two without an edge, four with one whose true Sharpe ratio is known.

The noise markets are martingales plus the drift asked for: the expected simple return of a bar is
``annual_drift`` over the bars of a year. Inside a bar the path is a Brownian bridge, whose highest and lowest
points are drawn exactly; opens leave small gaps; volume follows volatility and the size of moves. The same
arguments give the same candles. A year has 365 days.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from quantlab.errors import InputError
from quantlab.market.candles import Candles, step_ms
from quantlab.market.checks import flags_of
from quantlab.market.planted import YEAR_MS, Process, calibrated, cross_weights, reversion_weights

Floats = npt.NDArray[np.float64]

START_MS = 1_514_764_800_000
"""Open time of the first bar: 2018-01-01T00:00Z."""
MOMENTUM_RULE = (20, 100)
"""`fast` and `slow` [bars] of the reference rule of planted momentum, the defaults of ``sma_cross``."""
REVERSION_RULE = 20
"""Window [bars] of the reference rule of planted reversion: against the deviation from the mean."""
LOG_VOL = 0.35
"""Standard deviation of log volatility in the planted markets; the kurtosis of returns is about 4.9."""
_VOL_HALF_LIFE_DAYS = 30
_START_PRICE = 10_000.0
_GAP_SHARE = 0.05
_NO_GAP = 0.3


def iid(
    n_bars: int = 5_000,
    *,
    timeframe: str = "1h",
    seed: int = 0,
    annual_vol: float = 0.6,
    annual_drift: float = 0.0,
) -> Candles:
    """Make a market whose log returns are independent normal: no edge.

    Parameters
    ----------
    n_bars : int
    timeframe : str
    seed : int
    annual_vol, annual_drift : float
        Fractions a year.

    Returns
    -------
    Candles
        ``synthetic``, ``IID-<seed>/USD``.

    Raises
    ------
    InputError
        Fewer than two bars, or a volatility or drift that is not a fraction.
    """
    path, bars = generators(n_bars, seed, annual_vol, annual_drift)
    vol = np.full(n_bars, annual_vol / np.sqrt(bars_a_year(timeframe)))
    returns = vol * path.standard_normal(n_bars) + annual_drift / bars_a_year(timeframe) - 0.5 * vol**2
    return make_market("IID", seed, timeframe, returns, vol, bars)


def garch(
    n_bars: int = 5_000,
    *,
    timeframe: str = "1h",
    seed: int = 0,
    annual_vol: float = 0.6,
    annual_drift: float = 0.0,
    alpha: float = 0.08,
    beta: float = 0.90,
    degrees: float = 5.0,
) -> Candles:
    """Make a market of GARCH(1,1) volatility with Student-t shocks: clusters, fat tails, drift, no edge.

    Parameters
    ----------
    n_bars, timeframe, seed, annual_vol, annual_drift
        As in `iid`; `annual_vol` is the unconditional volatility.
    alpha, beta : float
        Weight of the last squared shock and of the last variance; ``alpha + beta < 1``.
    degrees : float
        Degrees of freedom of the shocks, above 2.

    Returns
    -------
    Candles
        ``synthetic``, ``GARCH-<seed>/USD``.

    Raises
    ------
    InputError
        As in `iid`, or a process without a variance.

    References
    ----------
    T. Bollerslev, "A Conditionally Heteroskedastic Time Series Model for Speculative Prices and Rates of
    Return", Review of Economics and Statistics 69 (1987).
    """
    from quantlab.market.kernels import garch_volatility

    if not (alpha >= 0 and beta >= 0 and alpha + beta < 1 and degrees > 2):
        raise InputError(
            f"a GARCH-t market needs alpha, beta >= 0, alpha + beta < 1 and degrees > 2, "
            f"got alpha={alpha}, beta={beta}, degrees={degrees}."
        )
    path, bars = generators(n_bars, seed, annual_vol, annual_drift)
    shocks = path.standard_t(degrees, n_bars) * np.sqrt((degrees - 2) / degrees)
    vol = garch_volatility(shocks, alpha, beta) * annual_vol / np.sqrt(bars_a_year(timeframe))
    returns = vol * shocks + annual_drift / bars_a_year(timeframe) - 0.5 * vol**2
    return make_market("GARCH", seed, timeframe, returns, vol, bars)


def planted_momentum(
    n_bars: int = 2_000,
    *,
    timeframe: str = "1d",
    seed: int = 0,
    annual_vol: float = 0.6,
    true_sharpe: float = 1.5,
    half_life_bars: float = 40.0,
) -> Candles:
    """Make a market with slow hidden trends that ``sma_cross`` can ride.

    Parameters
    ----------
    n_bars, timeframe, seed, annual_vol
        As in `iid`.
    true_sharpe : float
        True annual Sharpe ratio before costs of the reference rule ``sma_cross`` with the windows
        ``MOMENTUM_RULE``, long and short; what a finite path shows differs by about 1 / sqrt(years).
    half_life_bars : float
        Of a trend. Short trends on short bars are eaten by costs.

    Returns
    -------
    Candles
        ``synthetic``, ``MOMENTUM-<seed>/USD``.

    Raises
    ------
    InputError
        As in `iid`, or no such process reaches `true_sharpe`.

    Notes
    -----
    Best plateau of the reference grid of ``sma_cross`` over 5.5 years, all-in, long and short, after 10 bps
    a side (before costs), mean of 6 to 12 seeds: daily, half-life 40: 1.4 (1.5) and 2.3 (2.4) for a true
    Sharpe of 1.5 and 2.5; 4h, half-life 80: 1.3 (1.5) and 2.2 (2.3); 1h, half-life 160: 1.9 (2.1) and 2.8
    (2.9). With no edge planted it is 0.3 to 0.5 (0.4 to 0.6) by luck.
    """
    process = momentum_process(timeframe=timeframe, true_sharpe=true_sharpe, half_life_bars=half_life_bars)
    return _planted("MOMENTUM", process, n_bars, seed, annual_vol)


def planted_reversion(
    n_bars: int = 2_000,
    *,
    timeframe: str = "1d",
    seed: int = 0,
    annual_vol: float = 0.6,
    true_sharpe: float = 1.5,
    half_life_bars: float = 3.0,
) -> Candles:
    """Make a market whose price is pulled back to a random walk.

    Parameters
    ----------
    n_bars, timeframe, seed, annual_vol
        As in `iid`.
    true_sharpe : float
        True annual Sharpe ratio before costs of the reference rule: long below, short above the mean of
        the last ``REVERSION_RULE`` closes.
    half_life_bars : float
        Of a displacement.

    Returns
    -------
    Candles
        ``synthetic``, ``REVERSION-<seed>/USD``.

    Raises
    ------
    InputError
        As in `iid`, or no such process reaches `true_sharpe`.
    """
    process = reversion_process(timeframe=timeframe, true_sharpe=true_sharpe, half_life_bars=half_life_bars)
    return _planted("REVERSION", process, n_bars, seed, annual_vol)


def planted_decay(
    n_bars: int = 2_000,
    *,
    timeframe: str = "1d",
    seed: int = 0,
    annual_vol: float = 0.6,
    true_sharpe: float = 1.5,
    half_life_bars: float = 40.0,
    alive: float = 0.7,
) -> Candles:
    """Make a `planted_momentum` market whose edge dies: after the first share of `alive` bars there is none.

    Parameters
    ----------
    n_bars, timeframe, seed, annual_vol, true_sharpe, half_life_bars
        As in `planted_momentum`; the Sharpe ratio is that of the time in which the edge lives.
    alive : float
        In [0, 1].

    Returns
    -------
    Candles
        ``synthetic``, ``DECAY-<seed>/USD``.
    """
    process = momentum_process(timeframe=timeframe, true_sharpe=true_sharpe, half_life_bars=half_life_bars)
    active = (np.arange(n_bars) < alive * n_bars).astype(np.float64)
    return _planted("DECAY", process, n_bars, seed, annual_vol, active)


def planted_regime(
    n_bars: int = 2_000,
    *,
    timeframe: str = "1d",
    seed: int = 0,
    annual_vol: float = 0.6,
    true_sharpe: float = 1.5,
    half_life_bars: float = 40.0,
    mean_bars: float = 200.0,
) -> Candles:
    """Make a `planted_momentum` market whose edge is there in one of two regimes only.

    Parameters
    ----------
    n_bars, timeframe, seed, annual_vol, true_sharpe, half_life_bars
        As in `planted_momentum`; the Sharpe ratio is that of the regime with the edge.
    mean_bars : float
        Mean length of a stay in either regime, geometrically distributed.

    Returns
    -------
    Candles
        ``synthetic``, ``REGIME-<seed>/USD``.
    """
    process = momentum_process(timeframe=timeframe, true_sharpe=true_sharpe, half_life_bars=half_life_bars)
    turns = np.random.default_rng(seed).spawn(3)[2].random(n_bars)
    turns[0] *= 2.0 / mean_bars  # a fair coin decides the first regime
    active = (np.cumsum(turns < 1.0 / mean_bars) % 2).astype(np.float64)
    return _planted("REGIME", process, n_bars, seed, annual_vol, active)


def momentum_process(
    *, timeframe: str = "1d", true_sharpe: float = 1.5, half_life_bars: float = 40.0
) -> Process:
    """Return the process behind `planted_momentum`, which knows the true Sharpe ratio of every rule."""
    return _process("momentum", cross_weights(*MOMENTUM_RULE), timeframe, true_sharpe, half_life_bars)


def reversion_process(
    *, timeframe: str = "1d", true_sharpe: float = 1.5, half_life_bars: float = 3.0
) -> Process:
    """Return the process behind `planted_reversion`, which knows the true Sharpe ratio of every rule."""
    return _process("reversion", reversion_weights(REVERSION_RULE), timeframe, true_sharpe, half_life_bars)


def _process(
    kind: Literal["momentum", "reversion"], weights: Floats, timeframe: str, sharpe: float, half_life: float
) -> Process:
    return calibrated(kind, sharpe, weights, timeframe=timeframe, half_life_bars=half_life, log_vol=LOG_VOL)


def _planted(
    name: str, process: Process, n_bars: int, seed: int, annual_vol: float, active: Floats | float = 1.0
) -> Candles:
    """A market of the process, in which the edge carries its share of the variance where it is active."""
    from quantlab.market.kernels import ar1

    path, bars = generators(n_bars, seed, annual_vol, 0.0)
    noise, latent, log_vol = path.standard_normal((3, n_bars))
    a_year = bars_a_year(process.timeframe)
    vol_phi = 0.5 ** (365 / (_VOL_HALF_LIFE_DAYS * a_year))
    vol = np.exp(process.log_vol * ar1(log_vol, vol_phi) - process.log_vol**2)
    vol *= annual_vol / np.sqrt(a_year)
    state = ar1(latent, process.phi)
    if process.kind == "reversion":
        state = np.diff(state, prepend=0.0) / np.sqrt(2.0 * (1.0 - process.phi))
    share = process.share * active
    moves = np.sqrt(1.0 - share) * noise + np.sqrt(share) * state
    return make_market(name, seed, process.timeframe, vol * moves - 0.5 * vol**2, vol, bars)


def bars_a_year(timeframe: str) -> float:
    """Bars of a year of 365 days."""
    return YEAR_MS / step_ms(timeframe)


def generators(
    n_bars: int, seed: int, annual_vol: float, annual_drift: float
) -> tuple[np.random.Generator, np.random.Generator]:
    """Check the common arguments; return the generators of the path and of what lies inside its bars."""
    if n_bars < 2:
        raise InputError(f"`n_bars` must be at least 2, got {n_bars}.")
    if not 0 < annual_vol <= 5 or not abs(annual_drift) <= 5:
        raise InputError(
            f"`annual_vol` must be in (0, 5] and `annual_drift` in [-5, 5], got {annual_vol} and "
            f"{annual_drift}: they are fractions, not percent."
        )
    path, bars = np.random.default_rng(seed).spawn(2)
    return path, bars


def make_market(
    name: str, seed: int, timeframe: str, returns: Floats, vol: Floats, rng: np.random.Generator
) -> Candles:
    """Build candles around close-to-close log `returns` with volatility `vol` per bar, each (n_bars,)."""
    n_bars = returns.size
    leaps = (rng.random(n_bars) > _NO_GAP) & (np.arange(n_bars) > 0)
    gaps = np.where(leaps, _GAP_SHARE * vol * rng.standard_normal(n_bars), 0.0)
    body = returns - gaps
    steps = np.empty(2 * n_bars)
    steps[0::2], steps[1::2] = gaps, body
    steps[0] += np.log(_START_PRICE)
    chain = np.cumsum(steps)
    reach = 0.5 * np.sqrt(body**2 - 2.0 * vol**2 * np.log1p(-rng.random((2, n_bars))))
    open, close = np.exp(chain[0::2]), np.exp(chain[1::2])
    high = np.maximum(np.exp(chain[0::2] + 0.5 * body + reach[0]), np.maximum(open, close))
    low = np.minimum(np.exp(chain[0::2] + 0.5 * body - reach[1]), np.minimum(open, close))
    volume = _volume(returns, vol, rng)
    times = START_MS + step_ms(timeframe) * np.arange(n_bars, dtype=np.int64)
    flags = flags_of(open, high, low, close, volume)
    return Candles("synthetic", f"{name}-{seed}/USD", timeframe, times, open, high, low, close, volume, flags)


def _volume(returns: Floats, vol: Floats, rng: np.random.Generator) -> Floats:
    """Traded amount: lognormal and persistent, larger in volatile bars and on large moves."""
    from quantlab.market.kernels import ar1

    persistent = 0.4 * ar1(rng.standard_normal(returns.size), 0.9)
    excitement = 0.5 * np.abs(returns / vol) + 0.6 * np.log(vol / np.mean(vol))
    return 100.0 * np.exp(persistent + np.minimum(excitement, 4.0) + 0.3 * rng.standard_normal(returns.size))
