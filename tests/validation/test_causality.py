import numpy as np
import pytest

from quantlab import strategies
from quantlab.market import synthetic
from quantlab.signals import Signals, Strategy, all_of
from quantlab.space import Int, Space
from quantlab.validation.causality import decisions, find_leak

SPACE = Space(Int("window", 2, 50, 10, "bars", "lookback", "entry"), owner="probe")
CANDLES = synthetic.garch(1_500, seed=3)


def probe(long):
    """A strategy that is long where `long(candles)` says so."""
    return Strategy(
        "probe", SPACE, lambda c, p: Signals(long=np.broadcast_to(long(c), (1, len(c.close)))), lambda p: 10
    )


def ahead(values, bars):
    return np.r_[values[bars:], np.full(bars, np.nan)]


LEAKS = {
    "next bar": lambda c: ahead(c.close, 1) > c.close,
    "ten bars on": lambda c: ahead(c.close, 10) > c.close,
    "maximum of all": lambda c: c.close > 0.5 * c.close.max(),
    "mean of all": lambda c: c.close > c.close.mean(),
    "quantile of all volumes": lambda c: c.volume > np.quantile(c.volume, 0.9),
    "centred mean": lambda c: c.close > np.convolve(c.close, np.ones(5) / 5, "same"),
    "age from the end": lambda c: np.arange(len(c.close))[::-1] % 7 == 0,
}


@pytest.mark.parametrize("name", LEAKS)
def test_leaks_are_found(name):
    leak = find_leak(probe(LEAKS[name]), CANDLES, {"window": 10})
    assert leak is not None
    assert leak.field == "long"
    assert leak.bar < leak.cut


def test_a_leak_in_a_stop_is_found():
    strategy = Strategy(
        "probe",
        SPACE,
        lambda c, p: Signals(
            long=c.close[None] > 0, stop=np.full((1, len(c.close)), c.high.max() - c.low.min())
        ),
        lambda p: 1,
    )
    leak = find_leak(strategy, CANDLES, {})
    assert leak is not None
    assert leak.field == "stop"


def test_a_leak_hidden_in_one_clause_is_found():
    def signals(c, p):
        return Signals(short=all_of((c.close > c.open)[None], (c.close > c.close.mean())[None]))

    leak = find_leak(Strategy("probe", SPACE, signals, lambda p: 1), CANDLES, {})
    assert leak is not None
    assert leak.field == "short"


def test_chance_is_found():
    rng = np.random.default_rng(1)
    leak = find_leak(probe(lambda c: rng.random(len(c.close)) < 0.1), CANDLES, {})
    assert leak is not None
    assert leak.field == "repetition"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["sma_cross", "liquidity_sweep"])
def test_the_library_is_clean(name, seed):
    strategy = strategies.get(name)
    assert find_leak(strategy, CANDLES, strategy.space.defaults, seed) is None
    entries = decisions(strategy, CANDLES, strategy.space.defaults)
    assert entries["long"].any()  # otherwise there was nothing to find a leak in


def test_the_past_alone_is_clean():
    clean = probe(lambda c: c.close > np.maximum.accumulate(c.close) * 0.98)
    assert find_leak(clean, CANDLES, {}) is None
