"""What may be asked of a sweep, and where its answer lies in the rows."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantlab.backtest.daily import day_numbers, market_returns
from quantlab.backtest.execution import Execution
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.request import BLOCK_SUMS, REGIME_METRICS, Request, make_request
from quantlab.errors import InputError, UnknownNameError
from quantlab.market.synthetic import garch
from quantlab.regimes import detect

CANDLES = garch(300, seed=4)
DAYS = len(day_numbers(CANDLES.timestamps))
LABELS = np.arange(300) % 4 - 1


def test_the_layout_names_every_row_once_and_in_order() -> None:
    request = Request(("pessimistic", "optimistic"), LABELS, 3, 4)
    layout = request.layout
    assert len(layout) == len(set(layout)) == request.rows == 3 * len(METRICS) + 3 * 6 + 4 * 3
    assert layout[request.assumption_rows(-1)] == METRICS
    assert layout[request.assumption_rows(1)] == tuple(f"{name}, optimistic" for name in METRICS)
    assert layout[request.regime_rows][6] == "trades, regime 1"
    assert layout[request.block_rows][-1] == "exposure, block 3"
    assert layout[request.block_rows][: len(BLOCK_SUMS)] == tuple(f"{name}, block 0" for name in BLOCK_SUMS)
    assert len(layout[request.regime_rows]) == 3 * len(REGIME_METRICS)


def test_nothing_asked_is_the_metrics_alone() -> None:
    assert Request().plain
    assert Request().layout == METRICS
    assert not Request(blocks=2).plain
    assert not Request(("optimistic",)).plain


def test_the_executions_own_assumption_is_no_other() -> None:
    wanted = ("optimistic", "neutral", "optimistic")
    assert make_request(CANDLES, Execution(), wanted).assumptions == ("optimistic",)
    pessimistic = Execution(assumption="pessimistic")
    assert make_request(CANDLES, pessimistic, wanted).assumptions == ("neutral", "optimistic")
    assert make_request(CANDLES, pessimistic, "neutral").assumptions == ("neutral",)


def test_labels_may_be_categories() -> None:
    names = pd.Series(["calm", "wild", None] * 100).astype(pd.CategoricalDtype(["calm", "wild", "never"]))
    request = make_request(CANDLES, Execution(), regimes=names)
    assert request.n_regimes == 3
    assert request.regime_names == ("calm", "wild", "never")
    assert request.regimes.tolist() == [0, 1, -1] * 100


def test_detected_regimes_bring_their_names() -> None:
    found = detect(CANDLES, duration_bars=30)
    request = make_request(CANDLES, Execution(), regimes=found)
    assert request.regime_names == ("bull", "bear", "sideways", "volatile")
    assert request.n_regimes == 4
    assert request.regimes.tolist() == found.label.tolist()
    plain = make_request(CANDLES, Execution(), regimes=np.where(found.label < 0, -1, found.label))
    assert request.to_json()["regimes"] == plain.to_json()["regimes"]
    with pytest.raises(InputError, match="detected on 299 other bars than these 300"):
        make_request(CANDLES, Execution(), regimes=detect(CANDLES[1:], duration_bars=30))


def test_blocks_cut_the_days_without_a_gap() -> None:
    for blocks in (2, 5, DAYS):
        bounds = Request(blocks=blocks).bounds(DAYS)
        assert bounds[0] == 0
        assert bounds[-1] == DAYS
        assert bounds.tolist() == [i * DAYS // blocks for i in range(blocks + 1)]
        returns = market_returns(CANDLES.open, CANDLES.close, CANDLES.timestamps)
        expected = [returns[a:b].sum() for a, b in itertools.pairwise(bounds)]
        assert Request(blocks=blocks).market_sums(CANDLES) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"regimes": LABELS[:-1]}, r"each of the 300 bars, got an array of shape \(299,\)"),
        ({"regimes": LABELS[None]}, r"shape \(1, 300\)"),
        ({"regimes": LABELS * 1.0}, "whole numbers .* float64: number them"),
        ({"regimes": LABELS - 1}, "got -2 to 1"),
        ({"regimes": np.full(300, -1)}, "label some bar; got -1 to -1"),
        ({"blocks": 1}, rf"`blocks` must be in \[2, {DAYS}\].* got 1"),
        ({"blocks": DAYS + 1}, rf"got {DAYS + 1}"),
        ({"blocks": -2}, "got -2"),
        ({"blocks": 2.0}, "a whole number, got 2.0"),
        ({"blocks": True}, "a whole number, got True"),
    ],
)
def test_what_makes_no_sense_is_refused(how: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_request(CANDLES, Execution(), **how)


def test_an_unknown_assumption_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="'pesimistic' is not a fill assumption: did you mean 'pess"):
        make_request(CANDLES, Execution(), ["pesimistic"])


def test_the_identity_of_a_request_covers_everything() -> None:
    other = LABELS.copy()
    other[7] = 0
    requests = [
        Request(),
        Request(("pessimistic",)),
        Request(regimes=LABELS, n_regimes=3),
        Request(regimes=other, n_regimes=3),
        Request(regimes=LABELS, n_regimes=4),
        Request(blocks=2),
        Request(blocks=3),
    ]
    assert len({str(request.to_json()) for request in requests}) == len(requests)
