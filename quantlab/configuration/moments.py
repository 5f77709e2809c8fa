"""Moments in a V3 document: UTC to the second, written ``2026-01-31T12:00:00Z`` and no other way."""

from __future__ import annotations

from datetime import UTC, datetime

from quantlab.errors import ConfigurationError

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def to_text(moment: datetime | str) -> str:
    """Write a moment; fractions of a second are cut off.

    Parameters
    ----------
    moment : datetime or str
        Aware of its zone, or a text as this function writes it.

    Raises
    ------
    ConfigurationError
        The datetime has no zone, or the text is not of that form.
    """
    if isinstance(moment, str):
        to_datetime(moment)
        return moment
    if moment.tzinfo is None:
        raise ConfigurationError(f"a moment needs a time zone, got {moment}: use datetime.now(UTC).")
    # isoformat, not strftime: some C libraries write the year 999 without its leading zero.
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def to_datetime(text: str) -> datetime:
    """Read a moment written by `to_text`, aware, in UTC.

    Raises
    ------
    ConfigurationError
        The text is not of the form ``2026-01-31T12:00:00Z`` or names no real moment.
    """
    try:
        moment = datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
    except (TypeError, ValueError):
        moment = None
    if moment is None or to_text(moment) != text:
        raise ConfigurationError(f"a moment must read like 2026-01-31T12:00:00Z (UTC), got {text!r}.")
    return moment
