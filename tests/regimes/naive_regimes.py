"""Slow, plain oracles of the regime kernels, written from their docstrings with NumPy."""

import numpy as np


def density(x, mean, sd):
    """Student t, 4 degrees of freedom, standard deviation `sd`, up to a constant."""
    scale = sd / np.sqrt(4 / (4 - 2))
    return (1 + ((x - mean) / scale) ** 2 / 4) ** (-5 / 2) / sd


def observe(close, decay, window, vol_window):
    n = len(close)
    returns = np.full(n, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        returns[1:] = np.log(close[1:] / close[:-1])
    x, trend, vol, ratio = np.full((4, n), np.nan)
    for t in range(n):
        past = returns[:t][np.isfinite(returns[:t])]
        weights = decay ** np.arange(len(past))[::-1]
        slow = np.nan
        if len(past) >= window and np.any(past != 0):
            slow = np.sqrt(weights @ past**2 / weights.sum())
        x[t] = returns[t] / slow
        seen = x[max(0, t - window + 1) : t + 1]
        seen = seen[np.isfinite(seen)]
        if len(seen) >= 0.8 * window and np.any(seen != 0):
            trend[t] = seen.sum() / np.sqrt((seen**2).sum())
        fast = returns[max(0, t - vol_window + 1) : t + 1]
        fast = fast[np.isfinite(fast)]
        if len(fast) >= 0.8 * vol_window:
            vol[t] = np.sqrt((fast**2).mean())
            ratio[t] = vol[t] / slow
    return np.array([x, trend, vol, ratio])


def expanding_share(values):
    out = np.full(len(values), np.nan)
    for t in np.flatnonzero(np.isfinite(values)):
        past = values[: t + 1][np.isfinite(values[: t + 1])]
        out[t] = np.mean(past <= values[t])
    return out


def transitions(states, stay):
    return np.where(np.eye(states) > 0, stay, (1 - stay) / (states - 1))


def mix(x, trend, ratio, mean, sd, stay, base, toward, forget):
    move = transitions(len(mean), stay)
    own, soft, score = base, base, np.zeros(3)
    mixed, filtered, weights, gain = [], [], [], []
    for t in range(len(x)):
        own, told = own @ move, np.nan
        if np.isfinite(x[t]):
            likely = density(x[t], mean, sd)
            by = np.log([own @ likely, soft @ likely, base @ likely])
            told = by[0] - by[2]
            own = own * likely / (own @ likely)
            score = forget * score + (by - by[2])
        if np.isfinite(trend[t]) and ratio[t] > 0:
            logits = toward @ np.array([1.0, trend[t], np.log(ratio[t])])
            soft = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        weight = np.exp(score - score.max()) / np.exp(score - score.max()).sum()
        mixed.append(weight @ np.array([own, soft, base]))
        filtered.append(own)
        weights.append(weight)
        gain.append(told)
    return np.array(mixed), np.array(filtered), np.array(weights), np.array(gain)


def fit_once(x, mean, sd, stay, prior):
    """One round of expectation and maximization from its start values."""
    states, n = len(mean), len(x)
    move, base = transitions(states, stay), np.full(states, 1 / states)
    likely = np.array([density(v, mean, sd) if np.isfinite(v) else np.ones(states) for v in x])
    forward = [base * likely[0] / (base @ likely[0])]
    for t in range(1, n):
        ahead = (forward[-1] @ move) * likely[t]
        forward.append(ahead / ahead.sum())
    backward = [np.ones(states)]
    for t in range(n - 1, 0, -1):
        behind = move @ (likely[t] * backward[0])
        backward.insert(0, behind / behind.sum())
    both = np.array(forward) * np.array(backward)
    both /= both.sum(axis=1, keepdims=True)
    known = np.isfinite(x)
    seen, share = x[known, None], both[known]
    scale2 = sd**2 / 2
    pull = share * 2 * 5 / (4 + (seen - mean) ** 2 / scale2)
    new = ((pull * seen).sum(axis=0) + prior * mean) / (pull.sum(axis=0) + prior)
    wide = np.sqrt(((pull * (seen - new) ** 2).sum(axis=0) + prior * sd**2) / (share.sum(axis=0) + prior))
    return new, wide, both.mean(axis=0)
