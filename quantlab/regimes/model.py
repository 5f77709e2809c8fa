"""The frozen parameters of a regime detector, and how they are fitted on a training window."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from quantlab.errors import InputError, UnknownNameError
from quantlab.market.candles import Candles

REGIMES = ("bull", "bear", "sideways", "volatile")
"""Names of the regimes, in the order of their labels."""

DURATION_BARS = {"1m": 5_000, "5m": 2_000, "15m": 1_000, "1h": 500, "4h": 200, "1d": 60}
"""Expected duration of a regime by timeframe: from half a week of minutes to two months of days."""

_DRIFT = {"bull": 1.8, "bear": -1.8, "sideways": 0.0, "volatile": 0.0}
_SPREAD = {"bull": 1.1, "bear": 1.1, "sideways": 0.7, "volatile": 2.0}
_TOWARD = {
    "bull": (0.0, 1.0, 0.0),
    "bear": (0.0, -1.0, 0.0),
    "sideways": (1.0, 0.0, 0.0),
    "volatile": (1.0 - 4.0 * math.log(2.0), 0.0, 4.0),  # as likely as sideways at twice the usual volatility
}
_ITERATIONS, _TOLERANCE = 60, 1e-4
_HELD_BACK = 1 / 3

LEAST_DURATIONS = 6
"""A fit needs a window of so many expected durations."""

SEPARATED = 2.0
"""Standard errors by which a fitted model must tell its states apart."""


@dataclass(frozen=True)
class Model:
    """Parameters of a detector. They never change while it labels bars.

    Attributes
    ----------
    states : tuple of str
        Among `REGIMES`, at least two of them, in that order.
    duration_bars : int
        Expected duration of a regime. The windows follow from it: the trend looks back a third of it, the
        fast volatility a twentieth, the slow one has a half-life of eight times as much.
    mean, sd : tuple of float
        Of a bar's log return in each state, in units of the slow volatility.
    base : tuple of float
        Base rate of the states; equal shares where nothing was fitted or the states are not separated.
    fitted_until_ms : int or None
        Open time of the last bar of the training window; None where nothing was fitted.
    separated : bool
        Whether the states can be told apart. Otherwise every bar gets the base rate and no label.
    reason : str
        Why not.
    """

    states: tuple[str, ...]
    duration_bars: int
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    base: tuple[float, ...]
    fitted_until_ms: int | None = None
    separated: bool = True
    reason: str = ""

    @property
    def id(self) -> str:
        """Name of the method, and a hash of the parameters."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return f"filter-mixture-1:{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    @property
    def stay(self) -> float:
        """Probability that a regime lasts another bar."""
        return 1.0 - 1.0 / self.duration_bars

    @property
    def window(self) -> int:
        """Bars of the trend; also of returns before anything is said at all."""
        return max(2, self.duration_bars // 3)

    @property
    def vol_window(self) -> int:
        """Bars of the fast volatility."""
        return max(2, self.duration_bars // 20)

    @property
    def decay(self) -> float:
        """Factor by which a bar more counts less in the slow volatility."""
        return 0.5 ** (1.0 / (8 * self.duration_bars))

    @property
    def forget(self) -> float:
        """Factor by which a bar more counts less in the log scores: a memory of four durations."""
        return 1.0 - 1.0 / (4 * self.duration_bars)

    @property
    def toward(self) -> np.ndarray:
        """Constant, weight of the trend and weight of the log volatility of each state, shape (S, 3)."""
        return np.array([_TOWARD[name] for name in self.states])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }


def fixed(duration_bars: int = DURATION_BARS["1h"], states: Sequence[str] = REGIMES) -> Model:
    """A detector that was fitted on nothing.

    A bull drifts up so far that its expected duration amounts to 1.8 standard deviations, a bear drifts down
    as far; sideways is quiet, volatile is wild and goes nowhere. Bull and bear have one volatility, so that
    the drift alone tells them apart.

    Raises
    ------
    InputError
        Fewer than 20 bars, or states that are none.
    """
    if (
        isinstance(duration_bars, bool)
        or not isinstance(duration_bars, int | np.integer)
        or duration_bars < 20
    ):
        raise InputError(f"`duration_bars` must be a whole number from 20 on, got {duration_bars!r}.")
    for name in states:
        if name not in REGIMES:
            raise UnknownNameError("regime", str(name), REGIMES)
    names = tuple(name for name in REGIMES if name in states)
    if len(names) < 2 or len(names) != len(states):
        raise InputError(f"a detector tells at least two different regimes apart, got {list(states)}.")
    return Model(
        states=names,
        duration_bars=int(duration_bars),
        mean=tuple(_DRIFT[name] / math.sqrt(duration_bars) for name in names),
        sd=tuple(_SPREAD[name] for name in names),
        base=(1.0 / len(names),) * len(names),
    )


def fit(candles: Candles, duration_bars: int | None = None, states: Sequence[str] = REGIMES) -> Model:
    """Fit drift, volatility and base rate of each regime on a training window, and freeze them.

    First the fit is made on two thirds of the window and put to the test on the last: the filter must
    forecast returns better than the base rate does, and bars called bull must have returned more than bars
    called bear, both by two standard errors. Then it is made on all of it.

    Parameters
    ----------
    candles : Candles
        The training window only: `detect` labels no bar of it.
    duration_bars : int, optional
        Expected duration of a regime; by default that of the timeframe in `DURATION_BARS`.
    states : sequence of str
        As of `fixed`, whose parameters are where the fit starts.

    Returns
    -------
    Model
        `separated` is False where the test failed or the states changed their order.

    Raises
    ------
    InputError
        The window is shorter than six expected durations.
    """
    start = fixed(DURATION_BARS[candles.timeframe] if duration_bars is None else duration_bars, states)
    least = LEAST_DURATIONS * start.duration_bars
    if len(candles) < least:
        raise InputError(
            f"a fit needs at least {least:,} bars ({LEAST_DURATIONS} expected durations), got "
            f"{len(candles):,}: pass more candles or a shorter `duration_bars`."
        )
    from quantlab.regimes.kernels import observe

    seen = observe(candles.close, start.decay, start.window, start.vol_window)
    cut = len(candles) - int(len(candles) * _HELD_BACK)
    early, last = _fitted(start, seen[0, :cut]), _fitted(start, seen[0])
    reason = _confused(early) or _confused(last) or _untold(early, seen, cut)
    base = start.base if reason else last.base  # how often confused states occur means nothing
    return replace(last, base=base, fitted_until_ms=candles.last_ms, separated=not reason, reason=reason)


def _fitted(start: Model, x: np.ndarray) -> Model:
    from quantlab.regimes.kernels import fit_states

    mean, sd, base = fit_states(
        x,
        np.array(start.mean),
        np.array(start.sd),
        start.stay,
        float(start.duration_bars),
        _ITERATIONS,
        _TOLERANCE,
    )
    return replace(start, mean=tuple(mean.tolist()), sd=tuple(sd.tolist()), base=tuple(base.tolist()))


def _confused(model: Model) -> str:
    """Why the fitted states are not what they are called; empty if they are."""
    mean, sd = (
        dict(zip(model.states, model.mean, strict=True)),
        dict(zip(model.states, model.sd, strict=True)),
    )
    order = [mean[name] for name in ("bull", "sideways", "bear") if name in mean]
    if any(one <= other for one, other in pairwise(order)):
        return f"the drifts of the fitted states are out of order: {mean}"
    if "volatile" in sd and max(sd.values()) > sd["volatile"]:
        return f"the volatile state is not the most volatile one: {sd}"
    return ""


def _untold(model: Model, seen: np.ndarray, cut: int) -> str:
    """Why the states cannot be told apart from bar `cut` on; empty if they can."""
    from quantlab.regimes.kernels import mix

    arrays = (np.array(model.mean), np.array(model.sd), model.stay, np.array(model.base))
    _, filtered, _, gain = mix(seen[0], seen[1], seen[3], *arrays, model.toward, model.forget)
    x, filtered, gain = seen[0, cut:], filtered[cut:], gain[cut:]
    blocks = [
        np.mean(part[np.isfinite(part)]) for part in np.array_split(gain, 12) if np.isfinite(part).any()
    ]
    better = _t(np.array(blocks))
    if not better > SEPARATED:
        return f"on the last third the filter forecast no better than the base rate (t = {better:.2f})"
    if {"bull", "bear"} <= set(model.states):
        apart = _apart(x, filtered, model)
        if not apart > SEPARATED:
            return f"on the last third bulls returned no more than bears (t = {apart:.2f})"
    return ""


def _apart(x: np.ndarray, filtered: np.ndarray, model: Model) -> float:
    """t statistic of the mean return of bars called bull less that of bars called bear."""
    known, means, squares = np.isfinite(x), [], []
    for name in ("bull", "bear"):
        weight = filtered[known, model.states.index(name)]
        means.append(float(weight @ x[known] / weight.sum()))
        squares.append(float(weight**2 @ (x[known] - means[-1]) ** 2 / weight.sum() ** 2))
    return (means[0] - means[1]) / math.sqrt(sum(squares)) if sum(squares) > 0.0 else math.nan


def _t(sample: np.ndarray) -> float:
    spread = sample.std(ddof=1) if sample.size > 2 else math.nan
    return float(sample.mean() / spread * math.sqrt(sample.size)) if spread > 0.0 else math.nan
