"""A report's worth of made-up values, the same on every call."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from quantlab.backtest.trades import TRADE_DTYPE
from quantlab.explore.report import (
    ChosenCell,
    CloseUp,
    EquityCurve,
    EvidenceRow,
    Luck,
    Plane,
    ReportData,
    Section,
)
from quantlab.explore.tables import trade_rows

HOUR_MS = 3_600_000
DEPTHS = [0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005]
SPIKES = [1.0, 1.25, 1.5, 2.0, 2.5, 3.0]


def sample_report(bars: int = 16_450, trades: int = 400) -> ReportData:
    return ReportData(
        (
            sample_section(bars, trades, False),
            sample_section(4_000, 120, True, "sma_cross", "synthetic momentum (planted)"),
        ),
        introduction="Two runs of the same search: a real market, and one into which an edge was planted.",
    )


def sample_section(
    bars: int,
    trades: int,
    approved: bool,
    strategy: str = "liquidity_sweep",
    market_name: str = "coinbase BTC/USD 1h",
) -> Section:
    rng = np.random.default_rng(7)
    times = 1_512_086_400_000 + np.arange(bars) * HOUR_MS
    price = 9_000 * np.exp(np.cumsum(rng.normal(0, 0.008, bars)))
    equity = np.exp(np.cumsum(rng.normal(2e-5, 0.003, bars)))
    record = sample_trades(rng, bars, trades, price)
    return Section(
        strategy=strategy,
        market_name=market_name,
        approved=approved,
        summary="201,600 cells were searched; the best plateau earned a Sharpe of 0.81 before any test.",
        reasons=_reasons(approved),
        figures={
            "sharpe": 0.81,
            "cagr": 0.124,
            "max_drawdown": -0.31,
            "trades": trades,
            "break_even_cost_bps": 17.2,
            "cells searched": 201_600,
            "trials ever": 403_200,
        },
        evidence=_evidence(approved),
        luck=_luck(rng, 4.1 if approved else 1.4),
        folds=_folds(rng, times),
        walk_forward_note="Each window was searched again from scratch on the past alone.",
        planes=(_plane(rng),),
        cell=_cell(rng),
        curve=EquityCurve(
            times, equity, price, ((int(times[int(0.7 * bars)]), int(times[-1]), "last part"),)
        ),
        fills={
            "pessimistic": {"net_profit": 0.19, "sharpe": 0.66, "max_drawdown": -0.33},
            "neutral": {"net_profit": 0.24, "sharpe": 0.81, "max_drawdown": -0.31},
            "optimistic": {"net_profit": 0.29, "sharpe": 0.93, "max_drawdown": -0.30},
        },
        costs={"taker fee per side": "0.1%", "maker fee per side": "0.1%", "slippage": "2 bps"},
        trades=trade_rows(record, times),
        close_ups=(_close_up(times, price, rng),),
        market={"exchange": "coinbase", "symbol": "BTC/USD", "bars": bars, "held": 1.42},
        quality=(("bars", f"{bars:,}", "2017-12-01 to 2019-10-18"), ("missing", "10 (0.06%)", "2018-03-04")),
        quality_notes=("98.1% of opens equal the previous close: the source invented them.",),
        provenance={"quantlab": "0.1.0", "candles": "9f2c" * 16, "surface": "a01b" * 16},
        commands=("make research", "quantlab sweep liquidity_sweep coinbase BTC/USD 1h --json"),
    )


def sample_trades(rng: np.random.Generator, bars: int, count: int, price: np.ndarray) -> np.ndarray:
    record = np.zeros(count, TRADE_DTYPE)
    entry = np.sort(rng.choice(bars - 60, count, replace=False)) + 1
    record["entry_bar"], record["decision_bar"] = entry, entry - 1
    record["bars_held"] = rng.integers(1, 40, count)
    record["exit_bar"] = entry + record["bars_held"]
    record["side"] = rng.choice([-1, 1], count)
    record["reason"] = rng.integers(1, 4, count)
    record["entry_price"], record["exit_price"] = price[entry], price[record["exit_bar"]]
    record["gross_return"] = record["side"] * (record["exit_price"] / record["entry_price"] - 1)
    record["trade_return"] = record["gross_return"] - 0.0024
    after = np.cumprod(1 + record["trade_return"])
    record["equity_before"] = np.concatenate([[1.0], after[:-1]])
    record["profit"] = after - record["equity_before"]
    record["reason"][-1] = 0
    return record


def _reasons(approved: bool) -> tuple[str, ...]:
    if approved:
        return ("Every deciding test passed; the weakest was recency with p = 0.04.",)
    return (
        "does not hold when refitted and traded forward: the six windows together have a timing t of 0.41 "
        "(p = 0.34), at most 0.05 is allowed.",
        "does not survive higher costs: at twice the fees the timing alpha is negative.",
    )


def _evidence(approved: bool) -> tuple[EvidenceRow, ...]:
    return (
        EvidenceRow("enough trades", 400, 30, True, "400 closed trades, at least 30 are needed.", 0.01),
        EvidenceRow("probabilistic Sharpe ratio", 0.87, None, None, "Ignores that many cells were tried."),
        EvidenceRow("walk-forward", 0.34 if not approved else 0.001, 0.05, approved, "p-value of timing."),
        EvidenceRow("recency", None, 0.3, approved, "The last 30 % was traded once."),
    )


def _luck(rng: np.random.Generator, real: float) -> Luck:
    scores = {"mirrored": rng.gumbel(1.1, 0.5, 199), "shuffled": rng.gumbel(1.2, 0.5, 199)}
    words = f"{(scores['mirrored'] >= real).sum()} of 199 mirrored markets did as well or better."
    return Luck(scores, real, words)


def _folds(rng: np.random.Generator, times: np.ndarray) -> tuple[dict, ...]:
    edges = np.linspace(0.4, 1.0, 7) * (len(times) - 1)
    params = {"pierce_depth": 0.001, "volume_spike": 1.5, "stop_atr": 2.0}
    return tuple(
        {
            "train_first_ms": int(times[0]),
            "train_last_ms": int(times[int(start)]),
            "test_first_ms": int(times[int(start)]) + 24 * HOUR_MS,
            "test_last_ms": int(times[int(stop)]),
            "params": params if k else None,
            "in_sample_sharpe": float(rng.normal(1.2, 0.2)) if k else float("nan"),
            "out_of_sample_sharpe": float(rng.normal(0.1, 1.0)) if k else float("nan"),
            "trades": int(rng.integers(5, 40)) if k else 0,
        }
        for k, (start, stop) in enumerate(pairwise(edges))
    )


def _plane(rng: np.random.Generator) -> Plane:
    hill = np.exp(-np.add.outer((np.arange(6) - 2.4) ** 2 / 6, (np.arange(7) - 2.0) ** 2 / 7))
    z = 1.6 * hill - 0.5 + rng.normal(0, 0.12, (6, 7))
    z[5, 5:] = np.nan
    z[0, 6] = 1.9
    marks = ((0.001, 1.5, "plateau"), (0.005, 1.0, "peak"))
    return Plane(
        z,
        DEPTHS,
        SPIKES,
        "pierce_depth (fraction)",
        "volume_spike (x mean)",
        "sharpe",
        marks=marks,
        note="The peak stands alone; the plateau was chosen.",
        hover={"trades": np.round(300 * hill + 20)},
    )


def _cell(rng: np.random.Generator) -> ChosenCell:
    params = {"pierce_depth": 0.001, "volume_spike": 1.5, "level_lookback": 48, "side": "both"}
    neighbours = [
        {"pierce_depth": d, "volume_spike": s, "sharpe": float(rng.normal(0.7, 0.1)), "trades": 380 + k}
        for k, (d, s) in enumerate([(0.0005, 1.5), (0.0015, 1.5), (0.001, 1.25), (0.001, 2.0)])
    ]
    return ChosenCell(
        params,
        {"pierce_depth": 0.0005, "volume_spike": 0.25, "level_lookback": 12, "side": None},
        {"pierce_depth": "fraction", "volume_spike": "x mean", "level_lookback": "bars"},
        {"pierce_depth": "how far the wick must pierce the level", "volume_spike": "volume over its mean"},
        {"sharpe": 0.81, "net_profit": 0.24, "max_drawdown": -0.31, "win_rate": 0.52, "profit_factor": 1.19},
        neighbours,
        (
            ("pierce_depth", DEPTHS, rng.normal(0.6, 0.2, 7), 0.001, 0.0005),
            ("volume_spike", SPIKES, rng.normal(0.6, 0.2, 6), 1.5, 0.25),
            ("level_lookback", [24, 36, 48, 72, 96], rng.normal(0.6, 0.2, 5), 48, 12),
        ),
        note="The middle of the widest region of cells that do nearly as well as it, not the peak.",
    )


def _close_up(times: np.ndarray, price: np.ndarray, rng: np.random.Generator) -> CloseUp:
    o, c = price[:160], price[1:161]
    high, low = np.maximum(o, c) * 1.002, np.minimum(o, c) * 0.998
    at, out = 60, 84
    return CloseUp(
        "The trade with the median result",
        times[:160],
        o,
        high,
        low,
        c,
        ((int(times[at]), float(o[at]), "long"),),
        ((int(times[out]), float(o[out]), "stop"),),
        ((int(times[at]), int(times[out]), float(o[at] * 0.97), "stop"),),
    )
