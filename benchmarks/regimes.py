"""Regimes: seconds per 100,000 bars, and how often they are right where the truth is known.

Chains of three states (mean durations 600, 400 and 800 hours) with Student t noise of 5 degrees of freedom;
fitted on the first half, scored on the second. Real markets have no such truth: this measures the method,
not a market.

    python benchmarks/regimes.py [--bars 100000] [--chains 5] [--repeats 5] [--json]
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
from common import timed

from quantlab import regimes
from quantlab.market.candles import TIMEFRAMES, Candles
from quantlab.market.synthetic import garch
from quantlab.regimes.kernels import mix, observe

STATES = ("bull", "bear", "sideways")
DURATIONS = (600, 400, 800)
HOUR_SD = 0.006
# drift and volatility of each state in units of HOUR_SD; the true-parameter filter says how hard each is
MARKETS = {
    "strong": ((0.06, -0.09, 0.0), (0.95, 1.25, 0.72)),
    "medium": ((0.09, -0.12, 0.0), (1.00, 1.17, 0.78)),
    "weak": ((0.07, -0.09, 0.0), (1.00, 1.06, 0.95)),
}


def chain(bars: int, kind: str, seed: int) -> tuple[Candles, np.ndarray]:
    """Candles of a market that changes its state, and the state of each bar."""
    rng = np.random.default_rng(seed)
    state = np.empty(bars, np.int64)
    first, now = 0, int(rng.integers(3))
    while first < bars:
        last = first + int(rng.geometric(1.0 / DURATIONS[now]))
        state[first:last] = now
        first, now = last, int((now + rng.integers(1, 3)) % 3)
    mean, sd = (np.array(values) for values in MARKETS[kind])
    noise = rng.standard_t(5, bars) / np.sqrt(5 / 3)
    close = 10_000.0 * np.exp(np.cumsum(HOUR_SD * (mean[state] + sd[state] * noise)))
    opened = np.concatenate(([10_000.0], close[:-1]))
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    times = np.arange(bars, dtype=np.int64) * TIMEFRAMES["1h"]
    candles = Candles.from_arrays(
        "synthetic", f"{kind.upper()}/USD", "1h", times, opened, high, low, close, np.ones(bars)
    )
    return candles, state


def oracle(candles: Candles, kind: str) -> np.ndarray:
    """The filter that knows drift, volatility, durations and noise: nothing can do better."""
    mean, sd = (np.array(values) for values in MARKETS[kind])
    x = np.diff(np.log(candles.close), prepend=np.nan)[:, None] / HOUR_SD
    z = (x - mean) / (sd / np.sqrt(5 / 3))
    density = np.where(np.isnan(x), 1.0, (1.0 + z**2 / 5) ** -3.0 / sd)
    leave = 1.0 / np.array(DURATIONS)
    move = np.diag(1.0 - leave) + (leave[:, None] / 2) * (1 - np.eye(3))
    out, now = np.empty((len(candles), 3)), np.full(3, 1 / 3)
    for t in range(len(candles)):
        now = (now @ move) * density[t]
        now /= now.sum()
        out[t] = now
    return out


def score(probability: np.ndarray, state: np.ndarray) -> dict[str, float]:
    """Accuracy and log loss of probabilities of the three states, rows of the second half."""
    half = state.size // 2
    p, truth = probability[half:], state[half:]
    right = np.clip(p[np.arange(truth.size), truth], 1e-12, 1.0)
    return {"accuracy": float(np.mean(p.argmax(axis=1) == truth)), "log_loss": float(-np.log(right).mean())}


def judged(bars: int, kind: str, seed: int) -> dict[str, dict[str, float]]:
    """Every method on one chain."""
    candles, state = chain(bars, kind, seed)
    half = bars // 2
    base = np.bincount(state[:half], minlength=3) / half
    model = regimes.fit(candles[:half], states=STATES)
    fixed = regimes.fixed(states=STATES)
    seen = observe(candles.close, fixed.decay, fixed.window, fixed.vol_window)
    filters = {}
    for name, m in (("fixed", fixed), ("fitted", model)):
        arrays = (np.array(m.mean), np.array(m.sd), m.stay, np.array(m.base), m.toward, m.forget)
        filters[name] = mix(seen[0], seen[1], seen[3], *arrays)[1]
    found = {
        "base rate": np.tile(base, (bars, 1)),
        "true parameters": oracle(candles, kind),
        "fixed, filter alone": filters["fixed"],
        "fixed, mixed": regimes.detect(candles, states=STATES).probability[:, :3],
        "fitted, filter alone": filters["fitted"],
        "fitted, mixed": regimes.detect(candles, model).probability[:, :3],
    }
    return {name: score(p, state) for name, p in found.items()} | {
        "separated": {"share": float(model.separated)}
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bars", type=int, default=100_000)
    parser.add_argument("--chains", type=int, default=5, help="of each kind; figures are their means")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    market = garch(asked.bars, seed=asked.seed)
    regimes.fit(market[: min(asked.bars, 4_000)])
    regimes.detect(market)  # compiled, or loaded
    half = market[: asked.bars // 2]
    figures: dict[str, Any] = {
        "bars": asked.bars,
        "chains": asked.chains,
        "detect": timed(lambda: regimes.detect(market), asked.repeats),
        "fit": timed(lambda: regimes.fit(half), asked.repeats),
        "accuracy": {},
    }
    for kind in MARKETS:
        chains = [judged(asked.bars, kind, asked.seed + i) for i in range(asked.chains)]
        figures["accuracy"][kind] = {
            name: {key: float(np.mean([one[name][key] for one in chains])) for key in chains[0][name]}
            for name in chains[0]
        }
    if asked.json:
        print(json.dumps(figures))
        return
    for what in ("detect", "fit"):
        print(f"{what:6s} {figures[what]['seconds']:.3f} s (least {figures[what]['min_seconds']:.3f})")
    for kind, methods in figures["accuracy"].items():
        for name, values in methods.items():
            print(f"{kind:7s} {name:22s} " + ", ".join(f"{key} {value:.3f}" for key, value in values.items()))


if __name__ == "__main__":
    main()
