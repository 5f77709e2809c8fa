"""A candidate document of a real cell: replayed trades on a market with a planted edge, a stated verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from quantlab.backtest.execution import ASSUMPTIONS, Execution
from quantlab.backtest.replay import replay
from quantlab.backtest.surface import Cell, identity
from quantlab.backtest.trades import Run
from quantlab.configuration.agreement import compare
from quantlab.configuration.document import approve, build
from quantlab.configuration.provenance import Provenance
from quantlab.configuration.searched import Search
from quantlab.market.candles import Candles
from quantlab.market.synthetic import planted_momentum
from quantlab.strategies import get
from quantlab.validation.thresholds import Gate
from quantlab.validation.verdict import DECISIVE, Evidence, Test, Verdict, conclude
from quantlab.validation.walkforward import Fold, WalkForward

CREATED = "2026-01-31T12:00:00Z"
APPROVED = "2026-02-01T08:30:00Z"
NOW = datetime(2026, 2, 2, tzinfo=UTC)
PARAMS = {"fast": 5, "slow": 20}
KEY = "5" * 64
HERE = Provenance("0.1.0", "a" * 40, False, "b" * 64, "c" * 64, "CPython 3.11.7, x86_64 Linux")


@cache
def market() -> Candles:
    return planted_momentum(1_500, seed=5, true_sharpe=3.0)


@cache
def runs() -> dict[str, Run]:
    strategy = get("sma_cross")
    return {
        name: replay(strategy, market(), PARAMS, replace(Execution(), assumption=name))
        for name in ASSUMPTIONS
    }


def walk_forward() -> WalkForward:
    fold = Fold(0, 86_400_000, 2 * 86_400_000, 9 * 86_400_000, {"fast": 5, "slow": 20}, 2.1, 1.4, 12)
    flat = replace(
        fold, params=None, in_sample_sharpe=float("nan"), out_of_sample_sharpe=float("nan"), trades=0
    )
    daily = tuple(0.01 if day % 3 else -0.008 for day in range(60))
    return WalkForward((fold, flat), tuple(range(60)), daily, tuple(0.0 for _ in daily), (0.2,) * 60, 365.0)


def verdict(*, failed: str | None = None, **changes: Any) -> Verdict:
    tests = [Test(name, 1.0, 0.5, name != failed, f"{name} as stated", seconds=0.1) for name in DECISIVE]
    tests.append(Test("psr", None, None, None, "could not be measured"))
    evidence = Evidence(tuple(tests), walk_forward(), {}, 25, 70, Gate())
    return conclude(
        evidence,
        **{
            "cell": Cell((0, 1), PARAMS, runs()["neutral"].metrics),
            "strategy": "sma_cross",
            "surface_key": KEY,
            "market": identity(market()).to_json(),
            "execution": Execution().to_json(),
        }
        | changes,
    )


def search() -> Search:
    return Search(
        method="grid",
        seed=None,
        surface_key=KEY,
        space_hash=get("sma_cross").space.hash,
        objective="sharpe",
        trials_in_run=25,
        rank=3,
        ranked=24,
        rule="plateau",
        score=1.25,
        values={"fast": [5, 8, 12], "slow": [20]},
        half_width={"fast": 3.0},
    )


def candidate(failed: str | None = None, **changes: Any) -> dict[str, Any]:
    parts = {
        "strategy": get("sma_cross"),
        "candles": market(),
        "search": search(),
        "verdict": verdict(failed=failed).to_json(),
        "runs": runs(),
        "replay": compare(runs()["neutral"], runs()["neutral"]),
        "provenance": HERE,
        "created_at": CREATED,
        "source": "generated",
    }
    return build(**(parts | changes))


@cache
def _approved() -> dict[str, Any]:
    return approve(candidate(), by="ana", reason="holds on all paths", at=APPROVED)


def approved() -> dict[str, Any]:
    """A fresh copy of an approved document."""
    from copy import deepcopy

    return deepcopy(_approved())
