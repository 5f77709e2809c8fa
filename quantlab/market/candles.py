"""Candles: one market's immutable columns on a regular grid of time.

Nothing is dropped, so that 20 bars always span 20 bars of time. A bar that was lost is a row of NaN with
the flag ``MISSING``; a bar in which nothing traded is flat with volume 0 and the flag ``NO_TRADE``. What
cannot be trusted is refused on the way in, with the first bar at fault.

Known at: row t is final at the **close** of bar t, ``timestamps[t] + step_ms``.
"""

from __future__ import annotations

import hashlib
import html
import json
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from quantlab.errors import CandlesError, InputError, UnknownNameError, demand

if TYPE_CHECKING:
    import pandas as pd

    from quantlab.market.quality import Quality

MISSING, NO_TRADE, FLAT, SUSPICIOUS = 1, 2, 4, 8
"""Bits of ``Candles.flags``: lost; nothing traded; open = high = low = close; see ``Candles.quality``."""

TIMEFRAMES = {
    "1m": 60_000,
    "5m": 300_000,
    "15m": 900_000,
    "1h": 3_600_000,
    "4h": 14_400_000,
    "1d": 86_400_000,
}
"""Length of a bar [ms] by the name of its timeframe."""

COLUMNS = ("open", "high", "low", "close", "volume")

Floats = npt.NDArray[np.float64]


def step_ms(timeframe: str) -> int:
    """Length of a bar of `timeframe` in milliseconds.

    Raises
    ------
    UnknownNameError
        The timeframe is not one of ``TIMEFRAMES``.
    """
    if timeframe not in TIMEFRAMES:
        raise UnknownNameError("timeframe", timeframe, TIMEFRAMES)
    return TIMEFRAMES[timeframe]


def iso(ms: int) -> str:
    """Write epoch milliseconds as UTC, as short as they allow: ``2018-01-01T05:00Z``."""
    unit: Literal["m", "ms"] = "m" if ms % 60_000 == 0 else "ms"
    return f"{np.datetime_as_string(np.datetime64(int(ms), 'ms'), unit=unit)}Z"


def parse_ms(moment: str | None) -> int | None:
    """Epoch milliseconds of an ISO date or time (UTC), the other way round than `iso`; None stays None."""
    if moment is None:
        return None
    try:
        if not isinstance(moment, str) or not moment[:4].isdigit():  # numpy reads "now" and "" too
            raise ValueError
        return int(np.datetime64(moment.removesuffix("Z"), "ms").astype(np.int64))
    except ValueError:
        raise CandlesError(
            f"a moment reads like '2024-05-03' or '2024-05-03T14:00' (UTC), got {moment!r}: write year, "
            "month and day in this order."
        ) from None


def check_period(start: str | None, end: str | None) -> None:
    """Raise InputError if the first bar wanted lies after the last one."""
    first, last = parse_ms(start), parse_ms(end)
    if first is not None and last is not None and first > last:
        raise InputError(f"`start` must not lie after `end`, got {start} and {end}: exchange them.")


def check_candles(given: object) -> None:
    """Raise InputError unless these are Candles of one market; the message says how to come by them."""
    remedy = (
        "make them with ql.Candles.from_frame(frame, exchange=..., symbol=..., timeframe=...)"
        if hasattr(given, "columns")
        else "lab.candles(exchange, symbol, timeframe) hands out stored ones"
    )
    demand(given, Candles, "candles must be Candles", remedy)


def _frozen(array: np.ndarray) -> np.ndarray:
    """Return the array if nobody can write to its memory, else a read-only copy."""
    link: object = array
    while isinstance(link, np.ndarray):
        if link.flags.writeable:
            array = array.copy()
            array.flags.writeable = False
            break
        link = link.base
    return array


@dataclass(frozen=True, eq=False, repr=False)
class Candles:
    """One market's candles: UTC, regular, read-only. Build them with `from_frame` or `from_arrays`.

    The constructor itself only checks shapes and dtypes and takes the content on trust.

    Parameters
    ----------
    exchange, symbol : str
        For example ``"coinbase"`` and ``"BTC/USD"``.
    timeframe : str
        One of ``TIMEFRAMES``.
    timestamps : ndarray of int64, shape (n_bars,)
        Open time of each bar, epoch milliseconds UTC, exactly one bar length apart.
    open, high, low, close : ndarray of float64, shape (n_bars,)
        Prices; NaN in lost bars.
    volume : ndarray of float64, shape (n_bars,)
        Traded amount in units of the base asset; NaN in lost bars.
    flags : ndarray of uint8, shape (n_bars,)
        Bits ``MISSING``, ``NO_TRADE``, ``FLAT``, ``SUSPICIOUS``. They describe the data; only ``MISSING``
        (equal to NaN prices) may reach a strategy, because the others may know later bars.

    Raises
    ------
    CandlesError
        A column has another length or dtype, or there is no bar at all.
    """

    exchange: str
    symbol: str
    timeframe: str
    timestamps: npt.NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    flags: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        step_ms(self.timeframe)
        for name in ("exchange", "symbol"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise CandlesError(f"{name} must be a name such as 'coinbase' or 'BTC/USD', got {value!r}.")
        n_bars = len(self.timestamps)
        if n_bars == 0:
            raise CandlesError(f"{self.family} {self.timeframe} has no bars: candles need at least one.")
        dtypes = {"timestamps": np.int64, "flags": np.uint8} | dict.fromkeys(COLUMNS, np.float64)
        for name, dtype in dtypes.items():
            array = getattr(self, name)
            if array.dtype != dtype or array.shape != (n_bars,):
                raise CandlesError(
                    f"{name} must be {np.dtype(dtype)} of shape ({n_bars},), got {array.dtype} of shape "
                    f"{array.shape}: use Candles.from_arrays."
                )
            object.__setattr__(self, name, _frozen(array))

    @classmethod
    def from_arrays(
        cls,
        exchange: str,
        symbol: str,
        timeframe: str,
        timestamps: npt.ArrayLike,
        open: npt.ArrayLike,
        high: npt.ArrayLike,
        low: npt.ArrayLike,
        close: npt.ArrayLike,
        volume: npt.ArrayLike,
        *,
        absent: Literal["lost", "no_trade"] = "lost",
    ) -> Candles:
        """Validate columns and lay them on the regular grid.

        Parameters
        ----------
        exchange, symbol, timeframe : str
            Identity of the market; `timeframe` is one of ``TIMEFRAMES``.
        timestamps : array_like of int, shape (n_rows,)
            Bar **open** times, epoch milliseconds UTC, increasing, multiples of the bar length.
        open, high, low, close, volume : array_like of float, shape (n_rows,)
            A row whose four prices are all NaN is a lost bar.
        absent : {"lost", "no_trade"}
            What a bar means for which there is no row. ``"lost"``: unknown, NaN and ``MISSING``.
            ``"no_trade"``: the source leaves out quiet bars (Kraken's dumps do), flat at the last close
            with volume 0 and ``NO_TRADE``.

        Returns
        -------
        Candles
            Of shape (n_bars,), n_bars >= n_rows.

        Raises
        ------
        CandlesError
            Empty, unsorted, duplicated, off the grid, of another timeframe or unit of time, or a row whose
            prices or volume cannot be; names the first one.
        """
        from quantlab.market.checks import regular

        return cls(
            exchange,
            symbol,
            timeframe,
            *regular(timeframe, timestamps, (open, high, low, close, volume), absent),
        )

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        exchange: str,
        symbol: str,
        timeframe: str,
        absent: Literal["lost", "no_trade"] = "lost",
    ) -> Candles:
        """Validate a pandas frame and lay it on the regular grid.

        Parameters
        ----------
        frame : pandas.DataFrame
            Columns open, high, low, close, volume, and bar **open** times as a ``timestamp`` column (int
            epoch milliseconds, or datetimes) or as a DatetimeIndex. Datetimes with a zone are converted to
            UTC, without one they are taken as UTC. Other columns are ignored.
        exchange, symbol, timeframe : str
            Identity of the market; `timeframe` is one of ``TIMEFRAMES``.
        absent : {"lost", "no_trade"}
            See `from_arrays`.

        Raises
        ------
        CandlesError
            A column is missing, doubled or not numeric, or as in `from_arrays`.
        """
        from quantlab.market.frames import columns

        return cls.from_arrays(exchange, symbol, timeframe, *columns(frame), absent=absent)

    def to_frame(self) -> pd.DataFrame:
        """Return a new frame: index ``timestamp`` (UTC, naive), columns o, h, l, c, volume and flags."""
        import pandas as pd

        index = pd.DatetimeIndex(self.timestamps.astype("datetime64[ms]"), name="timestamp")
        return pd.DataFrame({name: getattr(self, name).copy() for name in (*COLUMNS, "flags")}, index=index)

    def quality(self) -> Quality:
        """Describe what is missing, quiet or suspicious in these candles."""
        from quantlab.market.quality import Quality

        return Quality.of(self)

    @property
    def step_ms(self) -> int:
        """Length of a bar [ms]."""
        return TIMEFRAMES[self.timeframe]

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Which bars were lost, bool of shape (n_bars,)."""
        return (self.flags & MISSING).astype(bool)

    @property
    def family(self) -> str:
        """The market whatever the timeframe, ``exchange:symbol``."""
        return f"{self.exchange}:{self.symbol}"

    @property
    def first_ms(self) -> int:
        """Open time of the first bar [epoch ms]."""
        return int(self.timestamps[0])

    @property
    def last_ms(self) -> int:
        """Open time of the last bar [epoch ms]."""
        return int(self.timestamps[-1])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of identity, timestamps, o, h, l, c, v as little-endian bytes; not of the flags."""
        digest = hashlib.sha256()
        identity = ["quantlab.candles.1", self.exchange, self.symbol, self.timeframe, len(self)]
        digest.update(json.dumps(identity, ensure_ascii=False, separators=(",", ":")).encode())
        digest.update(self.timestamps.astype("<i8").tobytes())
        for name in COLUMNS:
            column = getattr(self, name) + 0.0  # -0.0 becomes 0.0
            column[np.isnan(column)] = np.nan  # one bit pattern for every NaN
            digest.update(column.astype("<f8").tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.timestamps)

    def __getitem__(self, bars: slice) -> Candles:
        """Return the bars of a slice ``[a:b]`` as Candles that share memory."""
        if not isinstance(bars, slice) or bars.step not in (None, 1):
            raise CandlesError(
                f"candles are sliced as candles[a:b], got {bars!r}: index a column, e.g. candles.close[-1]."
            )
        return self._with({f.name: getattr(self, f.name)[bars] for f in fields(self) if f.name not in _NAMES})

    def _with(self, columns: dict[str, np.ndarray]) -> Candles:
        """Return the same market with other columns, taken on trust."""
        return Candles(**({f.name: getattr(self, f.name) for f in fields(self)} | columns))

    def __eq__(self, other: object) -> bool:
        return self.fingerprint == other.fingerprint if isinstance(other, Candles) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __reduce__(self) -> tuple[type[Candles], tuple]:
        return Candles, tuple(getattr(self, f.name) for f in fields(self))

    def __repr__(self) -> str:
        lost = int(self.missing.sum())
        return (
            f"Candles({self.exchange} {self.symbol} {self.timeframe}: {len(self):,} bars, "
            f"{iso(self.first_ms)} to {iso(self.last_ms)}, {lost:,} missing)"
        )

    def _repr_html_(self) -> str:
        return f"<p><code>{html.escape(repr(self))}</code></p>{self.quality()._repr_html_()}"


_NAMES = ("exchange", "symbol", "timeframe")
