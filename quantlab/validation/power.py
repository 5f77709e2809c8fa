"""Before a search: what true Sharpe ratio could it detect on this history, with this many cells?

The search is run on markets without an edge only, made of the candles; what it finds on the candles
themselves is never looked at, so asking is no trial. The best of many cells looks good by luck; an edge must
stand above that, and z = Sharpe * sqrt(years) says how far a history lifts it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import numpy as np

from quantlab.backtest.daily import day_numbers
from quantlab.backtest.surface import Surface
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.validation.again import SameCells
from quantlab.validation.rerun import NULLS, luck
from quantlab.validation.snooping import earned_by
from quantlab.validation.thresholds import Gate
from quantlab.validation.walkforward import Search

POWER = 0.8
_MOST_SHARPE = 50.0
_RESAMPLES = 500
_SHOWN = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)


@dataclass(frozen=True, eq=False)
class Detectable:
    """What a search could detect.

    Attributes
    ----------
    scores : mapping of str to float array (draws,)
        Timing t of the search's find on the markets of each null; -inf where no cell traded enough.
    years : float
        Of the history.
    alpha : float
        Chance that a market without an edge may pass.
    cells : int
        That the search evaluates.
    gate : Gate
        Its test of the most recent data costs power too.
    about : str
        Strategy and market, for the reader.
    """

    scores: Mapping[str, np.ndarray]
    years: float
    alpha: float
    cells: int
    gate: Gate
    about: str

    @property
    def draws(self) -> int:
        """Markets of each null."""
        return min(len(values) for values in self.scores.values())

    @property
    def critical(self) -> float:
        """Timing t that luck alone exceeds with the chance `alpha`; the greater one of the nulls."""
        return max(_critical(values, self.alpha) for values in self.scores.values())

    @property
    def sharpe(self) -> float:
        """True annual Sharpe ratio (of timing, after costs) that is detected with a chance of `POWER`."""
        return self.at(self.years)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of `sharpe` for having drawn so few markets: percentiles of resampled scores."""
        rng = np.random.default_rng(0)
        found = []
        for _ in range(_RESAMPLES):
            drawn = (rng.choice(values, len(values)) for values in self.scores.values())
            found.append(max(_critical(values, self.alpha) for values in drawn))
        low, high = (_required(float(t), self.years, self.gate) for t in np.quantile(found, [0.025, 0.975]))
        return low, high

    def at(self, years: float) -> float:
        """The same for another length of history; the search's luck, in t, is taken as it is here.

        Raises
        ------
        InputError
            `years` is not positive.
        """
        if not years > 0.0:
            raise InputError(f"`years` must be positive, got {years}.")
        return _required(self.critical, years, self.gate)

    def chance(self, sharpe: float, years: float | None = None) -> float:
        """Chance of detecting a true Sharpe ratio; about, see `detectable_sharpe`."""
        return _chance(sharpe, self.critical, self.years if years is None else years, self.gate)

    @property
    def sentence(self) -> str:
        """What it means, for whoever is about to search."""
        low, high = self.interval
        return (
            f"On {self.years:.1f} years of this market a search of {self.cells:,} cells finds a timing t of "
            f"{self.critical:.2f} by luck in {100 * self.alpha:.2g} of 100 cases. Only a strategy with a "
            f"true Sharpe of about {self.sharpe:.2f} a year ({low:.2f} to {high:.2f}), after costs, would be "
            f"found with a chance of {POWER:.0%}; one of 1 with {self.chance(1.0):.0%}. Fewer cells help a "
            f"little, more years more: with twice the history it would be {self.at(2 * self.years):.2f}."
        )

    def __str__(self) -> str:
        table = "  ".join(f"{s:g}: {self.chance(s):.0%}" for s in _SHOWN)
        return f"{self.about}\n{self.sentence}\nChance of detecting a true Sharpe of  {table}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cell = "style='text-align:right;padding:2px 12px 2px 0'"
        head = "".join(f"<th {cell}>{s:g}</th>" for s in _SHOWN)
        here = "".join(f"<td {cell}>{self.chance(s):.0%}</td>" for s in _SHOWN)
        twice = "".join(f"<td {cell}>{self.chance(s, 2 * self.years):.0%}</td>" for s in _SHOWN)
        left = "style='text-align:left;padding:2px 12px 2px 0'"
        return (
            f"<div style='max-width:60em'><p><b>{escape(self.about)}</b></p><p>{escape(self.sentence)}</p>"
            "<table>"
            f"<tr><th {left}>true Sharpe a year, after costs</th>{head}</tr>"
            f"<tr><td {left}>found on these {self.years:.1f} years with a chance of</td>{here}</tr>"
            f"<tr><td {left}>on twice as many</td>{twice}</tr></table></div>"
        )


def detectable_sharpe(
    search: Search,
    candles: Candles,
    *,
    years: float | None = None,
    draws: int = 99,
    alpha: float | None = None,
    gate: Gate | None = None,
    seed: int = 0,
    about: str = "",
    progress: bool = True,
) -> Detectable:
    """Run a search on markets without an edge and tell what edge it could detect.

    Parameters
    ----------
    search : callable ``(candles) -> Surface``
        The complete search. It is never run on `candles` themselves.
    candles : Candles
    years : float, optional
        Length of the history that is asked about; by default that of the candles.
    draws : int
        Markets of each null. Below 20 / alpha of them the tail is that of a fitted extreme-value law.
    alpha : float, optional
        What the search may spend; by default the `alpha` of `gate`.
    gate : Gate, optional
        The gate that will judge it.
    seed : int
    about : str
        What to call it.
    progress : bool

    Returns
    -------
    Detectable

    Raises
    ------
    InputError
        Too few draws, or an `alpha` that is no fraction.

    Notes
    -----
    A true Sharpe ratio S gives a timing t that is normal with mean ``S * sqrt(years)`` and variance 1. It is
    detected where that exceeds the (1 - alpha) quantile of what the search finds by luck, and where the last
    part of the history, whose t has the mean ``S * sqrt(share * years)``, passes the test of recency. **The
    trap**: this is the power for one cell that has the edge. A search that picks the best of many neighbours
    is helped by their luck too and does a little better. An edge that comes and goes scatters more: on
    planted momentum the t of 30 markets of 5.5 years had a standard deviation of 1.4 to 1.8 where it should
    be 1, so that strong edges are missed more often than is told here. One that has ended is not found.
    """
    gate = gate or Gate()
    alpha = gate.alpha if alpha is None else alpha
    if not 0.0 < alpha < 1.0:
        raise InputError(f"`alpha` must be in (0, 1), a fraction, got {alpha}.")
    if draws < 19:
        raise InputError(f"`draws` must be at least 19 to tell anything about luck, got {draws}.")
    from tqdm.auto import tqdm

    cells = 0

    def counted(market: Candles) -> Surface:
        nonlocal cells
        surface = search(market)
        cells = int(np.count_nonzero(surface.cells.allowed))
        return surface

    earned = earned_by(counted, gate)
    if isinstance(search, SameCells):
        earned, cells = earned_by(search, gate), int(np.count_nonzero(search.cells.allowed))
    with tqdm(total=len(NULLS) * draws, disable=not progress, desc="null markets", leave=False) as bar:
        scores = luck(earned, candles, draws, seed=seed, step=bar.update)
    length = len(day_numbers(candles.timestamps)) / 365.0 if years is None else years
    if not length > 0.0:
        raise InputError(f"`years` must be positive, got {length}.")
    return Detectable(scores, length, alpha, cells, gate, about or repr(candles))


def _critical(scores: np.ndarray, alpha: float) -> float:
    """The (1 - alpha) quantile of what luck finds; from a fitted Gumbel law where draws are too few for it.

    On the best of some dozens of normal values it asks for too much by 0.02 at 5 % and by 0.2 at 1 %.
    Source of the law: Fisher & Tippett (1928), "Limiting forms of the frequency distribution of the largest
    or smallest member of a sample"; fitted by its first two moments.
    """
    finite = scores[np.isfinite(scores)]
    if finite.size < 2:
        return 0.0  # no cell trades enough on a market without an edge: any find exceeds luck
    if len(scores) * alpha >= 20.0:
        return float(np.quantile(np.where(np.isfinite(scores), scores, finite.min()), 1.0 - alpha))
    scale = float(np.std(finite, ddof=1)) * math.sqrt(6.0) / math.pi
    return float(np.mean(finite)) - scale * (np.euler_gamma + math.log(-math.log1p(-alpha)))


def _chance(sharpe: float, critical: float, years: float, gate: Gate) -> float:
    """That two normal values, correlated as a history and its last part are, both exceed their bounds."""
    from scipy.special import ndtr, ndtri

    share = gate.recent
    first = critical - sharpe * math.sqrt(years)
    second = -float(ndtri(gate.recency_p)) - sharpe * math.sqrt(share * years)
    nodes, weights = np.polynomial.legendre.leggauss(128)
    low, high = max(first, -9.0), max(first, -9.0) + 18.0
    x = 0.5 * (high - low) * nodes + 0.5 * (high + low)
    density = np.exp(-0.5 * x**2) / math.sqrt(2.0 * math.pi)
    beyond = ndtr((math.sqrt(share) * x - second) / math.sqrt(1.0 - share))
    return float(0.5 * (high - low) * np.sum(weights * density * beyond))


def _required(critical: float, years: float, gate: Gate) -> float:
    low, high = 0.0, _MOST_SHARPE / math.sqrt(years)
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _chance(middle, critical, years, gate) < POWER else (low, middle)
    return 0.5 * (low + high)
