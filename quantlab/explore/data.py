"""What a report is made of: plain values, arrays and mappings, so that anyone can fill it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quantlab.errors import InputError
from quantlab.figures.candles import Level, Marker
from quantlab.figures.equity import Span
from quantlab.figures.heatmap import Mark
from quantlab.figures.slices import Profile


@dataclass(frozen=True, eq=False)
class Plane:
    """One metric over two parameters.

    Parameters
    ----------
    z : float array of shape (len(y), len(x))
        NaN: undefined.
    x, y : sequences
        Parameter values.
    x_label, y_label : str
    metric : str
    title : str
        What was done with all other parameters.
    marks : sequence of (x value, y value, label)
        E.g. "peak" and "plateau".
    note : str
        One sentence under the picture.
    hover : mapping of metric name to array of the shape of `z`
        Further figures of the same cells.
    """

    z: np.ndarray
    x: Sequence[Any]
    y: Sequence[Any]
    x_label: str
    y_label: str
    metric: str
    title: str = "best over all other parameters"
    marks: Sequence[Mark] = ()
    note: str = ""
    hover: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ChosenCell:
    """The parameters that were chosen, and how much they may move.

    Parameters
    ----------
    params : mapping of parameter name to value
    half_width : mapping of parameter name to float, int or None
        Distance from the value within which the plateau holds, in the parameter's unit.
    units, meanings : mappings of parameter name to text
    metrics : mapping of metric name to float
        Every metric of the cell.
    neighbours : anything that ``pandas.DataFrame`` takes
        The cells around it: columns are parameters and metrics.
    profiles : sequence of `quantlab.figures.slices.Profile`
        The metric along each parameter through the cell.
    metric : str
        The metric of the profiles.
    note : str
        One sentence, e.g. how the cell was chosen.
    """

    params: Mapping[str, Any]
    half_width: Mapping[str, float | int | None] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    meanings: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    neighbours: Any = None
    profiles: Sequence[Profile] = ()
    metric: str = "sharpe"
    note: str = ""


@dataclass(frozen=True, eq=False)
class Members:
    """The cells of an ensemble.

    Parameters
    ----------
    columns : mapping of label to texts
        A text a member: its place, the parameters in which members differ, its own figures.
    same : mapping of parameter name to value
        What all of them have in common.
    note : str
        How they trade together.
    """

    columns: Mapping[str, Sequence[str]]
    same: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


@dataclass(frozen=True, eq=False)
class EquityCurve:
    """Equity and market bar by bar.

    Parameters
    ----------
    timestamps_ms : int64 array of shape (n,)
    equity : float array of shape (n,)
        Initial equity = 1.
    market : float array of shape (n,), optional
        Closing prices; NaN where a bar is missing.
    spans : sequence of (start_ms, end_ms, label)
        Stretches to shade.
    note : str
    """

    timestamps_ms: np.ndarray
    equity: np.ndarray
    market: np.ndarray | None = None
    spans: Sequence[Span] = ()
    note: str = ""


@dataclass(frozen=True)
class EvidenceRow:
    """One test.

    Parameters
    ----------
    name : str
    value, threshold : float or None
    passed : bool or None
        None: reported, it decides nothing.
    meaning : str
        What it means, in a sentence.
    seconds : float or None
        What it took.
    """

    name: str
    value: float | None
    threshold: float | None
    passed: bool | None
    meaning: str
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class Luck:
    """What the search found where there is no edge.

    Parameters
    ----------
    scores : mapping of label to float array (drawn,)
        Per kind of market.
    real : float
        On the real market.
    words : str
        The same in a sentence.
    """

    scores: Mapping[str, np.ndarray]
    real: float
    words: str


@dataclass(frozen=True, eq=False)
class CloseUp:
    """A stretch of candles with a trade in it; fields as `quantlab.figures.candles.candles` takes them."""

    title: str
    timestamps_ms: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    entries: Sequence[Marker] = ()
    exits: Sequence[Marker] = ()
    levels: Sequence[Level] = ()


@dataclass(frozen=True, eq=False)
class Section:
    """One run: a strategy on a market, its verdict and all that led to it.

    A part that was not measured is left at its default and does not appear.

    Parameters
    ----------
    strategy, market_name : str
        E.g. "liquidity_sweep" and "coinbase BTC/USD 1h".
    approved : bool
    reasons : sequence of str
        Full sentences in plain language.
    summary : str
        A sentence or two that a reader sees first.
    figures : mapping of metric name or label to number or text
        Six to eight headline figures, e.g. the plateau's Sharpe, the trades, the cells searched.
    luck : Luck, optional
    evidence : sequence of EvidenceRow
    folds : sequence of mappings
        Walk-forward windows: keys of `quantlab.validation.walkforward.Fold`.
    walk_forward_note : str
    planes : sequence of Plane
        E.g. the best over all other parameters, and the plane through the chosen cell.
    members : Members, optional
        Of an ensemble: `figures` and `curve` are then those of all members together; cell, fills, regimes,
        trades and close-ups those of the best member.
    cell : ChosenCell, optional
    curve : EquityCurve, optional
    fills : mapping of fill assumption to mapping of metric to float
    regimes : mapping of regime to mapping of metric to float
        As `quantlab.backtest.by_regime.by_regime` gives them.
    costs : mapping of label to number or text
    trades : anything that ``pandas.DataFrame`` takes, optional
        All of them; `quantlab.explore.tables.trade_rows` makes it from a run's trades.
    close_ups : sequence of CloseUp
    market : mapping of label to number or text
    quality : sequence of (what, how many, where)
        As `quantlab.market.quality.Quality.rows` gives them.
    quality_notes : sequence of str
    provenance : mapping of label to text
        Versions, hashes, seeds.
    commands : sequence of str
        What to type to get this run again.
    """

    strategy: str
    market_name: str
    approved: bool
    reasons: Sequence[str]
    summary: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    luck: Luck | None = None
    evidence: Sequence[EvidenceRow] = ()
    folds: Sequence[Mapping[str, Any]] = ()
    walk_forward_note: str = ""
    planes: Sequence[Plane] = ()
    members: Members | None = None
    cell: ChosenCell | None = None
    curve: EquityCurve | None = None
    fills: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    regimes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    costs: Mapping[str, Any] = field(default_factory=dict)
    trades: Any = None
    close_ups: Sequence[CloseUp] = ()
    market: Mapping[str, Any] = field(default_factory=dict)
    quality: Sequence[tuple[str, str, str]] = ()
    quality_notes: Sequence[str] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    commands: Sequence[str] = ()

    @property
    def verdict(self) -> str:
        """One word: Approved or Refused."""
        return "Approved" if self.approved else "Refused"

    @property
    def subject(self) -> str:
        """Whose trades, fills and regimes are shown."""
        return "the best member" if self.members else "the chosen cell"


@dataclass(frozen=True, eq=False)
class ReportData:
    """Everything that one report shows.

    Parameters
    ----------
    sections : tuple of Section
        At least one.
    introduction : str
        A paragraph before the first section.
    """

    sections: tuple[Section, ...]
    introduction: str = ""

    def __post_init__(self) -> None:
        if not self.sections:
            raise InputError("a report needs at least one section, got none.")

    @property
    def title(self) -> str:
        """The verdict of every section in one line."""
        return "; ".join(f"{s.verdict}: {s.strategy} on {s.market_name}" for s in self.sections)
