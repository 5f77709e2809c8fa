"""Mistakes that are made in a notebook: each is an error of ours that says what to write instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import quantlab as ql
from quantlab.errors import InputError, NotStoredError
from quantlab.market.synthetic import iid

Mistake = Callable[[ql.Lab, ql.Candles, ql.Surface], Any]
STORED = r"candles must be Candles, got 'btc': lab\.candles\(exchange, symbol, timeframe\) hands out stored"
SURFACE = (
    r"a Surface or a Study is needed, got \S+: lab\.sweep\(\.\.\.\) and lab\.search\(\.\.\.\) return one"
)
VERDICT = r"a Verdict is needed, got Surface: lab\.validate\(surface\) returns one"
GATE = r"must be .*a Gate, got dict: write ql\.Gate\(alpha=0\.01"
RULES = r"`execution` must be an Execution, got dict: write ql\.Execution\(costs=ql\.Costs"

MISTAKES: dict[str, tuple[Mistake, str]] = {
    "a name for candles, swept": (lambda lab, c, s: lab.sweep("sma_cross", _any("btc")), STORED),
    "a name in a list of candles": (lambda lab, c, s: lab.sweep("sma_cross", [c, _any("btc")]), STORED),
    "a name for candles, searched": (lambda lab, c, s: lab.search("sma_cross", _any("btc")), STORED),
    "a name for candles, queued": (lambda lab, c, s: lab.submit("sma_cross", _any("btc")), STORED),
    "a name for candles, asked about": (lambda lab, c, s: lab.power("sma_cross", _any("btc")), STORED),
    "a name for candles, looked up": (lambda lab, c, s: lab.ledger(_any("btc")), STORED),
    "a name for candles, judged": (lambda lab, c, s: lab.validate(s, _any("btc")), STORED),
    "a name for candles, coloured": (lambda lab, c, s: ql.regimes.detect(_any("btc")), STORED),
    "a name for candles, resampled": (lambda lab, c, s: ql.resample(_any("btc"), "4h"), STORED),
    "a frame for candles": (
        lambda lab, c, s: lab.sweep("sma_cross", _any(c.to_frame())),
        r"got DataFrame: make them with ql\.Candles\.from_frame",
    ),
    "several candles for a job": (
        lambda lab, c, s: lab.submit("sma_cross", _any([c, c[:90]])),
        r"a job is about one market, got 2: `lab\.train` queues several",
    ),
    "a frame of nothing": (
        lambda lab, c, s: lab.put_candles(c.to_frame()),
        r"needs exchange, symbol and timeframe, got '', '' and '': lab\.put_candles\(frame, 'kraken'",
    ),
    "a job that never was": (
        lambda lab, c, s: lab.job("zzz"),
        "there is no job zzz, no job was ever submitted: `quantlab submit`",
    ),
    "dates the wrong way round": (
        lambda lab, c, s: lab.candles("desk", "A/USD", "1h", start="2019-01-01", end="2018-01-01"),
        "`start` must not lie after `end`, got 2019-01-01 and 2018-01-01: exchange them",
    ),
    "a timeframe that could be made": (
        lambda lab, c, s: lab.candles(c.exchange, c.symbol, "4h"),
        r"4h are stored: nearest are .* collect it first\. ql\.resample makes 4h bars of 1h ones",
    ),
    "the day first": (
        lambda lab, c, s: lab.candles("desk", "A/USD", "1h", start="31-12-2018"),
        "got '31-12-2018': write year, month and day in this order",
    ),
    "a number for a date": (
        lambda lab, c, s: lab.candles("desk", "A/USD", "1h", end=_any(2018)),
        r"a moment reads like '2024-05-03'.*, got 2018",
    ),
    "an option of a search": (
        lambda lab, c, s: lab.search("sma_cross", c, trials=20, seeds=3),
        "'seeds' is not an option of a search: did you mean 'seed'",
    ),
    "an option of a queued search": (
        lambda lab, c, s: lab.submit("sma_cross", c, sampler="random", **_any({"objektive": "sharpe"})),
        "'objektive' is not an option of a search: did you mean 'objective'",
    ),
    "an option of a search that is asked about": (
        lambda lab, c, s: lab.power("sma_cross", c, sampler="random", bound={}),
        "'bound' is not an option of a search: did you mean 'bounds'",
    ),
    "an option of a search for a sweep that is asked about": (
        lambda lab, c, s: lab.power("sma_cross", c, seed=3),
        "a sweep has no options seed: they need a `sampler`",
    ),
    "a mapping for the gate": (lambda lab, c, s: lab.validate(s, gate=_any({"draws": 39})), GATE),
    "a mapping for the gate of a job": (
        lambda lab, c, s: lab.submit("sma_cross", c, validate=_any({"draws": 39})),
        GATE,
    ),
    "a mapping for the gate that is asked about": (
        lambda lab, c, s: lab.power("sma_cross", c, gate=_any({"draws": 39})),
        GATE,
    ),
    "a mapping for rules, swept": (lambda lab, c, s: lab.sweep("sma_cross", c, execution=_any({})), RULES),
    "a mapping for rules, searched": (
        lambda lab, c, s: lab.search("sma_cross", c, trials=20, execution=_any({})),
        RULES,
    ),
    "a mapping for rules, queued": (lambda lab, c, s: lab.submit("sma_cross", c, execution=_any({})), RULES),
    "a cell for a surface": (lambda lab, c, s: lab.validate(_any(s.cell((0, 0)))), SURFACE),
    "a name for a surface": (lambda lab, c, s: lab.explore(_any("sma_cross")), SURFACE),
    "a name, to be fingerprinted": (lambda lab, c, s: lab.fingerprint(_any("sma_cross")), SURFACE),
    "a surface, to be approved": (lambda lab, c, s: lab.approve(_any(s), by="a", reason="b"), VERDICT),
    "a surface, to be reported": (lambda lab, c, s: lab.report(_any(s)), VERDICT),
    "a surface, to be looked at": (lambda lab, c, s: lab.look(_any(s)), VERDICT),
}


def _any(given: Any) -> Any:
    """What the types forbid."""
    return given


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ql.Lab]:
    from quantlab.settings import Settings

    with ql.Lab(Settings(home=tmp_path_factory.mktemp("mistakes"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def candles(lab: ql.Lab) -> ql.Candles:
    made = iid(n_bars=600, timeframe="1h", seed=3)
    lab.put_candles(made)
    return made


@pytest.fixture(scope="module")
def surface(lab: ql.Lab, candles: ql.Candles) -> ql.Surface:
    return lab.sweep("sma_cross", candles, {"fast": [5, 8], "slow": [20, 30]}, progress=False)


@pytest.mark.parametrize(("mistake", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told(
    lab: ql.Lab, candles: ql.Candles, surface: ql.Surface, mistake: Mistake, words: str
) -> None:
    counted = lab.ledger().trials
    with pytest.raises((InputError, NotStoredError), match=words):
        mistake(lab, candles, surface)
    assert lab.ledger().trials == counted  # nothing was evaluated
    assert not len(lab.jobs())


def test_a_campaign_refuses_what_is_no_strategy(lab: ql.Lab, candles: ql.Candles) -> None:
    where = candles.exchange, candles.symbol, "1h"
    for wrong in (3, [3], [None]):
        (refused,) = lab.train(_any(wrong), *where).refused
        assert "a strategy is given by its name or as a Strategy" in refused.reason
