import numpy as np
import pytest

from quantlab.errors import InputError, UnknownNameError
from quantlab.market import kernels, synthetic
from quantlab.market.candles import COLUMNS, TIMEFRAMES, Candles
from quantlab.market.planted import Process, cross_weights, reversion_weights
from quantlab.market.skewed import _skewed_shocks, skewed

MAKERS = [
    synthetic.iid,
    synthetic.garch,
    skewed,
    synthetic.planted_momentum,
    synthetic.planted_reversion,
    synthetic.planted_decay,
    synthetic.planted_regime,
]
PLANTED = MAKERS[3:]


def mean_of_last(values, window):
    sums = np.cumsum(np.concatenate(([0.0], values)))
    means = np.full(values.size, np.nan)
    means[window - 1 :] = (sums[window:] - sums[:-window]) / window
    return means


def measured_sharpe(candles, signal):
    """Annual Sharpe of holding the sign of `signal` over the next bar's log return around its mean."""
    log_close = np.log(candles.close)
    earned = np.sign(signal[:-1]) * (np.diff(log_close) - np.diff(log_close).mean())
    earned = earned[np.isfinite(earned)]
    return earned.mean() / earned.std() * np.sqrt(synthetic.YEAR_MS / candles.step_ms)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_every_market_is_valid_and_repeatable(make, timeframe):
    candles = make(500, timeframe=timeframe, seed=4, **({"true_sharpe": 0.5} if make in PLANTED else {}))
    again = Candles.from_arrays(
        candles.exchange,
        candles.symbol,
        timeframe,
        candles.timestamps,
        *[getattr(candles, name) for name in COLUMNS],
    )
    assert again == candles
    assert (candles.high > candles.low).all()
    assert (candles.volume > 0).all()
    arguments = {"true_sharpe": 0.5} if make in PLANTED else {}
    assert make(500, timeframe=timeframe, seed=4, **arguments) == candles
    assert make(500, timeframe=timeframe, seed=5, **arguments) != candles
    assert candles.symbol.endswith("-4/USD")


@pytest.mark.parametrize("make", MAKERS)
def test_volatility_gaps_and_ranges_are_as_asked(make):
    candles = make(100_000, timeframe="1h", seed=1, annual_vol=0.4)
    returns = np.diff(np.log(candles.close))
    assert returns.std() * np.sqrt(8760) == pytest.approx(0.4, rel=0.06)
    assert np.mean(candles.open[1:] == candles.close[:-1]) == pytest.approx(0.3, abs=0.01)
    gaps = np.log(candles.open[1:] / candles.close[:-1])
    assert 0.02 < gaps.std() / returns.std() < 0.06
    ranges = np.log(candles.high / candles.low)
    if (
        make is synthetic.iid
    ):  # expected range of a Brownian path: sqrt(8 / pi) of its volatility (Feller 1951)
        assert ranges.mean() / returns.std() == pytest.approx(np.sqrt(8 / np.pi), rel=0.01)
    assert np.corrcoef(np.log(candles.volume), np.log(ranges))[0, 1] > 0.2


@pytest.mark.parametrize(
    ("make", "arguments"),
    [(make, {"annual_drift": drift}) for make in MAKERS[:2] for drift in (0.0, 0.8)]
    + [(make, {"true_sharpe": 0.0}) for make in PLANTED],
)
def test_a_market_earns_its_drift_and_nothing_else(make, arguments):
    drift = arguments.get("annual_drift", 0.0)
    markets = (make(4000, timeframe="1d", seed=seed, **arguments) for seed in range(100))
    earned = [365 * np.mean(np.diff(candles.close) / candles.close[:-1]) for candles in markets]
    years = 100 * 4000 / 365  # without the correction by half the variance it would earn 0.18 more
    assert np.mean(earned) == pytest.approx(drift, abs=3.5 * 0.6 / np.sqrt(years))


def test_noise_is_uncorrelated_and_garch_clusters():
    for make, clusters in ((synthetic.iid, False), (synthetic.garch, True)):
        returns = np.diff(np.log(make(200_000, seed=3).close))
        limit = 4 * np.sqrt(np.mean(returns**4) / np.mean(returns**2) ** 2) / np.sqrt(returns.size)
        for lag in (1, 2, 5, 24):
            assert abs(np.corrcoef(returns[lag:], returns[:-lag])[0, 1]) < limit
        sizes = np.abs(returns)
        assert bool(np.corrcoef(sizes[1:], sizes[:-1])[0, 1] > 0.1) is clusters
        assert bool(np.mean(returns**4) / np.mean(returns**2) ** 2 > 5) is clusters


@pytest.mark.parametrize(
    ("timeframe", "half_life", "target"), [("1d", 40, 1.5), ("1d", 20, 2.5), ("4h", 80, 2.5)]
)
def test_momentum_has_the_sharpe_it_says(timeframe, half_life, target):
    n_bars, runs = 300_000, 3
    found, beside = [], []
    process = synthetic.momentum_process(timeframe=timeframe, true_sharpe=target, half_life_bars=half_life)
    for seed in range(runs):
        candles = synthetic.planted_momentum(
            n_bars,
            timeframe=timeframe,
            seed=seed,
            true_sharpe=target,
            half_life_bars=half_life,
            annual_vol=0.05,  # so that 800 years of it stay within floating point
        )
        log_close = np.log(candles.close)
        log_close -= np.linspace(0, log_close[-1], n_bars)
        for rule, values in ((synthetic.MOMENTUM_RULE, found), ((10, 50), beside)):
            values.append(
                measured_sharpe(candles, mean_of_last(log_close, rule[0]) - mean_of_last(log_close, rule[1]))
            )
    error = 1 / np.sqrt(runs * n_bars * TIMEFRAMES[timeframe] / synthetic.YEAR_MS)
    assert process.cross_sharpe(*synthetic.MOMENTUM_RULE) == pytest.approx(target, abs=1e-6)
    assert np.mean(found) == pytest.approx(target, abs=3 * error + 0.04 * target)
    assert np.mean(beside) == pytest.approx(process.cross_sharpe(10, 50), abs=3 * error + 0.04 * target)


@pytest.mark.parametrize("target", [1.5, 2.5])
def test_reversion_has_the_sharpe_it_says(target):
    n_bars = 300_000
    candles = synthetic.planted_reversion(n_bars, seed=1, true_sharpe=target, annual_vol=0.05)
    log_close = np.log(candles.close)
    log_close -= np.linspace(0, log_close[-1], n_bars)
    found = measured_sharpe(candles, mean_of_last(log_close, synthetic.REVERSION_RULE) - log_close)
    assert found == pytest.approx(target, abs=3 / np.sqrt(n_bars / 365) + 0.04 * target)
    process = synthetic.reversion_process(true_sharpe=target)
    assert process.sharpe(reversion_weights(synthetic.REVERSION_RULE)) == pytest.approx(target, abs=1e-6)
    assert process.cross_sharpe(20, 100) < 0  # a trend follower loses here


@pytest.mark.parametrize("make", PLANTED)
def test_no_edge_when_none_is_asked_for(make):
    candles = make(100_000, seed=2, true_sharpe=0.0, annual_vol=0.05)
    returns = np.diff(np.log(candles.close))
    for lag in (1, 5, 20):
        assert abs(np.corrcoef(returns[lag:], returns[:-lag])[0, 1]) < 4 * 1.7 / np.sqrt(returns.size)


@pytest.mark.parametrize("kind", ["momentum", "reversion"])
def test_the_autocovariance_is_that_of_the_path(kind):
    make = synthetic.planted_momentum if kind == "momentum" else synthetic.planted_reversion
    arguments = {"true_sharpe": 1.5, "half_life_bars": 20.0 if kind == "momentum" else 3.0}
    process = {"momentum": synthetic.momentum_process, "reversion": synthetic.reversion_process}[kind](
        **arguments
    )
    returns = np.diff(np.log(make(400_000, seed=6, annual_vol=0.05, **arguments).close))
    expected = process.autocovariance(4)[1:]
    found = [np.mean(returns[lag:] * returns[:-lag]) / np.mean(returns**2) for lag in (1, 2, 3)]
    np.testing.assert_allclose(found, expected, atol=0.012)


def test_cross_weights_are_the_cross_of_two_means():
    returns = np.random.default_rng(0).normal(size=200)
    prices = np.cumsum(returns)
    for fast, slow in ((1, 2), (5, 20), (20, 100)):
        direct = prices[-fast:].mean() - prices[-slow:].mean()
        assert returns[::-1][:slow] @ cross_weights(fast, slow) == pytest.approx(direct)
        assert returns[::-1][:slow] @ reversion_weights(slow) == pytest.approx(
            prices[-slow:].mean() - prices[-1]
        )
    for wrong in ((20, 20), (0, 5), (30, 10)):
        with pytest.raises(InputError, match="1 <= fast < slow"):
            cross_weights(*wrong)


def test_kernels_equal_their_plain_python():
    shocks = np.random.default_rng(1).normal(size=300)
    assert np.array_equal(kernels.ar1(shocks, 0.9), kernels.ar1.py_func(shocks, 0.9))
    assert np.array_equal(
        kernels.garch_volatility(shocks, 0.1, 0.8), kernels.garch_volatility.py_func(shocks, 0.1, 0.8)
    )
    assert np.array_equal(kernels.garch_volatility(shocks, 0.0, 0.0), np.ones(300))
    assert np.array_equal(kernels.ar1(shocks, 0.0), shocks)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (synthetic.iid, {"n_bars": 1}, "`n_bars` must be at least 2"),
        (synthetic.garch, {"annual_vol": 60.0}, "fractions, not percent"),
        (synthetic.iid, {"annual_drift": float("nan")}, "fractions, not percent"),
        (synthetic.garch, {"alpha": 0.2, "beta": 0.9}, r"alpha \+ beta < 1"),
        (synthetic.planted_momentum, {"true_sharpe": -1.0}, "`true_sharpe` must be in"),
        (
            synthetic.planted_reversion,
            {"half_life_bars": 30.0},
            "`true_sharpe` must be in .* for reversion on 1d",
        ),
        (synthetic.planted_momentum, {"half_life_bars": 0.0}, "`half_life_bars` must be positive"),
    ],
)
def test_arguments_that_cannot_be(make, arguments, message):
    with pytest.raises(InputError, match=message):
        make(**arguments)


def test_an_unknown_timeframe_is_named():
    with pytest.raises(UnknownNameError, match="'2h' is not a timeframe"):
        synthetic.iid(timeframe="2h")


def test_a_process_without_an_edge_has_sharpe_zero():
    assert Process("momentum", "1d", 20, 0.0, 0.35).cross_sharpe(5, 20) == 0.0


def test_skewed_shocks_have_the_moments_they_promise():
    shocks, below = _skewed_shocks(np.random.default_rng(1), 2_000_000, degrees=8.0, skew=0.8)
    assert shocks.mean() == pytest.approx(0.0, abs=0.003)
    assert shocks.var() == pytest.approx(1.0, abs=0.01)
    assert np.mean(np.minimum(shocks, 0.0) ** 2) == pytest.approx(below, abs=0.005)
    assert below > 0.55
    assert np.mean(shocks**3) < -0.5
    symmetric, half = _skewed_shocks(np.random.default_rng(1), 200_000, degrees=8.0, skew=1.0)
    assert half == pytest.approx(0.5, abs=1e-3)
    assert abs(np.mean(np.clip(symmetric, -4, 4) ** 3)) < 0.1


def test_skewed_markets_are_skewed_cluster_and_fear_falls():
    candles = skewed(200_000, timeframe="1d", seed=2)
    returns = np.diff(np.log(candles.close))
    centred = returns - returns.mean()
    assert np.mean(centred**3) / returns.std() ** 3 < -0.3
    squares = centred**2
    assert np.corrcoef(squares[:-1], squares[1:])[0, 1] > 0.1
    fell = centred[:-1] < 0
    assert squares[1:][fell].mean() > 1.05 * squares[1:][~fell].mean()
    assert abs(np.corrcoef(returns[:-1], returns[1:])[0, 1]) < 0.02


def slow_gjr(shocks, alpha, gamma, beta, weight):
    path, variance = [], 1.0
    for shock in shocks:
        path.append(variance**0.5)
        surprise = alpha * shock**2 + (gamma * shock**2 if shock < 0 else 0.0)
        variance = (1 - alpha - gamma * weight - beta) + variance * (surprise + beta)
    return np.array(path)


def test_gjr_volatility_equals_its_definition():
    shocks = np.random.default_rng(3).standard_normal(500)
    found = kernels.gjr_volatility(shocks, 0.03, 0.08, 0.9, 0.5)
    np.testing.assert_allclose(found, slow_gjr(shocks, 0.03, 0.08, 0.9, 0.5), rtol=1e-12)
    np.testing.assert_allclose(
        kernels.gjr_volatility(shocks, 0.08, 0.0, 0.9, 0.5), kernels.garch_volatility(shocks, 0.08, 0.9)
    )


@pytest.mark.parametrize("wrong", [{"skew": 0.0}, {"gamma": -0.1}, {"degrees": 2.0}, {"gamma": 0.5}])
def test_a_skewed_process_without_a_variance_is_refused(wrong):
    with pytest.raises(InputError, match="a skewed market needs"):
        skewed(100, **wrong)


def lagged_product(candles, first, stop, lag=20):
    """Autocovariance of returns over some lags, in units of their variance."""
    returns = np.diff(np.log(candles.close))[first:stop]
    returns = returns - returns.mean()
    sums = np.convolve(returns, np.ones(lag), "full")[lag - 1 : -lag]
    return np.corrcoef(sums, returns[lag:])[0, 1]


def test_a_decayed_edge_is_there_and_then_is_not():
    candles, n = synthetic.planted_decay(200_000, seed=1, true_sharpe=4.0), 200_000
    whole = synthetic.planted_momentum(200_000, seed=1, true_sharpe=4.0)
    alive = int(0.7 * n)
    assert np.array_equal(candles.close[:alive], whole.close[:alive])
    assert lagged_product(candles, 0, alive) > 0.1
    assert abs(lagged_product(candles, alive, n - 1)) < 0.015


def test_an_edge_of_one_regime_is_there_half_of_the_time():
    regime, all_time, none = (
        lagged_product(make(200_000, seed=1, true_sharpe=sharpe), 0, 199_999)
        for make, sharpe in (
            (synthetic.planted_regime, 4.0),
            (synthetic.planted_momentum, 4.0),
            (synthetic.planted_momentum, 0.0),
        )
    )
    assert abs(none) < 0.015
    assert 0.3 * all_time < regime < 0.7 * all_time
