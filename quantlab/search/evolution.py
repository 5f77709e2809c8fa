"""Evolution: a genetic algorithm in NumPy for large batches, with islands, elites and a complete lineage.

A generation is made at once: of every island its parents by tournament, children by blend or uniform
crossover or by mutation of one parent, a few immigrants. A child that was evaluated before or breaks a
constraint is varied again, and drawn anew if that does not help, so that no evaluation is wasted. The best
of an island stay among its parents, and every ten generations the two best of each join the next island.

Generations grow with the search, from `_FIRST` cells on to `_MOST`: a tenth of all cells so far. A small
budget then has enough generations to learn in, and a large one enough cells in each to stay diverse.

Source: E. Cantu-Paz, "A survey of parallel genetic algorithms" (1998), for islands; L. Eshelman, J. Schaffer,
"Real-coded genetic algorithms and interval-schemata", FOGA 2 (1993), for blends.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlab.errors import InputError
from quantlab.search.codes import Draws, Seen, allowed, counts, from_unit, points_of, to_unit
from quantlab.search.learner import rank
from quantlab.space import Choice, Points, Space

OPERATORS = ("drawn", "blend", "uniform", "mutation")
_SHARE_DRAWN, _SHARE_BLEND, _SHARE_UNIFORM = 0.02, 0.42, 0.82  # cumulated; the rest mutates one parent
_ELITE, _TOURNAMENT, _MIGRANTS, _EVERY, _TRIES = 0.05, 4, 2, 10, 4
_FIRST, _MOST, _SHARE = 24, 250, 0.1


class EvolutionSampler:
    """Parents, children and generations on several islands; mixed parameters, one or several objectives.

    Several objectives are ranked by Pareto fronts, and within a front by how lonely a cell is.

    Parameters
    ----------
    space : Space
    seed : int
    population : int, optional
        Cells of a generation, all islands together; by default it grows.
    islands : int
    """

    name = "evolution"
    several = True

    def __init__(self, space: Space, seed: int, population: int | None = None, islands: int = 3) -> None:
        first = _FIRST if population is None else population
        if not 1 <= islands <= first // 2:
            raise InputError(
                f"an island needs two cells at least, got {islands} islands for {first} cells: ask for "
                "fewer islands or a larger population."
            )
        self._space, self._rng = space, np.random.default_rng(seed)
        self._population, self.startup = population, first
        self.batch = population or _MOST
        self._seen, self._islands = Seen(), islands
        self._draws = Draws(space, self._seen, lambda: self._rng.random((1024, len(space))))
        self._counts = counts(space)
        self._choice = np.array([isinstance(p, Choice) for p in space.parameters])
        self._generation, self._asked = -1, 0
        self._codes = np.empty((0, len(space)))
        self._told: list[np.ndarray] = []
        self._parents = _Pool(np.empty((0, len(space))), np.empty((0, 1)), *np.empty((2, 0), np.int64))
        self._lineage: list[dict[str, np.ndarray]] = []

    @property
    def lineage(self) -> dict[str, np.ndarray]:
        """Where each cell came from, in the order of proposal: arrays of shape (cells proposed,).

        ``id`` counts cells, ``parent_a`` and ``parent_b`` are ids (-1: none), ``operator`` is one of
        `OPERATORS`, then ``generation`` and ``island``.
        """
        kept = {name: np.concatenate([g[name] for g in self._lineage]) for name in (self._lineage or [{}])[0]}
        return {name: column[: self._ever] for name, column in kept.items()}

    @property
    def _ever(self) -> int:
        """Cells proposed."""
        return sum(len(g["id"]) for g in self._lineage) - len(self._codes) + self._asked

    def ask(self, n: int) -> Points | None:
        """At most `n` new cells, of one generation; None when the space is exhausted."""
        if self._asked == len(self._codes):
            self._breed()
        codes = self._codes[self._asked : self._asked + n]
        self._asked += len(codes)
        return points_of(self._space, codes)

    def tell(self, cells: Any, values: np.ndarray) -> None:
        """Remember the values; children come when the whole generation is known."""
        self._told.append(np.asarray(values, np.float64).reshape(len(values), -1))

    def _breed(self) -> None:
        """Choose the parents from the generation that is known, and make the next one."""
        if len(self._codes):
            self._survive()
        self._generation += 1
        first = sum(len(g["id"]) for g in self._lineage)
        size = self._population or int(min(max(_SHARE * first, _FIRST), _MOST))
        island = np.arange(size) % self._islands
        a, b, operator = np.full(size, -1), np.full(size, -1), np.zeros(size, np.int64)
        unit = np.empty((0, len(self._space)))
        if len(self._parents.ids):
            a, b, operator = self._chosen(island)
            unit = self._children(a, b, operator)
            a, b = self._parents.ids[a], np.where(operator == 3, -1, self._parents.ids[b])
            a, b = np.where(operator == 0, -1, a), np.where(operator == 0, -1, b)
        codes, made = self._new(unit, size)
        redrawn = ~made
        a[redrawn], b[redrawn], operator[redrawn] = -1, -1, 0
        kept = np.flatnonzero(~np.isnan(codes).any(axis=1))
        self._lineage.append(
            {
                "id": first + np.arange(len(kept)),
                "parent_a": a[kept],
                "parent_b": b[kept],
                "operator": np.array(OPERATORS)[operator[kept]],
                "generation": np.full(len(kept), self._generation),
                "island": island[kept],
            }
        )
        self._codes, self._asked, self._told = codes[kept], 0, []

    def _survive(self) -> None:
        """The parents of the next generation: the elite of the last parents and the last generation."""
        last, values = self._lineage[-1], np.concatenate(self._told)
        old, order = self._parents, self._parents.order()
        elite = np.zeros(len(old.ids), bool)
        for island in range(self._islands):
            members = np.flatnonzero(old.island == island)
            most = max(1, round(_ELITE * len(self._codes) / self._islands))
            elite[members[np.argsort(order[members], kind="stable")[:most]]] = True
        new = _Pool(to_unit(self._space, self._codes), values, last["id"], last["island"])
        self._parents = old.take(elite).joined(new) if len(old.ids) else new
        if self._islands > 1 and (self._generation + 1) % _EVERY == 0:
            self._parents = self._migrated(self._parents)

    def _migrated(self, pool: _Pool) -> _Pool:
        """The two best of each island also live on the next."""
        order, places, homes = pool.order(), [], []
        for island in range(self._islands):
            members = np.flatnonzero(pool.island == island)
            best = members[np.argsort(order[members], kind="stable")[:_MIGRANTS]]
            places.append(best)
            homes.append(np.full(len(best), (island + 1) % self._islands))
        movers = pool.take(np.concatenate(places))
        return pool.joined(_Pool(movers.unit, movers.values, movers.ids, np.concatenate(homes)))

    def _chosen(self, island: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places of both parents of each child, by tournament on its island, and the operator."""
        order, rng, size = self._parents.order(), self._rng, len(island)
        parents = np.empty((2, size), np.int64)
        for home in range(self._islands):
            members = np.flatnonzero(self._parents.island == home)
            members = members if members.size else np.arange(len(order))
            here = np.flatnonzero(island == home)
            drawn = members[rng.integers(len(members), size=(2, here.size, _TOURNAMENT))]
            winner = np.argmin(order[drawn], axis=2)
            parents[:, here] = np.take_along_axis(drawn, winner[..., None], axis=2)[..., 0]
        chance = rng.random(size)
        operator = np.select(
            [chance < _SHARE_DRAWN, chance < _SHARE_BLEND, chance < _SHARE_UNIFORM], [0, 1, 2], 3
        )
        return parents[0], parents[1], operator

    def _children(self, a: np.ndarray, b: np.ndarray, operator: np.ndarray) -> np.ndarray:
        """Unit rows of the children."""
        rng, first, second = self._rng, self._parents.unit[a], self._parents.unit[b]
        either = np.where(rng.random(first.shape) < 0.5, first, second)
        between = first + (second - first) * rng.uniform(-0.25, 1.25, first.shape)
        blended = np.where(self._choice, either, between)
        kind = operator[:, None]
        children = np.select([kind == 1, kind == 2], [blended, either], first)
        children = self._mutated(children, 1.0 / children.shape[1], kind[:, 0] == 3)
        return np.where(kind == 0, rng.random(first.shape), children)

    def _mutated(self, unit: np.ndarray, rate: float, surely: np.ndarray) -> np.ndarray:
        """Rows with some values moved: a step of at least one value, any option of a choice.

        `surely` says which rows have one value moved at least.
        """
        rng = self._rng
        moved = rng.random(unit.shape) < rate
        moved[np.flatnonzero(surely), rng.integers(unit.shape[1], size=np.count_nonzero(surely))] = True
        width = 10.0 ** rng.uniform(-2.5, -0.5, unit.shape)
        step = width * rng.standard_normal(unit.shape)
        least = np.where(np.isfinite(self._counts), 1.0 / self._counts, 0.0)
        step = np.where(np.abs(step) < least, np.copysign(least, step), step)
        there = np.abs(unit + step)  # what leaves the box is reflected into it
        there = np.where(there > 1.0, 2.0 - there, there)
        return np.where(moved, np.where(self._choice, rng.random(unit.shape), there), unit)

    def _new(self, unit: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Codes (NaN: none left) of new, allowed cells, and which of them stem from the rows given."""
        codes = np.full((size, len(self._space)), np.nan)
        made = np.zeros(size, bool)
        left = np.arange(len(unit))
        for attempt in range(_TRIES if len(unit) else 0):
            found = from_unit(self._space, unit[left])
            may = np.flatnonzero(allowed(self._space, found))
            fresh = may[self._seen.add(found[may])]
            codes[left[fresh]], made[left[fresh]] = found[fresh], True
            left = np.delete(left, fresh)
            if not left.size or attempt == _TRIES - 1:
                break
            unit[left] = self._mutated(unit[left], 0.5, np.ones(left.size, bool))
        missing = np.flatnonzero(~made)
        drawn = self._draws.take(missing.size)
        codes[missing[: len(drawn)]] = drawn
        return codes, made


class _Pool:
    """Possible parents: unit rows, values, ids and islands."""

    def __init__(self, unit: np.ndarray, values: np.ndarray, ids: np.ndarray, island: np.ndarray) -> None:
        self.unit, self.values, self.ids, self.island = unit, values, ids, island

    def take(self, which: np.ndarray) -> _Pool:
        return _Pool(self.unit[which], self.values[which], self.ids[which], self.island[which])

    def joined(self, other: _Pool) -> _Pool:
        columns = ("unit", "values", "ids", "island")
        return _Pool(*(np.concatenate([getattr(self, c), getattr(other, c)]) for c in columns))

    def order(self) -> np.ndarray:
        """Place of each cell from the best (0) to the worst."""
        place = np.empty(len(self.ids), np.int64)
        lonely = _loneliness(self.values) if self.values.shape[1] > 1 else np.zeros(len(self.ids))
        place[np.lexsort((-lonely, rank(self.values)))] = np.arange(len(place))
        return place


def _loneliness(values: np.ndarray) -> np.ndarray:
    """Crowding distance of each row within its front: the extent of the gap around it."""
    found, fronts = np.zeros(len(values)), rank(values)
    for front in np.unique(fronts):
        rows = np.flatnonzero(fronts == front)
        if np.isnan(values[rows]).any():
            continue
        for column in values[rows].T:
            order = np.argsort(column, kind="stable")
            gap = np.full(len(rows), np.inf)
            gap[1:-1] = column[order][2:] - column[order][:-2]
            found[rows[order]] += gap / (np.ptp(column) or 1.0)
    return found


__all__ = ["OPERATORS", "EvolutionSampler"]
