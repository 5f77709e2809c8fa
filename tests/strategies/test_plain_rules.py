"""Every strategy against its numbered rule in plain Python, on real and synthetic candles with lost bars."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from naive_strategies import EXITS, RULES, View, exits

from quantlab import strategies
from quantlab.market.candles import COLUMNS, Candles
from quantlab.market.sample import sample_candles
from quantlab.market.synthetic import garch
from quantlab.space import Choice, Float, Int
from quantlab.testing.case import arrays

# where a rule seldom fires, some of the random cells are drawn from a part of the space where it does
OFTEN: dict[str, dict[str, tuple[float, float]]] = {
    "capitulation_reversal": {
        "volume_explosion": (3, 4),
        "velocity": (0.01, 0.012),
        "atr_expansion": (1.5, 1.7),
        "rsi_extreme": (28, 30),
        "panic_score": (0.4, 0.55),
        "confirmation_bars": (3, 8),
    },
    "failed_breakdown": {
        "range_lookback": (20, 24),
        "range_width": (0.05, 0.08),
        "break_depth": (0.0005, 0.001),
        "weak_volume": (1.8, 2.0),
        "strong_volume": (2.0, 2.1),
        "recovery_bars": (3, 5),
    },
    "divergence_capitulation": {"volume_spike": (2.0, 2.1), "divergence_lookback": (60, 70)},
    "htf_sweep": {"htf_multiple": (4, 6), "mss_bars": (20, 48), "sweep_depth": (0.0005, 0.001)},
    "volume_breakout": {
        "range_atr": (1.8, 2.0),
        "volume_multiple": (1.5, 1.8),
        "consolidation_bars": (8, 10),
    },
}


def losing(candles: Candles, share: float, seed: int) -> Candles:
    lost = np.random.default_rng(seed).random(len(candles)) < share
    columns = [np.where(lost, np.nan, getattr(candles, name)) for name in COLUMNS]
    return Candles.from_arrays("test", "BTC/USD", candles.timeframe, candles.timestamps, *columns)


MARKETS = {
    "real": sample_candles()[4_000:7_000],
    "later": sample_candles()[12_003:14_500],
    "synthetic": garch(2_500, seed=3),
    "lost bars": losing(garch(2_500, seed=4), 0.02, 1),
}


def random_cells(name: str, seed: int) -> list[dict[str, Any]]:
    """Three cells of the whole space and five of the part where the rule fires."""
    rng, space = np.random.default_rng(seed), strategies.get(name).space
    cells: list[dict[str, Any]] = []
    while len(cells) < 8:
        part = OFTEN.get(name, {}) if len(cells) >= 3 else {}
        cell: dict[str, Any] = {}
        for p in space.parameters:
            if isinstance(p, Choice):
                cell[p.name] = str(rng.choice(p.options))
                continue
            low, high = part.get(p.name, (p.low, p.high))
            drawn = rng.uniform(low, high)
            cell[p.name] = round(drawn) if isinstance(p, Int) else float(np.clip(drawn, p.low, p.high))
            assert isinstance(p, Int | Float)
        if space.points([cell]).allowed[0]:
            cells.append(cell)
    return cells


def compare(name: str, candles: Candles, cells: list[dict[str, Any]]) -> int:
    """Assert that every cell decides as the plain rule does; return the number of entries."""
    strategy, view = (
        strategies.get(name),
        View(candles.timestamps.tolist(), *(getattr(candles, c).tolist() for c in COLUMNS)),
    )
    points = strategy.space.points(cells)
    found = {
        n: np.broadcast_to(a, (len(cells), *a.shape[1:]))
        for n, a in arrays(strategy.signals(candles, points.params()), 1).items()
    }
    entries, sides = 0, (("long", view), ("short", view.upside_down()))
    for i in range(points.size):
        cell = points.cell((i,))
        first = int(np.asarray(strategy.warmup(cell))) - 1
        for side, seen in sides:
            plain = RULES[name](seen, cell)
            bars = [t for t in sorted(plain) if t >= first and not np.isnan(candles.close[t])]
            assert np.flatnonzero(found[side][i]).tolist() == bars, (side, cell)
            for k, field in enumerate(("stop", "target")):
                if field in found:
                    wanted = [plain[t][k] for t in bars]
                    np.testing.assert_allclose(found[field][i][bars], wanted, rtol=1e-8, err_msg=field)
            if name in EXITS:
                wanted = exits(name, seen, cell)[first:]
                assert found[f"exit_{side}"][i][first:].tolist() == wanted, (side, cell)
            entries += len(bars)
    return entries


@pytest.mark.parametrize("name", RULES)
def test_the_plain_rule(name: str) -> None:
    fired = {m: compare(name, c, random_cells(name, 10 + k)) for k, (m, c) in enumerate(MARKETS.items())}
    assert min(fired.values()) > 0, fired
    assert sum(fired.values()) > 100, fired
