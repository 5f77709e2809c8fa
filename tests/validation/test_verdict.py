import base64
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from quantlab.backtest.execution import Execution
from quantlab.backtest.surface import Cell
from quantlab.errors import InputError, IntegrityError, UnknownNameError
from quantlab.validation.rerun import NullScores, Rerun
from quantlab.validation.thresholds import Gate
from quantlab.validation.verdict import DECISIVE, REPORTED, Evidence, Test, Verdict, conclude
from quantlab.validation.walkforward import Fold, WalkForward

FOLDS = (
    Fold(0, 86_400_000, 3 * 86_400_000, 4 * 86_400_000, {"fast": 5, "slow": 20}, 1.5, 0.7, 9),
    Fold(0, 3 * 86_400_000, 5 * 86_400_000, 6 * 86_400_000, None, math.nan, math.nan, 0),
)
TABLE = WalkForward(
    FOLDS, (3, 4, 5, 6), (0.01, -0.005, 0.0, 0.0), (0.02, -0.01, 0.03, 0.0), (0.25,) * 4, 365.0
)
CELL = Cell((1, 2), {"fast": 8, "slow": 20}, {"sharpe": 1.2, "profit_factor": math.nan})
IDENTITY = {
    "cell": CELL,
    "strategy": "sma_cross",
    "surface_key": "ab" * 32,
    "market": {
        "exchange": "lab",
        "symbol": "A<B>/USD",
        "timeframe": "1d",
        "first_ms": 0,
        "last_ms": 86_400_000,
    },
    "execution": Execution().to_json(),
}


def evidence(**passed):
    tests = [
        Test(n, 0.5, 1.0, passed.get(n, True), f"about {n} & more.", 0.25)
        for n in DECISIVE
        if passed.get(n, 1) != "left out"
    ]
    tests += [Test(n, math.nan, None, None, f"about {n}.") for n in REPORTED]
    return Evidence(
        tuple(tests), TABLE, {"neutral": {"net_profit": 0.1, "sharpe": math.nan}}, 144, None, Gate()
    )


def test_all_passed_is_approved_with_what_held():
    verdict = conclude(evidence(), **IDENTITY)
    assert verdict.approved
    assert len(verdict.reasons) == len(DECISIVE)
    assert verdict.reasons[0] == "enough trades: about trades & more."
    assert verdict.seconds == pytest.approx(0.25 * len(DECISIVE))


@pytest.mark.parametrize("name", DECISIVE)
def test_any_failure_refuses_and_is_named(name):
    verdict = conclude(evidence(**{name: False}), **IDENTITY)
    assert not verdict.approved
    assert verdict.reasons == (f"{DECISIVE[name][1]}: about {name} & more.",)


@pytest.mark.parametrize("name", DECISIVE)
def test_a_test_that_was_not_run_refuses(name):
    verdict = conclude(evidence(**{name: "left out"}), **IDENTITY)
    assert not verdict.approved
    assert verdict.evidence.missing == (name,)
    assert name in verdict.reasons[0]


def test_a_verdict_cannot_contradict_its_evidence():
    with pytest.raises(IntegrityError, match="recency"):
        Verdict(True, (), evidence(recency=False), **IDENTITY)
    document = conclude(evidence(recency=False), **IDENTITY).to_json()
    with pytest.raises(IntegrityError, match="follows from its evidence"):
        Verdict.from_json(document | {"approved": True})
    with pytest.raises(
        IntegrityError, match=r"another version of the gate wrote: validate the surface again"
    ):
        Verdict.from_json(document | {"format": "quantlab.verdict/0"})


def test_what_decides_follows_from_the_name():
    with pytest.raises(IntegrityError):
        Test("recency", 0.1, 0.3, None, "never silently reported only")
    with pytest.raises(IntegrityError):
        Test("psr", 0.99, 0.95, True, "never decisive")
    with pytest.raises(UnknownNameError, match="recency"):
        Test("recensy", 0.1, 0.3, True, "")


@pytest.mark.parametrize("failed", [{}, {"search_rerun": False, "delay": False}])
def test_round_trip_through_json(failed):
    verdict = conclude(evidence(**failed), **IDENTITY)
    document = json.loads(json.dumps(verdict.to_json(), allow_nan=False))
    again = Verdict.from_json(document)
    assert again.to_json() == verdict.to_json() == document
    assert again.evidence.tests == verdict.evidence.tests
    assert again.evidence.gate == verdict.evidence.gate
    assert again.reasons == verdict.reasons
    assert again.evidence.walk_forward.timing_t == verdict.evidence.walk_forward.timing_t
    assert math.isnan(again.cell.metrics["profit_factor"])
    assert math.isnan(again.evidence.walk_forward.folds[1].in_sample_sharpe)


def test_seconds_are_no_part_of_equality():
    test = Test("psr", 0.5, None, None, "x", 1.0)
    assert test == replace(test, seconds=2.0)
    assert test != replace(test, value=0.6)


def test_html_is_escaped_and_complete():
    verdict = conclude(evidence(recency=False), **IDENTITY)
    page = verdict._repr_html_()
    assert "A&lt;B&gt;/USD" in page
    assert "<B>" not in page
    assert "<script" not in page
    assert page.count("<tr>") == 1 + len(DECISIVE) + 1 + len(REPORTED) + 1 + len(FOLDS)
    assert page.count("<table>") == page.count("</table>") == 3
    assert "stayed flat" in page
    assert "REFUSED" in page


def test_what_noise_alone_gives_is_said_and_drawn():
    nulls = tuple(
        NullScores(name, 1.5, np.array(scores), 9)
        for name, scores in (("sign_flip", [0.1, 1.7, 1.5, 0.4, -np.inf]), ("permute", [0.2, 0.3, 2.0]))
    )
    found = replace(evidence(search_rerun=False), nulls=Rerun(1.5, nulls, 0))
    verdict = conclude(found, **IDENTITY)
    said = "This is what noise alone gives: the same search did as well or better on 2 of 5 mirrored markets "
    said += "and 1 of 3 shuffled markets"
    assert said in str(verdict)
    page = verdict._repr_html_()
    assert said in page
    held = re.findall('src="data:image/svg[+]xml;base64,([^"]+)"', page)
    assert len(held) == 1
    assert "<svg" not in page  # JupyterLab takes it out of a notebook that it does not trust
    assert "the real market: 1.50" in base64.b64decode(held[0]).decode()
    figure = verdict.figure()
    assert figure.layout.title.text.startswith("REFUSED: sma_cross")
    assert "A&lt;B&gt;/USD" in figure.layout.title.text
    assert [int(trace.y.sum()) for trace in figure.data] == [4, 3]  # one market had no find to draw
    with pytest.raises(InputError, match="no markets without an edge could be made"):
        conclude(evidence(), **IDENTITY).figure()
    assert "noise alone" not in str(conclude(evidence(), **IDENTITY))
    begun = Rerun(1.5, (nulls[0], replace(nulls[1], scores=np.array([]))), 0)  # interrupted in the first kind
    half = conclude(replace(found, nulls=begun), **IDENTITY)
    assert len(half.figure().data) == 1
    assert "2 of 5 mirrored markets, which" in half._repr_html_()


def test_text_says_the_same():
    text = str(conclude(evidence(), **IDENTITY))
    assert text.startswith(
        "APPROVED: sma_cross (fast=8, slow=20) on lab A<B>/USD 1d, 1970-01-01 to 1970-01-02"
    )
    for name in DECISIVE:
        assert f"about {name} & more." in text
    assert "fast=5" in text  # the first fold chose another fast window ...
    assert "slow=20" in text.splitlines()[0]
    assert "slow" not in text.splitlines()[-2]  # ... and the same slow one


def test_efficiency_by_hand():
    assert TABLE.efficiency == pytest.approx(TABLE.sharpe / 1.5)
    assert math.isnan(replace(TABLE, folds=(replace(FOLDS[0], in_sample_sharpe=-1.0),)).efficiency)
    assert TABLE.trades == 9


def test_evidence_by_name():
    assert evidence()["recency"].value == 0.5
    with pytest.raises(UnknownNameError, match="recency"):
        evidence()["recencyy"]
