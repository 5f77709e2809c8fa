"""Leaks of signal processing and of filling in: filters in both directions, transforms, back-fill."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import signal

from leaks.bases import FAR, each, planted, rising
from quantlab.signals import Signals
from quantlab.space import Params


def both_ways(x: np.ndarray) -> np.ndarray:
    """A Butterworth low-pass, run forth and back."""
    if len(x) < 16 or np.isnan(x).any():
        return np.full(len(x), np.nan)
    return np.asarray(signal.filtfilt(*signal.butter(2, 0.1), x))


def low_pass(x: np.ndarray) -> np.ndarray:
    """The slowest tenth of the Fourier transform."""
    if np.isnan(x).any():
        return np.full(len(x), np.nan)
    waves = np.fft.rfft(x)
    waves[max(2, len(waves) // 10) :] = 0.0
    return np.fft.irfft(waves, len(x))


def smooth(x: np.ndarray, window: int) -> np.ndarray:
    size = window | 1
    return np.full(len(x), np.nan) if len(x) < size else np.asarray(signal.savgol_filter(x, size, 2))


def phase(x: np.ndarray) -> np.ndarray:
    known = np.nan_to_num(x, nan=0.0)
    return np.angle(np.asarray(signal.hilbert(known - known.mean())))


def sparse(c: Any) -> np.ndarray:
    """Close of every bar of climax volume, NaN between."""
    typical = pd.Series(c.volume).rolling(20).mean().to_numpy()
    return np.where(c.volume > 2.0 * typical, c.close, np.nan)


def between(c: Any) -> np.ndarray:
    """A line from one climax to the next."""
    return pd.Series(sparse(c)).interpolate().to_numpy()


def filled(x: np.ndarray) -> np.ndarray:
    return pd.Series(x).bfill().to_numpy()


def leaving(c: Any, p: Params) -> Signals:
    """Leaves below the mean of closes in which lost ones were filled from behind: on lost bars too."""
    whole = pd.Series(filled(c.close))
    left = each(p, lambda window: (whole < whole.rolling(window).mean()).to_numpy())
    return Signals(long=rising(c, p), exit_long=left)


FILTER_LEAKS = (
    planted("filtfilt", lambda c, p: rising(c, p) & (c.close < both_ways(c.close)), nearest=1),
    planted(
        "fourier_low_pass",
        lambda c, p: rising(c, p) & (c.close < low_pass(c.close)),
        nearest=1,
        furthest=FAR,
    ),
    planted(
        "savitzky_golay",
        lambda c, p: c.close < each(p, lambda w: smooth(c.close, w)),
        nearest=1,
        furthest=lambda p: p["window"] // 2,
    ),
    planted("hilbert_phase", lambda c, p: rising(c, p) & (phase(c.close) > 0), furthest=FAR),
    planted("back_fill", lambda c, p: rising(c, p) & (c.close < filled(sparse(c))), "close volume"),
    planted("interpolation", lambda c, p: rising(c, p) & (c.close < between(c)), "close volume"),
    planted("back_fill_of_lost_bars", leaving, fields=("exit_long",), nearest=1),
)
