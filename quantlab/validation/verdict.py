"""Evidence and verdict: every test with its value and threshold, and what follows from them.

A verdict approves exactly when every **decisive** test was run and passed. Reported tests
(``passed is None``) inform; they never decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from quantlab.backtest.surface import Cell
from quantlab.errors import InputError, IntegrityError, UnknownNameError
from quantlab.validation.budget import Standing
from quantlab.validation.rerun import Rerun
from quantlab.validation.thresholds import Gate
from quantlab.validation.walkforward import WalkForward

if TYPE_CHECKING:
    import plotly.graph_objects as go

FORMAT = "quantlab.verdict/4"

DECISIVE: Mapping[str, tuple[str, str]] = {
    "trades": ("enough trades", "too few trades"),
    "activity": ("often enough in the market", "too rarely in the market"),
    "costs": ("costs are charged", "no costs are charged"),
    "missing_bars": ("few missing bars", "too many missing bars"),
    "causality": ("does not look into the future", "looks into the future"),
    "live_parity": (
        "a bot that starts with the warm-up decides the same",
        "a bot that starts with the warm-up decides otherwise",
    ),
    "second_engine": ("a second engine agrees", "a second engine disagrees"),
    "search_rerun": (
        "finds more than the same search finds by luck",
        "finds no more than the same search finds by luck",
    ),
    "superior_ability": (
        "the best of the whole list is better than luck",
        "the best of the whole list is no better than luck",
    ),
    "recency": ("holds on the most recent data", "does not hold on the most recent data"),
    "double_costs": ("survives higher costs", "does not survive higher costs"),
    "delay": ("survives a delay", "does not survive a delay"),
}
"""Name of every test that decides, with its title when passed and when failed; all must be there and pass.

`superior_ability` is asked where the list of cells was fixed before the candles were looked at: of a search
that looked at results on its way, it would see only what that chose to look at.
"""

REPORTED: Mapping[str, str] = {
    "walk_forward": "refitted and traded forward",
    "fills": "fill assumptions",
    "psr": "probabilistic Sharpe ratio",
    "dsr": "deflated Sharpe ratio",
    "min_track_record": "minimum track record (days)",
    "lo": "Sharpe, autocorrelation considered",
    "pbo": "probability of overfitting",
    "cpcv": "cross-validated Sharpe",
    "efficiency": "walk-forward efficiency",
    "monte_carlo": "drawdown of redrawn trades",
    "noise": "decided on noisy prices",
    "sensitivity": "one step in any parameter",
    "expected_sharpe": "Sharpe to expect",
    "plateau": "plateau against peak",
    "ensemble": "ensemble against plateau and peak",
    "trials": "trials",
}
"""Name and title of every test that is reported and never decides."""


@dataclass(frozen=True)
class Test:
    """One test of the gate.

    Parameters
    ----------
    name : str
        A key of `DECISIVE` or `REPORTED`.
    value : float or None
        None where it could not be measured.
    threshold : float or None
    passed : bool or None
        None: reported, never decisive. A test that could not be measured has not passed.
    detail : str
        One or two sentences for a reader who is no statistician.
    seconds : float
        What it cost; left out of comparisons.
    """

    __test__: ClassVar[bool] = False  # pytest must not collect it

    name: str
    value: float | None
    threshold: float | None
    passed: bool | None
    detail: str
    seconds: float = field(default=0.0, compare=False)

    def __post_init__(self) -> None:
        if self.name not in DECISIVE and self.name not in REPORTED:
            raise UnknownNameError("test of the gate", self.name, [*DECISIVE, *REPORTED])
        if (self.passed is None) == (self.name in DECISIVE):
            raise IntegrityError(f"test {self.name!r} decides or not by its name, got passed={self.passed}.")
        value = self.value
        object.__setattr__(self, "value", None if value is None or math.isnan(value) else float(value))

    @property
    def title(self) -> str:
        """What came out, in a few plain words."""
        return REPORTED[self.name] if self.passed is None else DECISIVE[self.name][not self.passed]


@dataclass(frozen=True)
class Evidence:
    """All that the gate measured.

    Parameters
    ----------
    tests : tuple of Test
    walk_forward : WalkForward
    fills : mapping
        ``{"neutral" | "pessimistic" | "optimistic": {"net_profit": fraction, "sharpe": annualised}}`` of the
        chosen cell on the whole history.
    trials_search : int
        Cells of this search that could be traded (constraints considered).
    trials_ever : int or None
        Trials ever made on these candles, this search included; None if no ledger was asked.
    gate : Gate
        The thresholds that were in force.
    standing : Standing or None
        Where the search stands among all on its data; None if it was judged outside a lab.
    nulls : Rerun or None
        What the search found on markets without an edge; None where none could be made.
    adaptive : bool
        The search looked at results on its way.
    """

    tests: tuple[Test, ...]
    walk_forward: WalkForward
    fills: Mapping[str, Mapping[str, float]]
    trials_search: int
    trials_ever: int | None
    gate: Gate
    standing: Standing | None = None
    nulls: Rerun | None = None
    adaptive: bool = False

    def __getitem__(self, name: str) -> Test:
        for test in self.tests:
            if test.name == name:
                return test
        raise UnknownNameError("test of this evidence", name, [test.name for test in self.tests])

    @property
    def failed(self) -> tuple[Test, ...]:
        """Decisive tests that did not pass."""
        return tuple(test for test in self.tests if test.passed is False)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of decisive tests that were not run."""
        done = {test.name for test in self.tests} | ({"superior_ability"} if self.adaptive else set())
        return tuple(name for name in DECISIVE if name not in done)


@dataclass(frozen=True)
class Verdict:
    """Approve or refuse, with named reasons and all the evidence.

    Parameters
    ----------
    approved : bool
        True exactly when every decisive test was run and passed.
    reasons : tuple of str
        Refused: one sentence per test that failed. Approved: what held.
    evidence : Evidence
    cell : Cell
        The candidate: the middle of the plateau of the whole history, or the best member of an ensemble.
    strategy : str
        Name of the strategy.
    surface_key : str
        Identity of the search that the candidate comes from.
    market : mapping
        Identity of the candles: exchange, symbol, timeframe, fingerprint, first_ms, last_ms, bars, family.
    execution : mapping
        `Execution.to_json` of the search.
    members : tuple of Cell
        Of the ensemble that was judged, the best first; empty where one cell was.
    """

    approved: bool
    reasons: tuple[str, ...]
    evidence: Evidence
    cell: Cell
    strategy: str
    surface_key: str
    market: Mapping[str, Any]
    execution: Mapping[str, Any]
    members: tuple[Cell, ...] = ()

    def __post_init__(self) -> None:
        if self.approved != _holds(self.evidence):
            raise IntegrityError(
                f"a verdict follows from its evidence, got approved={self.approved} with failed "
                f"{[test.name for test in self.evidence.failed]} and missing {list(self.evidence.missing)}."
            )

    @property
    def seconds(self) -> float:
        """What all tests cost together."""
        return sum(test.seconds for test in self.evidence.tests)

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON values: no NaN (null instead), no arrays, no tuples."""
        document = {
            "format": FORMAT,
            "approved": self.approved,
            "reasons": self.reasons,
            "strategy": self.strategy,
            "surface_key": self.surface_key,
            "market": self.market,
            "execution": self.execution,
            "cell": cell_json(self.cell),
            "members": [cell_json(cell) for cell in self.members],
            "evidence": {
                "tests": [asdict(test) for test in self.evidence.tests],
                "walk_forward": self.evidence.walk_forward.to_json(),
                "fills": self.evidence.fills,
                "trials_search": self.evidence.trials_search,
                "trials_ever": self.evidence.trials_ever,
                "gate": self.evidence.gate.to_json(),
                "ledger": self.evidence.standing and self.evidence.standing.to_json(),
                "nulls": self.evidence.nulls and self.evidence.nulls.to_json(),
                "adaptive": self.evidence.adaptive,
            },
        }
        plain: dict[str, Any] = _plain(document)
        return plain

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Verdict:
        """The verdict that `to_json` wrote; IntegrityError if it contradicts its own evidence."""
        if document.get("format") != FORMAT:
            raise IntegrityError(
                f"a document of format {FORMAT!r} is needed, got {document.get('format')!r}, which another "
                "version of the gate wrote: validate the surface again."
            )
        return cls(
            document["approved"],
            tuple(document["reasons"]),
            _evidence(document["evidence"]),
            _cell(document["cell"]),
            document["strategy"],
            document["surface_key"],
            document["market"],
            document["execution"],
            tuple(_cell(cell) for cell in document.get("members", ())),
        )

    def figure(self) -> go.Figure:
        """What the search found on markets without an edge, and where the real find stands.

        Raises
        ------
        InputError
            No such market was drawn.
        """
        from quantlab.figures.nulls import nulls
        from quantlab.validation.render import headline

        found = self.evidence.nulls
        if found is None or not found.drawn:
            raise InputError(f"no markets without an edge could be made, see the reasons: {self.reasons}.")
        return nulls(found.drawn, found.real, title=headline(self))

    def __repr__(self) -> str:
        word = "approved" if self.approved else "refused"
        market = f"{self.market['exchange']} {self.market['symbol']} {self.market['timeframe']}"
        return f"Verdict({self.strategy} on {market}: {word}; reasons: {len(self.reasons)})"

    def __str__(self) -> str:
        from quantlab.validation.render import text

        return text(self)

    def _repr_html_(self) -> str:
        from quantlab.validation.render import html

        return html(self)


def conclude(evidence: Evidence, **identity: Any) -> Verdict:
    """The verdict that follows from `evidence`.

    Parameters
    ----------
    evidence : Evidence
    **identity
        The remaining fields of `Verdict`: cell, strategy, surface_key, market, execution, members.
    """
    approved = _holds(evidence)
    if approved:
        reasons = tuple(_sentence(test) for test in evidence.tests if test.passed)
    else:
        reasons = tuple(_sentence(test) for test in evidence.failed)
        reasons += tuple(
            f"the test {name!r} was not run: without it nothing is approved." for name in evidence.missing
        )
    return Verdict(approved, reasons, evidence, **identity)


def cell_json(cell: Cell) -> dict[str, Any]:
    """A cell as a verdict writes it."""
    return {"index": cell.index, "params": cell.params, "metrics": cell.metrics}


def _cell(document: Mapping[str, Any]) -> Cell:
    return Cell(tuple(document["index"]), dict(document["params"]), _figures(document["metrics"]))


def _holds(evidence: Evidence) -> bool:
    return not evidence.failed and not evidence.missing


def _sentence(test: Test) -> str:
    return f"{test.title}: {test.detail}"


def _evidence(document: Mapping[str, Any]) -> Evidence:
    return Evidence(
        tuple(Test(**test) for test in document["tests"]),
        WalkForward.from_json(document["walk_forward"]),
        {name: _figures(fill) for name, fill in document["fills"].items()},
        document["trials_search"],
        document["trials_ever"],
        Gate.from_json(document["gate"]),
        Standing.from_json(ledger) if (ledger := document.get("ledger")) else None,
        Rerun.from_json(nulls) if (nulls := document["nulls"]) else None,
        document["adaptive"],
    )


def _figures(document: Mapping[str, Any]) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in document.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
