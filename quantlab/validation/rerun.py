"""The whole search, run again on markets that have no edge: how often does luck find as much?

A search is a function of candles. It is run on markets made of the real one (`sign_flip`, `permute`), each of
which keeps what a lucky rule could feed on and destroys what a skilled one needs, and the score of its best
cell is compared with that on the real market. Whatever the search does, thousands of cells, a sampler, a
filter, it does there too, so that its freedom to pick is paid for in full.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantlab.backtest.surface import Surface
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.market.nulls import permute, sign_flip
from quantlab.validation import again
from quantlab.validation.sequential import Draws

Score = Callable[[Surface], float]
NULLS: Mapping[str, Callable[[Candles, np.random.Generator], Candles]] = {
    "sign_flip": sign_flip,
    "permute": permute,
}
"""Markets without an edge; each is blind to something, so both are asked."""

SAID = {"sign_flip": "mirrored", "permute": "shuffled"}
"""Each kind of market in one word."""

_TOLD_SECONDS = 1.0


@dataclass(frozen=True)
class NullScores:
    """What the search found on the markets of one null.

    Attributes
    ----------
    null : str
        A key of `NULLS`.
    real : float
        Score on the real market.
    scores : float array (drawn,)
        Of the null markets in the order they were drawn; market i depends on the seed and on i alone.
    draws : int
        How many were to be drawn at most.
    alpha : float, optional
        Level at which it was to answer, if there is one; see `quantlab.validation.sequential`.
    """

    null: str
    real: float
    scores: np.ndarray
    draws: int
    alpha: float | None = None

    @property
    def as_good(self) -> int:
        """Null markets on which the search did as well or better."""
        return int(np.count_nonzero(self.scores >= self.real))

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before the last draw, because it had answered."""
        return len(self.scores) < self.draws

    @property
    def answered(self) -> bool:
        """Whether nothing more is to be drawn."""
        return Draws(self.draws, self.alpha).answered(self.as_good, len(self.scores))

    @property
    def p(self) -> float:
        """Chance that the search does as well on a market without an edge; see `Draws.p`."""
        return Draws(self.draws, self.alpha).p(self.as_good, len(self.scores))

    @property
    def word(self) -> str:
        """The kind of market in one word."""
        return SAID[self.null]

    @property
    def said(self) -> str:
        """How many did as well, in words."""
        return f"{self.as_good:,} of {len(self.scores):,} {self.word} markets did as well"


@dataclass(frozen=True)
class Rerun:
    """The search on both nulls.

    Attributes
    ----------
    real : float
        Score on the real market.
    nulls : tuple of NullScores
    seed : int
    """

    real: float
    nulls: tuple[NullScores, ...]
    seed: int

    @property
    def p(self) -> float:
        """The greater of the p-values of the nulls: what the real market shows must be too much for each."""
        return max(null.p for null in self.nulls)

    @property
    def drawn(self) -> dict[str, np.ndarray]:
        """Scores by kind of market in one word, of those that were drawn at all."""
        return {null.word: null.scores for null in self.nulls if len(null.scores)}

    @property
    def share(self) -> float:
        """How much of all that may be drawn is drawn; a null that has answered early is done."""
        drawn = [null.draws if null.answered else len(null.scores) for null in self.nulls]
        return sum(drawn) / sum(null.draws for null in self.nulls)

    @property
    def so_far(self) -> str:
        """How far it is, in words: ``94 of 199 shuffled markets``."""
        last = next((null for null in reversed(self.nulls) if len(null.scores)), self.nulls[0])
        return f"{len(last.scores):,} of {last.draws:,} {SAID[last.null]} markets"

    def __str__(self) -> str:
        return "; ".join(f"{null.said} (p = {null.p:.3f})" for null in self.nulls)

    def to_json(self) -> dict[str, Any]:
        """Plain values; null stands for a search that found no cell (a score of -inf)."""
        nulls = [
            {
                "null": null.null,
                "draws": null.draws,
                "alpha": null.alpha,
                "scores": [_number(score) for score in null.scores.tolist()],
            }
            for null in self.nulls
        ]
        return {"real": _number(self.real), "seed": self.seed, "nulls": nulls}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Rerun:
        """What `to_json` wrote."""
        real = _score(document["real"])
        nulls = [
            NullScores(
                null["null"],
                real,
                np.array([_score(score) for score in null["scores"]]),
                null["draws"],
                null["alpha"],
            )
            for null in document["nulls"]
        ]
        return cls(real, tuple(nulls), document["seed"])


def _number(score: float) -> float | None:
    return score if math.isfinite(score) else None


def _score(number: float | None) -> float:
    return -math.inf if number is None else number


def best_timing_t(min_trades: int = 30) -> Score:
    """Score of a search: the greatest timing alpha t among cells with that many trades; -inf if none has."""

    def score(surface: Surface) -> float:
        values = surface["timing_t"][surface["trades"] >= min_trades]
        return float(np.nanmax(values)) if np.isfinite(values).any() else -np.inf

    return score


def rerun(
    search: Callable[[Candles], Any],
    candles: Candles,
    *,
    score: Callable[[Any], float] | None = None,
    real: float | None = None,
    draws: int = 199,
    alpha: float | None = None,
    seed: int = 0,
    earlier: Rerun | None = None,
    drawn: Callable[[Rerun], None] | None = None,
    progress: bool = True,
    cluster: Any = None,
) -> Rerun:
    """Run a search again on mirrored and on shuffled markets.

    Parameters
    ----------
    search : callable ``(candles) -> Surface``, or whatever `score` takes
        The complete search, the same on the same candles each time. Its cells must not have been chosen by
        looking at these candles.
    candles : Candles
        The real market.
    score : callable ``(surface) -> float``, optional
        Larger is better; by default `best_timing_t` with 30 trades: what holding a drifting market earns is
        no score.
    real : float, optional
        Score of what the search found on the real market before; it must find as much again.
    draws : int
        Markets of each null at most. 199 resolve a p-value of 0.05, and `alpha` below 0.005 needs more.
    alpha : float, optional
        Level: end a null as soon as it is clear whether its p-value is at most this, either way
        (`quantlab.validation.sequential`).
    seed : int
    earlier : Rerun, optional
        Result of an interrupted call (`Interrupted.rerun`) with the same seed: its markets are not run again.
    drawn : callable ``(Rerun) -> None``, optional
        Told once a second what was drawn so far, and at the end.
    progress : bool
    cluster : distributed.Client, Dask cluster or str, optional
        Run the search on its workers, a market on each thread; the scores are the same.

    Returns
    -------
    Rerun
        Without a level a null ends at the tenth market that does as well, so that a search that found nothing
        costs little.

    Raises
    ------
    InputError
        The search differs from itself on the same candles, its score is NaN, the market never moves, or
        `earlier` is another's.
    Interrupted
        On Ctrl-C, with what was drawn so far.
    """
    score = score or best_timing_t()
    if draws < 1:
        raise InputError(f"`draws` must be at least 1, got {draws}.")
    if np.nanmin(candles.low) == np.nanmax(candles.high):
        raise InputError(f"{candles!r} never moves: no null can be made of constant prices.")
    real = score(search(candles)) if real is None else real
    if np.isnan(real):
        raise InputError("the score of the search is NaN, which nothing compares with: return -inf for none.")
    if score(search(candles)) != real:
        raise InputError(
            "the search gave two scores on the same candles: give it a seed of its own, and judge what it "
            "found with it."
        )
    known, planned, told = _scores(earlier, real, seed), Draws(draws, alpha), time.monotonic()
    from tqdm.auto import tqdm

    shown: dict[str, Any] = {"disable": not progress, "desc": "null markets", "leave": False}
    with _ordered(search, cluster) as in_order, tqdm(total=len(NULLS) * draws, **shown) as bar:
        try:
            for place, (null, make) in enumerate(NULLS.items()):
                found = known[null]
                as_good = sum(score >= real for score in found)
                scores = in_order(_drawing(search, score, candles, make, (seed, place)), len(found))
                while not planned.answered(as_good, len(found)):
                    found.append(next(scores))
                    as_good += found[-1] >= real
                    bar.update()
                    if drawn and time.monotonic() > told + _TOLD_SECONDS:
                        drawn(_result(real, known, planned, seed))
                        told = time.monotonic()
                scores.close()
                bar.update(draws - len(found))
        except KeyboardInterrupt as error:
            raise Interrupted(_result(real, known, planned, seed)) from error
    found_all = _result(real, known, planned, seed)
    if drawn:
        drawn(found_all)
    return found_all


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while null markets were drawn; `rerun` has what was found."""

    def __init__(self, found: Rerun) -> None:
        drawn = sum(len(null.scores) for null in found.nulls)
        super().__init__(f"interrupted after {drawn} null markets: call again with `earlier=` to go on.")
        self.rerun = found


Ordered = Callable[[Callable[[int], float], int], Generator[float, None, None]]


def luck(
    search: Callable[[Candles], float],
    candles: Candles,
    draws: int,
    *,
    seed: int = 0,
    step: Callable[[], Any] = lambda: None,
) -> dict[str, np.ndarray]:
    """What a search finds on markets without an edge alone, made of these candles.

    Parameters
    ----------
    search : callable ``(candles) -> score``
        Several at once where it is a `SideBySide`.
    candles : Candles
    draws : int
        Markets of each null; the first of them are those of `rerun` with the same seed.
    seed : int
    step : callable
        Called after each market.

    Returns
    -------
    dict
        Null to scores, shape (draws,).
    """
    found = {null: np.empty(draws) for null in NULLS}
    with _ordered(search, None) as in_order:
        for place, (null, make) in enumerate(NULLS.items()):
            scores = in_order(_drawing(search, float, candles, make, (seed, place)), 0)
            for i in range(draws):
                found[null][i] = next(scores)
                step()
            scores.close()
    return found


@contextmanager
def _ordered(search: Callable[[Candles], Any], cluster: Any) -> Iterator[Ordered]:
    """What makes calls in order, from a number on: one by one, or ahead on threads or a cluster."""
    if cluster is None:
        yield again.in_order if isinstance(search, again.SideBySide) else _here
        return
    from quantlab.backtest.cluster import connect

    with connect(cluster) as workers:
        yield workers.in_order


def _here(call: Callable[[int], float], first: int) -> Generator[float, None, None]:
    yield from map(call, itertools.count(first))


def _drawing(
    search: Callable[[Candles], Any],
    score: Callable[[Any], float],
    candles: Candles,
    make: Callable[[Candles, np.random.Generator], Candles],
    seeds: tuple[int, int],
) -> Callable[[int], float]:
    """The score on the null market of a number."""

    def draw(number: int) -> float:
        return score(search(make(candles, np.random.default_rng([*seeds, number]))))

    return draw


def _scores(earlier: Rerun | None, real: float, seed: int) -> dict[str, list[float]]:
    if earlier is None:
        return {null: [] for null in NULLS}
    if (earlier.real, earlier.seed) != (real, seed):
        raise InputError(
            f"`earlier` is of another search: score {earlier.real:g} with seed {earlier.seed}, now {real:g} "
            f"with seed {seed}: start anew."
        )
    return {null.null: null.scores.tolist() for null in earlier.nulls}


def _result(real: float, known: Mapping[str, list[float]], planned: Draws, seed: int) -> Rerun:
    most, alpha = planned.most, planned.alpha
    nulls = tuple(NullScores(null, real, np.array(scores), most, alpha) for null, scores in known.items())
    return Rerun(real, nulls, seed)


__all__ = ["NULLS", "Interrupted", "NullScores", "Rerun", "Score", "best_timing_t", "rerun"]
