"""The budget of false approvals: what each search on the same data may spend of it.

One search in twenty of pure noise passes a test at 5 %, so twenty searches on the same data are sure to find
something. The k-th search on a data set (a market and a period, whatever the timeframe) may therefore spend
alpha_k = alpha * 6 / (pi^2 k^2), and however many follow, all together stay below alpha, because the sum of
1 / k^2 is pi^2 / 6 (Euler, the Basel problem). A search that shares no bar with earlier ones starts anew.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from quantlab.errors import InputError

ALPHA = 0.05


def alpha_of(k: int, alpha: float = ALPHA) -> float:
    """What the `k`-th search, counted from 1, may spend."""
    if k < 1:
        raise InputError(f"searches are counted from 1, got {k}.")
    return alpha * 6.0 / (math.pi * k) ** 2


def alpha_left(searches: int, alpha: float = ALPHA) -> float:
    """What is left after so many searches, for all that will follow."""
    return alpha - math.fsum(alpha_of(k, alpha) for k in range(1, searches + 1))


@dataclass(frozen=True)
class Standing:
    """Where a search stands among all that were made on its data.

    Attributes
    ----------
    trials : int
        Cells ever evaluated on bars of its period, its own included.
    searches : int
        Searches ever made on bars of its period, itself included.
    k : int
        Which of these it was.
    outside : bool
        It was made without a lab and counted only when it was judged.
    """

    trials: int
    searches: int
    k: int
    outside: bool = False

    @property
    def alpha_k(self) -> float:
        """What it may spend of the budget of 5 %."""
        return self.share()

    def share(self, alpha: float = ALPHA) -> float:
        """What it may spend of a budget."""
        return alpha_of(self.k, alpha)

    def to_json(self) -> dict[str, Any]:
        """Counts, its share, and what is left for searches to come."""
        return asdict(self) | {"alpha_k": self.alpha_k, "alpha_left": alpha_left(self.searches)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Standing:
        """The standing that `to_json` wrote."""
        return cls(**{name: document[name] for name in cls.__dataclass_fields__})
