"""Jobs that are asked for more than metrics: regimes, blocks, fill assumptions, candles inside the bars."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from job_helpers import market

import quantlab as ql
from quantlab.errors import InputError, JobError
from quantlab.lab import Lab
from quantlab.lab.spec import make_spec, read_spec
from quantlab.market.candles import Candles
from quantlab.market.resample import resample
from quantlab.market.synthetic import iid

GRID = {"fast": [5, 10], "slow": [30, 60]}


def done(lab: Lab) -> None:
    lab.work(say=lambda _: None)


def hours(lab: Lab, seed: int) -> tuple[Candles, Candles]:
    """Four-hour candles and the hours inside them, both stored."""
    inside = iid(n_bars=3_200, timeframe="1h", seed=seed)
    whole = resample(inside, "4h")
    for candles in (inside, whole):
        lab.put_candles(candles)
    name = inside.exchange, inside.symbol
    return lab.candles(*name, "4h"), lab.candles(*name, "1h")


def wild(candles: Candles) -> pd.Series:
    """Named labels, unknown at first."""
    moves = pd.Series(np.abs(np.diff(np.log(candles.close), prepend=np.nan))).rolling(20).mean()
    codes = np.where(moves.isna(), -1, moves > moves.median())
    return pd.Series(pd.Categorical.from_codes(codes, categories=["calm", "wild"]))


def test_a_job_with_regimes_comes_to_what_a_sweep_finds(lab: Lab) -> None:
    candles = market(lab, 80)
    how: dict[str, Any] = {"regimes": wild(candles), "blocks": 4, "assumptions": ["pessimistic"]}
    job = lab.submit("sma_cross", candles, GRID, **how)
    done(lab)
    expected = ql.sweep("sma_cross", candles, GRID, progress=False, **how)
    found = job.surface()
    assert found.key == expected.key
    assert found.counted
    assert found.in_regime("trades", "wild").sum() > 0
    for metric, values in expected.regimes.items():
        assert found.regimes[metric].tobytes() == values.tobytes(), metric
    assert found.blocks.sum.tobytes() == expected.blocks.sum.tobytes()
    assert np.array_equal(found.under("pessimistic")["sharpe"], expected.under("pessimistic")["sharpe"])
    assert lab.ledger(candles).trials == 2 * found.size  # under two fill assumptions


def test_detected_regimes_and_plain_numbers_survive_the_queue(lab: Lab) -> None:
    candles = market(lab, 81)
    detected = ql.regimes.detect(candles)
    numbers = np.arange(len(candles)) % 3 - 1
    for given in (detected, detected.label, wild(candles), numbers):
        spec = make_spec(lab.store, "sma_cross", candles, GRID, regimes=given)
        again = read_spec(lab.store, spec.to_json())
        then, now = spec.task.job.request, again.task.job.request
        assert np.array_equal(then.regimes, now.regimes)
        assert (then.n_regimes, then.regime_names) == (now.n_regimes, now.regime_names)
        assert spec.task.key == again.task.key
        assert spec.to_json() == again.to_json()


def test_a_job_with_candles_inside_the_bars_comes_to_what_a_sweep_finds(lab: Lab) -> None:
    candles, inside = hours(lab, 82)
    job = lab.submit("narrow", candles, intrabar=inside)
    done(lab)
    expected = ql.sweep("narrow", candles, intrabar=inside, progress=False)
    found = job.surface()
    assert (found.key, found.intrabar) == (expected.key, expected.intrabar)
    assert found["net_profit"].tobytes() == expected["net_profit"].tobytes()
    plain = ql.sweep("narrow", candles, progress=False)
    assert not np.array_equal(plain["net_profit"], found["net_profit"], equal_nan=True)


def test_changed_candles_inside_the_bars_are_refused(lab: Lab) -> None:
    candles, inside = hours(lab, 83)
    job = lab.submit("narrow", candles, intrabar=inside)
    other = iid(n_bars=3_200, timeframe="1h", seed=84)
    lab.put_candles(replace(other, exchange=inside.exchange, symbol=inside.symbol))
    done(lab)
    assert job.status == "failed"
    with pytest.raises(JobError, match=r"1h that are stored .* are not those of the job"):
        job.result()


def test_what_cannot_be_asked_is_refused_before_it_is_queued(lab: Lab) -> None:
    candles, inside = hours(lab, 85)
    before = len(lab.jobs(limit=None))
    with pytest.raises(InputError, match=r"must label each of the"):
        lab.submit("sma_cross", candles, GRID, regimes=np.zeros(3, int))
    with pytest.raises(InputError, match="`regimes`, `blocks` or `intrabar`"):
        lab.submit("sma_cross", candles, sampler="random", regimes=wild(candles))
    with pytest.raises(InputError, match="`regimes`, `blocks` or `intrabar`"):
        lab.submit("sma_cross", candles, sampler="random", intrabar=inside)
    with pytest.raises(InputError, match="submit without `intrabar`"):
        lab.submit("narrow", candles, intrabar=inside, validate=True)
    with pytest.raises(JobError, match="not those of the job"):
        lab.submit("narrow", candles, intrabar=replace(inside, volume=inside.volume * 2))
    assert len(lab.jobs(limit=None)) == before


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"objective": "sharp"}, "did you mean"),
        ({"trials": 5, "sampler": "tpe"}, "first 10 trials of tpe only prepare it"),
        ({"min_trades": -1}, "`min_trades` must be a whole number"),
        ({"objectiv": "sharpe"}, "objectiv"),
    ],
)
def test_a_search_that_would_fail_is_refused_before_it_is_queued(lab: Lab, option: dict, said: str) -> None:
    candles = market(lab, 86, bars=300)
    with pytest.raises((InputError, TypeError), match=said):
        lab.submit("sma_cross", candles, **({"sampler": "random", "trials": 20} | option))


def test_a_campaign_detects_the_regimes_of_each_market(lab: Lab) -> None:
    (one, _), (two, _) = hours(lab, 87), hours(lab, 88)
    campaign = lab.train(
        "narrow",
        one.exchange,
        [one.symbol, two.symbol],
        "4h",
        regimes=wild,
        intrabar="1h",
    )
    assert lab.work(campaign=campaign, say=lambda _: None) == 2
    for candles, job in zip((one, two), campaign.jobs, strict=True):
        found = job.surface()
        lower = lab.candles(candles.exchange, candles.symbol, "1h")
        how: dict[str, Any] = {"regimes": wild(candles), "intrabar": lower}
        assert found.key == ql.sweep("narrow", candles, progress=False, **how).key
        assert found.intrabar.timeframe == "1h"
