"""What a configuration says about the search it comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.backtest.surface import sign
from quantlab.configuration.nulls import plain, stated
from quantlab.errors import IntegrityError
from quantlab.space import Choice, Float, Grid, Int, Parameter, Points

if TYPE_CHECKING:
    from quantlab.backtest.surface import Surface

KINDS = {Int: "int", Float: "float", Choice: "choice"}


@dataclass(frozen=True)
class Search:
    """Facts of one search, as plain values.

    Parameters
    ----------
    method : str
        For example ``"grid"``.
    seed : int or None
        None where nothing is drawn at random.
    surface_key : str
        Identity of the surface.
    space_hash : str
        SHA-256 (hex) of the space.
    objective : str
        Metric that the choice looked at.
    trials_in_run : int
        Cells that satisfy the constraints.
    rank : int
        1 + the cells with trades enough whose objective is better than that of the chosen one.
    ranked : int
        Cells with trades enough.
    rule : {"plateau", "ensemble", "most_trades"}
        How the cell was chosen; the last where no cell has trades enough, and so none can be approved.
    score : float
        Plateau score of the chosen cell; NaN without a plateau.
    values : mapping
        For each parameter the distinct values that were tried, ascending.
    half_width : mapping
        For each parameter how far from the chosen value the plateau reaches (same unit), or None.
    """

    method: str
    seed: int | None
    surface_key: str
    space_hash: str
    objective: str
    trials_in_run: int
    rank: int
    ranked: int
    rule: str
    score: float
    values: Mapping[str, list[Any]]
    half_width: Mapping[str, float | None]

    @classmethod
    def of(
        cls,
        surface: Surface,
        params: Mapping[str, Any],
        *,
        objective: str = "sharpe",
        min_trades: int = 30,
        method: str = "grid",
        seed: int | None = None,
    ) -> Search:
        """Read the facts off a surface from which the cell `params` was chosen.

        Parameters
        ----------
        surface : Surface
        params : mapping
            Every parameter of the chosen cell.
        objective, min_trades : optional
            As the choice had them (``metric`` and ``min_trades`` of the gate).
        method, seed : optional

        Raises
        ------
        IntegrityError
            The plateau of the surface is another cell.
        """
        figures = sign(objective) * surface.eligible(objective, min_trades)
        ranked = int(np.count_nonzero(np.isfinite(figures)))
        plateau = surface.plateau(objective, min_trades=min_trades) if ranked else None
        if plateau and dict(plateau.cell.params) != dict(params):
            raise IntegrityError(
                f"the plateau of the surface is {dict(plateau.cell.params)}, the verdict is on "
                f"{dict(params)}: validate this surface again."
            )
        return cls(
            method=method,
            seed=seed,
            surface_key=surface.key,
            space_hash=surface.cells.space.hash,
            objective=objective,
            trials_in_run=int(np.count_nonzero(surface.cells.allowed)),
            rank=1 + int(np.count_nonzero(figures > figures[plateau.cell.index])) if plateau else 1,
            ranked=ranked,
            rule="plateau" if plateau else "most_trades",
            score=float(plateau.score) if plateau else math.nan,
            values=tried(surface.cells),
            half_width=dict(plateau.half_width) if plateau else {},
        )

    @classmethod
    def of_member(
        cls,
        surface: Surface,
        index: tuple[int, ...],
        *,
        objective: str,
        min_trades: int,
        method: str = "grid",
        seed: int | None = None,
    ) -> Search:
        """Read the facts off a surface of whose ensemble the cell at `index` is a member."""
        figures = sign(objective) * surface.eligible(objective, min_trades)
        return cls(
            method=method,
            seed=seed,
            surface_key=surface.key,
            space_hash=surface.cells.space.hash,
            objective=objective,
            trials_in_run=int(np.count_nonzero(surface.cells.allowed)),
            rank=1 + int(np.count_nonzero(figures > figures[index])),
            ranked=int(np.count_nonzero(np.isfinite(figures))),
            rule="ensemble",
            score=math.nan,
            values=tried(surface.cells),
            half_width={},
        )

    @property
    def why(self) -> str:
        """Why this cell was chosen, in a sentence."""
        if self.rule == "ensemble":
            return (
                f"one of the best hundredth by {self.objective}, which trade together: number {self.rank} of "
                f"the {self.ranked} cells with trades enough"
            )
        if self.rule != "plateau":
            return "no cell has trades enough for a plateau: the cell with most trades, only to be seen"
        return (
            f"middle of the best plateau of {self.objective}, not its peak: "
            f"by itself the cell is number {self.rank} of the {self.ranked} cells with trades enough"
        )

    def section(self, trials_ever: int | None, effective_trials: float | None = None) -> dict[str, Any]:
        """The section ``search`` of the document.

        Parameters
        ----------
        trials_ever : int or None
            Trials ever made on these candles, this search included; None if no ledger was asked.
        effective_trials : float or None
            Effective number of independent trials.
        """
        chosen = {"rule": self.rule, "rank": self.rank, "score": self.score, "why": self.why}
        return stated(
            {
                "method": self.method,
                "seed": self.seed,
                "space_hash": self.space_hash,
                "surface_key": self.surface_key,
                "objective": self.objective,
                "trials_in_run": self.trials_in_run,
                "trials_ever": trials_ever,
                "effective_trials": effective_trials,
                "chosen": stated(chosen, "there is no plateau"),
            },
            {
                "seed": f"a {self.method} search draws nothing at random",
                "trials_ever": "no ledger of trials was asked",
                "effective_trials": "the dependence between trials was not measured",
            },
        )


def tried(cells: Grid | Points) -> dict[str, list[Any]]:
    """The distinct values of each parameter that the cells try, ascending."""
    return {name: np.unique(values).tolist() for name, values in cells.mesh().items()}


def parameter_entry(parameter: Parameter, value: Any, search: Search) -> dict[str, Any]:
    """One entry of ``strategy.parameters``: value, type, unit, bounds, what was searched, half-width.

    Parameters
    ----------
    parameter : Int, Float or Choice
    value : int, float or str
        Of the chosen cell.
    search : Search
    """
    values = search.values[parameter.name]
    entry = {
        "type": KINDS[type(parameter)],
        "value": plain(value),
        "unit": parameter.unit,
        "role": parameter.role,
        "meaning": parameter.meaning,
    }
    if isinstance(parameter, Choice):
        entry |= {"options": list(parameter.options), "searched": values, "half_width": None}
        return stated(entry, {"half_width": "named options have no distance"})
    entry["bounds"] = {"low": parameter.low, "high": parameter.high}
    entry["searched"] = {"low": values[0], "high": values[-1], "values": len(values)}
    width = search.half_width.get(parameter.name) if len(values) > 1 else None
    reason = (
        "the search held this parameter fixed" if len(values) == 1 else "no plateau was found along this axis"
    )
    return stated({**entry, "half_width": width}, {"half_width": reason})
