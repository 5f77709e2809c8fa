"""What is missing, quiet or suspicious in candles, as a table.

Quality describes data with hindsight. No strategy reads it.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy as np

from quantlab.market.anomalies import suspicious
from quantlab.market.candles import COLUMNS, FLAT, NO_TRADE, Candles, iso

_SHOWN = 3


@dataclass(frozen=True)
class Gap:
    """A run of lost bars: open time of the first [epoch ms UTC] and how many there are."""

    first_ms: int
    bars: int


@dataclass(frozen=True)
class Quality:
    """The state of one market's candles.

    Parameters
    ----------
    title : str
        Exchange, symbol and timeframe.
    bars : int
        Bars of the regular grid, lost ones included.
    first_ms, last_ms : int
        Open times of the first and last bar [epoch ms UTC].
    missing : int
        Lost bars.
    gaps : tuple of Gap
        The runs of lost bars, in time order.
    no_trade, flat : int
        Bars in which nothing traded; bars whose four prices are equal (those without a trade included).
    suspicious : dict of str to tuple of int
        Open times [epoch ms UTC] of bars that look wrong, by reason; reasons that found nothing are left
        out. ``quantlab.market.anomalies.REASONS`` documents each.
    invented_opens : float
        Share of bars whose open equals the close of the bar before, among those that follow a known bar
        and traded; NaN if there are none. Above 0.95 the source made its opens up: a fill at the next open
        then meets no gap.
    last_volume_ratio : float
        Volume of the last bar / median volume of the 24 bars before it; NaN if unknown. Far below 1 hints
        at a bar that was still open when it was stored.
    """

    title: str
    bars: int
    first_ms: int
    last_ms: int
    missing: int
    gaps: tuple[Gap, ...]
    no_trade: int
    flat: int
    suspicious: dict[str, tuple[int, ...]]
    invented_opens: float
    last_volume_ratio: float

    @classmethod
    def of(cls, candles: Candles) -> Quality:
        """Examine candles."""
        found = suspicious(*(getattr(candles, name) for name in COLUMNS))
        return cls(
            title=f"{candles.exchange} {candles.symbol} {candles.timeframe}",
            bars=len(candles),
            first_ms=candles.first_ms,
            last_ms=candles.last_ms,
            missing=int(candles.missing.sum()),
            gaps=_gaps(candles),
            no_trade=int(np.count_nonzero(candles.flags & NO_TRADE)),
            flat=int(np.count_nonzero(candles.flags & FLAT)),
            suspicious={
                reason: tuple(candles.timestamps[mask].tolist())
                for reason, mask in found.items()
                if mask.any()
            },
            invented_opens=_invented_opens(candles),
            last_volume_ratio=_last_volume_ratio(candles),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences a reader should know before trusting a backtest on these candles."""
        notes = []
        if self.invented_opens > 0.95:
            notes.append(
                f"{self.invented_opens:.1%} of opens equal the previous close: the source invented them, "
                f"fills at the next open meet no gap."
            )
        if self.last_volume_ratio < 0.25:
            notes.append(
                f"The last bar has {self.last_volume_ratio:.2f} times the usual volume: it may have been "
                f"stored while still open; leave it out if so."
            )
        return tuple(notes)

    def rows(self) -> list[tuple[str, str, str]]:
        """Return the table as (what, how many, where)."""
        share = f"{self.missing / self.bars:.2%}"
        widest = sorted(self.gaps, key=lambda gap: -gap.bars)[:_SHOWN]
        table = [
            ("bars", f"{self.bars:,}", f"{iso(self.first_ms)} to {iso(self.last_ms)}"),
            (
                "missing",
                f"{self.missing:,} ({share})",
                _listed([f"{iso(gap.first_ms)} ({gap.bars:,} bars)" for gap in widest], len(self.gaps)),
            ),
            ("no trade", f"{self.no_trade:,}", ""),
            ("flat", f"{self.flat:,}", ""),
        ]
        for reason, times in self.suspicious.items():
            where = _listed([iso(ms) for ms in times[:_SHOWN]], len(times))
            table.append((f"suspicious: {reason}", f"{len(times):,}", where))
        return table

    def __str__(self) -> str:
        lines = [f"{what:<32}{count:>16}  {where}".rstrip() for what, count, where in self.rows()]
        return "\n".join([self.title, *lines, *self.notes])

    def _repr_html_(self) -> str:
        body = "".join(
            f'<tr><th style="text-align:left">{html.escape(what)}</th>'
            f'<td style="text-align:right">{html.escape(count)}</td>'
            f'<td style="text-align:left">{html.escape(where)}</td></tr>'
            for what, count, where in self.rows()
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<table><caption>{html.escape(self.title)}</caption>{body}</table>{notes}"


def _listed(shown: list[str], total: int) -> str:
    return ", ".join(shown) + (f" and {total - len(shown):,} more" if total > len(shown) else "")


def _gaps(candles: Candles) -> tuple[Gap, ...]:
    edges = np.flatnonzero(np.diff(candles.missing, prepend=False, append=False))
    return tuple(
        Gap(int(candles.timestamps[start]), int(stop - start))
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
    )


def _invented_opens(candles: Candles) -> float:
    before = candles.close[:-1]
    compared = ~np.isnan(before) & (candles.volume[1:] > 0)
    if not compared.any():
        return float("nan")
    return float(np.mean(candles.open[1:][compared] == before[compared]))


def _last_volume_ratio(candles: Candles) -> float:
    before = candles.volume[-25:-1]
    before = before[~np.isnan(before)]
    usual = float(np.median(before)) if before.size else 0.0
    return float(candles.volume[-1] / usual) if usual > 0 else float("nan")
