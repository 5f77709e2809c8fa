"""Which regime a market is in, bar by bar, from what was known at the close of each bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import InputError
from quantlab.market.candles import Candles, check_candles
from quantlab.regimes.model import DURATION_BARS, LEAST_DURATIONS, REGIMES, Model, fit, fixed

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = -1


@dataclass(frozen=True, eq=False, repr=False)
class Regimes:
    """What was known about the regime at the close of each bar.

    Attributes
    ----------
    models : tuple of (int, Model)
        First bar, and the model that was in force from it on. Mostly one.
    timestamps : int64 array (n_bars,)
        Open times of the bars, epoch milliseconds.
    probability : float64 array (n_bars, 4)
        Of each of `REGIMES`; 0 for one that the model does not know. The base rate where nothing else is
        known.
    label : int64 array (n_bars,)
        Place in `REGIMES` of the most probable one; -1 during the warm-up, on bars of the training window,
        and where the states are not separated.
    trend_z : float64 array (n_bars,)
        Sum of the last returns by the root of the sum of their squares; NaN undefined.
    vol_percentile : float64 array (n_bars,)
        Share of all volatilities so far that are at most the present one, in (0, 1]; NaN undefined.
    weights : float64 array (n_bars, 3)
        Of the filter, of the softmax of trend and volatility, and of the base rate in `probability`.
    """

    models: tuple[tuple[int, Model], ...]
    timestamps: np.ndarray
    probability: np.ndarray
    label: np.ndarray
    trend_z: np.ndarray
    vol_percentile: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def __repr__(self) -> str:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in self.share.items())
        return f"Regimes({len(self):,} bars: {shares})"

    @property
    def model(self) -> Model:
        """The model in force at the last bar."""
        return self.models[-1][1]

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the most probable regime, shape (n_bars,)."""
        return self.probability.max(axis=1)

    @property
    def entropy(self) -> np.ndarray:
        """Entropy of the probabilities [nat], shape (n_bars,): 0 is certainty, log 4 = 1.39 is ignorance."""
        p = self.probability
        return -np.sum(p * np.log(np.where(p > 0.0, p, 1.0)), axis=1) + 0.0

    @cached_property
    def bars_in_regime(self) -> np.ndarray:
        """Bars for which the label has been what it is, this one included, int64 of shape (n_bars,)."""
        bars = np.arange(len(self))
        begins = np.concatenate(([True], self.label[1:] != self.label[:-1]))
        return bars - np.maximum.accumulate(np.where(begins, bars, 0)) + 1

    @property
    def share(self) -> dict[str, float]:
        """Share of the bars with each label, ``unknown`` included."""
        counts = np.bincount(self.label + 1, minlength=len(REGIMES) + 1) / max(1, len(self))
        return dict(zip((*REGIMES, "unknown"), [*counts[1:].tolist(), float(counts[0])], strict=True))

    def name(self, bar: int = -1) -> str | None:
        """Name of the label of a bar; None where it is unknown."""
        label = int(self.label[bar])
        return None if label == UNKNOWN else REGIMES[label]

    def at(self, bar: int = -1) -> dict[str, Any]:
        """The columns of one bar as plain values, None or NaN where undefined; by default the last bar."""
        model = self._model_at(range(len(self))[bar])
        return {
            **{f"p_{name}": float(self.probability[bar, k]) for k, name in enumerate(REGIMES)},
            "label": self.name(bar),
            "confidence": float(self.confidence[bar]),
            "entropy": float(self.entropy[bar]),
            "trend_z": float(self.trend_z[bar]),
            "vol_percentile": float(self.vol_percentile[bar]),
            "bars_in_regime": int(self.bars_in_regime[bar]),
            "expected_duration_bars": model.duration_bars,
            "detector": model.id,
            "fitted_until_ms": model.fitted_until_ms,
        }

    def to_frame(self) -> pd.DataFrame:
        """One row per bar: index ``timestamp`` (UTC, naive), the columns of `at`."""
        import pandas as pd

        models = [self._model_at(bar) for bar in (first for first, _ in self.models)]
        rows = np.diff([*(first for first, _ in self.models), len(self)])
        columns = {
            **{f"p_{name}": self.probability[:, k] for k, name in enumerate(REGIMES)},
            "label": pd.Categorical.from_codes(self.label, categories=list(REGIMES)),
            "confidence": self.confidence,
            "entropy": self.entropy,
            "trend_z": self.trend_z,
            "vol_percentile": self.vol_percentile,
            "bars_in_regime": self.bars_in_regime,
            "expected_duration_bars": np.repeat([model.duration_bars for model in models], rows),
            "detector": np.repeat([model.id for model in models], rows),
        }
        index = pd.DatetimeIndex(self.timestamps.astype("datetime64[ms]"), name="timestamp")
        return pd.DataFrame(columns, index=index)

    def _model_at(self, bar: int) -> Model:
        return next(model for first, model in reversed(self.models) if first <= bar)


def detect(
    candles: Candles,
    model: Model | None = None,
    *,
    refit_bars: int = 0,
    duration_bars: int | None = None,
    states: Sequence[str] = REGIMES,
) -> Regimes:
    """The regime of every bar, from that bar and earlier ones alone.

    The regimes of the first n bars are, bit for bit, the first n of the regimes.

    Parameters
    ----------
    candles : Candles
        A lost bar moves the probabilities towards ignorance, as one more bar without news does.
    model : Model, optional
        From `fit`; bars of its training window get no label. By default `fixed`, fitted on nothing.
    refit_bars : int
        Fit anew on all earlier bars every so many bars, and label only what follows. 0: never.
    duration_bars : int, optional
        Expected duration of a regime, by default that of the timeframe in `DURATION_BARS`, 500 for hours;
        part of a `model` that is given.
    states : sequence of str
        Regimes to tell apart, all four by default; part of a `model` that is given.

    Returns
    -------
    Regimes
        Known at the close of each bar.

    Raises
    ------
    InputError
        A model together with what belongs to it, or a refit that is too frequent.
    """
    check_candles(candles)
    if model is not None and (refit_bars or duration_bars is not None or tuple(states) != REGIMES):
        raise InputError("a model brings its duration and its states with it and is frozen: give it alone.")
    start = model or fixed(
        DURATION_BARS[candles.timeframe] if duration_bars is None else duration_bars, states
    )
    parts = [(0, start)]
    if refit_bars:
        least = LEAST_DURATIONS * start.duration_bars
        if refit_bars < least:
            raise InputError(
                f"`refit_bars` must be at least {least:,}, {LEAST_DURATIONS} expected durations, got "
                f"{refit_bars!r}."
            )
        parts += [
            (first, fit(candles[:first], start.duration_bars, start.states))
            for first in range(refit_bars, len(candles), refit_bars)
        ]
    return _labelled(candles, tuple(parts))


def _labelled(candles: Candles, parts: tuple[tuple[int, Model], ...]) -> Regimes:
    from quantlab.regimes.kernels import expanding_share, mix, observe

    n, start = len(candles), parts[0][1]
    seen = observe(candles.close, start.decay, start.window, start.vol_window)
    probability, weights = np.zeros((n, len(REGIMES))), np.zeros((n, 3))
    label = np.full(n, UNKNOWN, np.int64)
    for (first, model), last in zip(parts, [*(p[0] for p in parts[1:]), n], strict=True):
        mixed, _, parted, _ = mix(
            seen[0, :last],
            seen[1, :last],
            seen[3, :last],
            np.array(model.mean),
            np.array(model.sd),
            model.stay,
            np.array(model.base),
            model.toward,
            model.forget,
        )
        mixed, parted = mixed[first:], parted[first:]
        told = (np.arange(first, last) >= _first_known(seen)) & model.separated
        if model.fitted_until_ms is not None:
            told &= candles.timestamps[first:last] > model.fitted_until_ms
        columns = [REGIMES.index(name) for name in model.states]
        probability[first:last, columns] = np.where(told[:, None], mixed, np.array(model.base))
        weights[first:last] = np.where(told[:, None], parted, (0.0, 0.0, 1.0))
        label[first:last] = np.where(told, np.argmax(probability[first:last], axis=1), UNKNOWN)
    ranks = np.full(n, UNKNOWN, np.int64)
    known = np.isfinite(seen[2])
    ranks[known] = np.unique(seen[2, known], return_inverse=True)[1]
    return Regimes(parts, candles.timestamps, probability, label, seen[1], expanding_share(ranks), weights)


def _first_known(seen: np.ndarray) -> int:
    """The first bar with a trend: from there on something is said."""
    known = np.isfinite(seen[1])
    return int(np.argmax(known)) if known.any() else known.size
