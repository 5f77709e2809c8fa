"""What the look-ahead detector found, what it looked at, and what it cannot show: as text, table and HTML."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from quantlab.market.candles import iso

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["lookahead", "warmup", "repetition", "fields", "raises"]

KINDS: Mapping[str, str] = {
    "lookahead": "looks into the future",
    "warmup": "needs more history than it declares",
    "repetition": "differs from run to run",
    "fields": "returns different fields on different candles",
    "raises": "raises an exception",
}
"""Every kind of finding, in words."""

CANNOT_SHOW = (
    "Not shown by this: leaks on other candles or in cells that were not looked at; a leak that fires on a "
    "few bars and neither makes a signal that was replayed nor lies before a cut; what the strategy reads "
    "besides the candles (files, models and constants fitted on the same history); parameters chosen with "
    "hindsight."
)

_FIELDS = {
    "long": "the long entry",
    "short": "the short entry",
    "exit_long": "the exit of longs",
    "exit_short": "the exit of shorts",
    "stop": "the stop distance",
    "target": "the target distance",
    "trail": "the trailing distance",
    "break_even": "the break-even distance",
    "partial_target": "the distance of the partial target",
    "partial_fraction": "the partial fraction",
    "max_holding": "the longest holding time",
}


@dataclass(frozen=True)
class Finding:
    """One way in which decisions are not what a bot would have decided.

    Parameters
    ----------
    kind : str
        Key of `KINDS`.
    field : str
        Of `Signals`; empty where it is no one field.
    detail : str
        One or two sentences with bar, cell and values.
    bar, time_ms : int or None
        Bar of the decision that is shown, and its open time.
    params : mapping
        Its cell.
    clause, of : int
        Clause of the entry, counted from 1, of how many; 0 if the field is one array.
    nearest, furthest : int or None
        Look-ahead: how many bars ahead the field looks, the nearest and the furthest bar that were found to
        matter. None where only the number of bars does, or where a cell leaks among other cells only.
    to_end : bool
        Look-ahead: the last bar of the candles matters.
    columns : tuple of str
        Look-ahead: columns of the candles that move the decision when they alone are changed.
    decided : bool
        Look-ahead: the field itself changed, and not only a clause of it.
    needed_bars : int or None
        Warm-up: bars of history with which the decisions shown are right.
    seen, of_runs : int
        Comparisons (cuts or windows) that showed it, and all of that sort.
    """

    kind: Kind
    field: str
    detail: str
    bar: int | None = None
    time_ms: int | None = None
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    clause: int = 0
    of: int = 0
    nearest: int | None = None
    furthest: int | None = None
    to_end: bool = False
    columns: tuple[str, ...] = ()
    decided: bool = True
    needed_bars: int | None = None
    seen: int = 1
    of_runs: int = 1

    def __str__(self) -> str:
        return self.detail


@dataclass(frozen=True)
class LookaheadReport:
    """All findings about a strategy on some candles; true (``ok``) only if there are none.

    Parameters
    ----------
    strategy, market : str
    findings : tuple of Finding
        Look-ahead first.
    looked_at : str
        How many cells, cuts and bars.
    evaluations : int
        Of the strategy, those on single cells and windows included.
    replayed, changes, changes_replayed : int
        Windows computed; signal changes of the replayed cells, and how many of them were replayed.
    seconds : float
        What it took; left out of comparisons.
    """

    strategy: str
    market: str
    findings: tuple[Finding, ...]
    looked_at: str
    evaluations: int
    replayed: int
    changes: int
    changes_replayed: int
    seconds: float = dataclasses.field(default=0.0, compare=False)

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """The findings that are look-ahead."""
        return tuple(finding for finding in self.findings if finding.kind == "lookahead")

    @property
    def headline(self) -> str:
        """One line: what was found, on what."""
        kinds = dict.fromkeys(finding.kind for finding in self.findings)
        said = " and ".join(KINDS[kind] for kind in kinds) or "no look-ahead found"
        return f"{self.strategy} on {self.market}: {said}"

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        plain = asdict(self)
        findings = [{**finding, "columns": list(finding["columns"])} for finding in plain.pop("findings")]
        return {"ok": self.ok, **plain, "cannot_show": CANNOT_SHOW, "findings": findings}

    def to_frame(self) -> pd.DataFrame:
        """A row per finding, a column per figure; no rows if nothing was found."""
        import pandas as pd

        names = list(Finding.__dataclass_fields__)
        rows = [[getattr(finding, name) for name in names] for finding in self.findings]
        frame = pd.DataFrame(rows, columns=names)
        frame.insert(3, "time", pd.to_datetime(frame.pop("time_ms"), unit="ms", utc=True))
        return frame

    def __str__(self) -> str:
        found = [f"  - {finding}" for finding in self.findings]
        return "\n".join([self.headline, *found, self.looked_at, CANNOT_SHOW])

    def _repr_html_(self) -> str:
        colour = "#1a7f37" if self.ok else "#b42318"
        found = "".join(f"<li>{escape(str(finding))}</li>" for finding in self.findings)
        small = "color:#6b7280;font-size:90%"
        return (
            f"<div style='max-width:75em'><p style='color:{colour};font-weight:bold'>"
            f"{escape(self.headline)}</p>"
            f"<ul>{found}</ul><p style='{small}'>{escape(self.looked_at)}</p>"
            f"<p style='{small}'>{escape(CANNOT_SHOW)}</p></div>"
        )


def field_words(name: str) -> str:
    """A field of `Signals` in words."""
    return _FIELDS[name]


def distance_words(nearest: int | None, furthest: int | None, to_end: bool) -> str:
    """How far a field looks, in words."""
    if nearest is None or furthest is None:
        return "on how many bars follow"
    if to_end:
        return "on the last bar" if nearest == furthest else f"on bars from {nearest:,} later to the last one"
    if nearest == furthest:
        return f"on the bar {nearest:,} later" if nearest > 1 else "on the next bar"
    return f"on bars {nearest:,} to {furthest:,} later"


def moment_words(time_ms: int, bar: int) -> str:
    """A bar in words."""
    return f"{iso(time_ms)} (bar {bar:,})"


def plain_words(value: Any) -> str:
    """A value of a field, short."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
