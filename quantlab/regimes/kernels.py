"""Numba kernels of the regimes: what is observed, the forward filter and its mixture, the fit.

Every loop runs forward and row t reads no later row, except in `fit_states`, which is given a training
window. Emissions are Student t with 4 degrees of freedom: returns of crypto have tails of about that weight.
"""

from __future__ import annotations

import numpy as np

from quantlab.jit import inlined, kernel

PRESENT = 0.8
"""Share of a window that must be known for a figure over it."""


@inlined
def _density(x, mean, sd):
    """Student t density, 4 degrees of freedom, deviation `sd`, up to a factor that all states share."""
    z = (x - mean) / sd
    b = 1.0 + 0.5 * z * z  # scale^2 = sd^2 / 2, so z^2 / (scale^2 * 4) = z^2 / 2
    return 1.0 / (sd * b * b * np.sqrt(b))


@kernel
def observe(close, decay, window, vol_window):
    """Returns in units of a slow volatility, the trend, and two figures of volatility.

    Parameters
    ----------
    close : float array (n,)
        NaN where a bar was lost.
    decay : float
        Factor per known return by which older squares count less in the slow volatility.
    window, vol_window : int
        Bars of the trend and of the fast volatility.

    Returns
    -------
    out : float array (4, n)
        Log return over the slow volatility known one bar before (0); sum of these over `window` by the root
        of the sum of their squares (1); root mean square return over `vol_window` (2); the same by the slow
        volatility (3). NaN: a close is unknown, fewer than `window` returns came before, more than a fifth
        of a window is missing, or nothing moved.
    """
    n = close.size
    returns, out = np.full(n, np.nan), np.full((4, n), np.nan)
    total, weight, known = 0.0, 0.0, 0
    for t in range(1, n):
        r = np.log(close[t] / close[t - 1])
        slow = np.sqrt(total / weight) if known >= window and total > 0.0 else np.nan
        if np.isfinite(r):
            returns[t] = r
            out[0, t] = r / slow
            total, weight, known = decay * total + r * r, decay * weight + 1.0, known + 1
        count, one, two = 0, 0.0, 0.0
        for i in range(max(0, t - window + 1), t + 1):
            if np.isfinite(out[0, i]):
                count += 1
                one += out[0, i]
                two += out[0, i] * out[0, i]
        if count >= PRESENT * window and two > 0.0:
            out[1, t] = one / np.sqrt(two)
        count, two = 0, 0.0
        for i in range(max(0, t - vol_window + 1), t + 1):
            if np.isfinite(returns[i]):
                count += 1
                two += returns[i] * returns[i]
        if count >= PRESENT * vol_window:
            out[2, t] = np.sqrt(two / count)
            out[3, t] = out[2, t] / slow
    return out


@kernel
def expanding_share(ranks):
    """Share of the values so far, itself included, that are at most the value of each row.

    Parameters
    ----------
    ranks : int64 array (n,)
        Dense ranks of the values from 0 on, -1 where unknown. Only their order counts, so that it does not
        matter that they are ranks among later values too.

    Returns
    -------
    float array (n,), NaN where unknown. A Fenwick tree counts in O(n log n).
    """
    size = ranks.max() + 1 if ranks.size else 0
    tree, out, seen = np.zeros(size + 1, np.int64), np.full(ranks.size, np.nan), 0
    for t in range(ranks.size):
        if ranks[t] < 0:
            continue
        seen += 1
        i = ranks[t] + 1
        while i <= size:
            tree[i] += 1
            i += i & -i
        i, below = ranks[t] + 1, 0
        while i > 0:
            below += tree[i]
            i -= i & -i
        out[t] = below / seen
    return out


@inlined
def _softmax(trend, ratio, toward, out):
    """Write what trend and volatility alone say of each state; `toward` has rows as in `mix`."""
    top = -np.inf
    for k in range(out.size):
        out[k] = toward[k, 0] + toward[k, 1] * trend + toward[k, 2] * np.log(ratio)
        top = max(top, out[k])
    total = 0.0
    for k in range(out.size):
        out[k] = np.exp(out[k] - top)
        total += out[k]
    for k in range(out.size):
        out[k] /= total


@kernel
def mix(x, trend, ratio, mean, sd, stay, base, toward, forget):
    """Filter the states forward and mix the filter with a softmax and the base rate by past log score.

    Each of the three forecasts the next return by its probabilities of the states; a weight is proportional
    to the product of the past densities, older ones discounted (Raftery, Karny and Ettler 2010, "Online
    prediction under model uncertainty via dynamic model averaging", Technometrics 52(1)).

    Parameters
    ----------
    x, trend, ratio : float arrays (n,)
        Rows 0, 1 and 3 of `observe`. An unknown `x` moves the filter by its transitions alone.
    mean, sd, base : float arrays (S,)
        Of `x` in each state; base rate.
    stay : float
        Probability of remaining in a state over one bar; every other is equally likely to follow.
    toward : float array (S, 3)
        Softmax: constant, weight of the trend, weight of the log volatility ratio.
    forget : float
        Discount per bar of older log scores.

    Returns
    -------
    mixed, filtered : float arrays (n, S)
        Probabilities after bar t.
    weights : float array (n, 3)
        Of filter, softmax and base rate.
    gain : float array (n,)
        Log score of the filter's forecast of bar t less that of the base rate; NaN without a return.
    """
    n, states = x.size, mean.size
    mixed, filtered = np.empty((n, states)), np.empty((n, states))
    weights, gain = np.empty((n, 3)), np.full(n, np.nan)
    own, soft, density = base.copy(), base.copy(), np.empty(states)
    score = np.zeros(3)
    leave = (1.0 - stay) / (states - 1)
    for t in range(n):
        for k in range(states):
            own[k] = leave + (stay - leave) * own[k]
        if np.isfinite(x[t]):
            by_filter, by_softmax, by_base = 0.0, 0.0, 0.0
            for k in range(states):
                density[k] = _density(x[t], mean[k], sd[k])
                by_filter += own[k] * density[k]
                by_softmax += soft[k] * density[k]
                by_base += base[k] * density[k]
            if by_filter > 0.0 and by_softmax > 0.0 and by_base > 0.0:  # else so far out that nothing is told
                for k in range(states):
                    own[k] *= density[k] / by_filter
                gain[t] = np.log(by_filter) - np.log(by_base)
                score[0] = forget * score[0] + gain[t]
                score[1] = forget * score[1] + np.log(by_softmax) - np.log(by_base)
        if np.isfinite(trend[t]) and ratio[t] > 0.0:
            _softmax(trend[t], ratio[t], toward, soft)
        top = max(score[0], score[1], score[2])
        total = 0.0
        for m in range(3):
            weights[t, m] = np.exp(score[m] - top)
            total += weights[t, m]
        for m in range(3):
            weights[t, m] /= total
        for k in range(states):
            filtered[t, k] = own[k]
            mixed[t, k] = weights[t, 0] * own[k] + weights[t, 1] * soft[k] + weights[t, 2] * base[k]
    return mixed, filtered, weights, gain


@kernel
def fit_states(x, mean, sd, stay, prior, iterations, tolerance):
    """Means, deviations and base rate of the states of a training window, by expectation maximization.

    The transitions stay as they are: left free, the states chase single bars.

    Parameters
    ----------
    x : float array (n,)
        Returns in units of the slow volatility, NaN unknown.
    mean, sd : float arrays (S,)
        Start values, which also count as `prior` bars of evidence: a state cannot collapse onto a few bars.
    stay : float
        As in `mix`.
    prior : float
        Bars.
    iterations : int
        At most.
    tolerance : float
        Stop once no mean and no deviation moves by more.

    Returns
    -------
    mean, sd, base : float arrays (S,)
    """
    n, states = x.size, mean.size
    start_mean, start_sd, mean, sd = mean, sd, mean.copy(), sd.copy()
    base, leave = np.full(states, 1.0 / states), (1.0 - stay) / (states - 1)
    alpha, density = np.empty((n, states)), np.ones((n, states))
    beta, after, total = np.empty(states), np.empty(states), np.empty(n)
    for _ in range(iterations):
        for t in range(n):
            total[t] = 0.0
            for k in range(states):
                before = base[k] if t == 0 else leave + (stay - leave) * alpha[t - 1, k]
                if np.isfinite(x[t]):
                    density[t, k] = max(_density(x[t], mean[k], sd[k]), 1e-290)
                alpha[t, k] = before * density[t, k]
                total[t] += alpha[t, k]
            for k in range(states):
                alpha[t, k] /= total[t]
        weight, first, second = np.zeros(states), np.zeros(states), np.zeros(states)
        count, share = np.zeros(states), np.zeros(states)
        beta[:] = 1.0
        for t in range(n - 1, -1, -1):
            if t < n - 1:
                together = 0.0
                for k in range(states):
                    after[k] = beta[k] * density[t + 1, k] / total[t + 1]
                    together += after[k]
                for k in range(states):
                    beta[k] = leave * together + (stay - leave) * after[k]
            for k in range(states):
                likely = alpha[t, k] * beta[k]
                share[k] += likely
                if np.isfinite(x[t]):
                    z = (x[t] - mean[k]) / sd[k]
                    pull = 2.5 * likely / (1.0 + 0.5 * z * z)  # outliers count less, as a t density has it
                    weight[k] += pull
                    first[k] += pull * x[t]
                    second[k] += pull * x[t] * x[t]
                    count[k] += likely
        moved = 0.0
        for k in range(states):
            new = (first[k] + prior * start_mean[k]) / (weight[k] + prior)
            around = second[k] - 2.0 * new * first[k] + new * new * weight[k]
            # the scale s of a t density: s^2 = mean of u (x - m)^2 with u = 5 / (4 + (x - m)^2 / s^2); u
            # above is twice that of the deviation's own units, hence the sum is that of sd^2 already
            wide = np.sqrt((around + prior * start_sd[k] ** 2) / (count[k] + prior))
            moved = max(moved, abs(new - mean[k]), abs(wide - sd[k]))
            mean[k], sd[k] = new, wide
        base = share / share.sum()
        if moved < tolerance:
            break
    return mean, sd, base
