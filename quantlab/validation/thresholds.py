"""What a candidate must hold to: every threshold of the gate in one value that the verdict records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from quantlab.errors import InputError, UnknownNameError

CHOICES = ("plateau", "ensemble")
"""What a gate may judge."""


@dataclass(frozen=True)
class Gate:
    """Settings of the gate. Choose them before the evidence is seen, never after.

    Parameters
    ----------
    alpha : float
        Highest p-value of the search on markets without an edge and of superior ability. In a lab it is the
        budget of all searches on the same data, of which the k-th may spend ``6 alpha / (pi k)^2``.
    draws : int
        Null markets of each kind, at most; more where nine of them that do as well would be a no. They end as
        soon as the answer is clear (`quantlab.validation.sequential`).
    most_draws : int
        A p-value that would need more can't be passed: the budget has run out (with the default after 38
        searches on the same data).
    folds : int
        Test windows of the walk-forward.
    first : float
        Fraction of the history that lies before the first test window.
    embargo_days : int
        Days left out between training and test.
    rolling : bool
        Train on a window of constant length instead of all the history before the test.
    metric : str
        Metric whose plateau is chosen. By default what holding the market would not have earned.
    choice : {"plateau", "ensemble"}
        What is judged and exported: the cell in the middle of the best plateau, or the best hundredth of the
        cells together (5 to 20, equal weights), ranked by `metric`.
    min_trades : int
        Least closed trades on the whole history. On a part of it the choice asks for the same rate.
    min_activity : float
        Least share of days with an open position.
    max_missing : float
        Greatest share of bars that were lost.
    recent : float
        Last share of the history that the recency test keeps out of the choice.
    recency_p : float
        Highest p-value of the timing alpha on that share.
    stress_costs : float
        Factor on fees and slippage at which the timing alpha must still be positive.
    stress_delay_bars : int
        Delay of every decision at which it must still be positive.
    """

    alpha: float = 0.05
    draws: int = 199
    most_draws: int = 100_000
    folds: int = 6
    first: float = 0.4
    embargo_days: int = 1
    rolling: bool = False
    metric: str = "timing_t"
    choice: str = "plateau"
    min_trades: int = 30
    min_activity: float = 0.05
    max_missing: float = 0.02
    recent: float = 0.3
    recency_p: float = 0.3
    stress_costs: float = 2.0
    stress_delay_bars: int = 1

    def __post_init__(self) -> None:
        for name in ("alpha", "first", "recent", "recency_p"):
            _check(name, getattr(self, name), 0.0 < getattr(self, name) < 1.0, "in (0, 1), a fraction")
        for name in ("min_activity", "max_missing"):
            _check(name, getattr(self, name), 0.0 <= getattr(self, name) <= 1.0, "in [0, 1], a fraction")
        for name, least in (
            ("draws", 19),
            ("folds", 1),
            ("embargo_days", 0),
            ("min_trades", 1),
            ("stress_delay_bars", 1),
        ):
            _check(name, getattr(self, name), getattr(self, name) >= least, f"at least {least}")
        if self.choice not in CHOICES:
            raise UnknownNameError("choice of the gate", self.choice, CHOICES)
        _check("stress_costs", self.stress_costs, self.stress_costs >= 1.0, "at least 1")

    def to_json(self) -> dict[str, Any]:
        """Every setting by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Gate:
        """The gate that `to_json` wrote; raises UnknownNameError for a setting that does not exist."""
        for name in document:
            if name not in cls.__dataclass_fields__:
                raise UnknownNameError("setting of the gate", name, cls.__dataclass_fields__)
        return cls(**document)


def _check(name: str, value: float, holds: bool, rule: str) -> None:
    if not holds:
        raise InputError(f"`{name}` of the gate must be {rule}, got {value}.")
