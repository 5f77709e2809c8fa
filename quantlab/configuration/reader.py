"""The reader that an execution bot uses: it returns a document that may be traded, or it raises.

It never falls back to a default. It needs jsonschema, rfc8785 and the standard library only::

    from quantlab.configuration import reader
    document = reader.read("liquidity_sweep_....v3.json")
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from os import PathLike
from pathlib import Path
from typing import Any

from quantlab.configuration.canonical import canonical_bytes, config_id, parse, sha256
from quantlab.configuration.lifecycle import TRADABLE
from quantlab.configuration.moments import to_datetime, to_text
from quantlab.configuration.schema import validate
from quantlab.errors import ConfigurationError

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far the clock of the producer may run ahead of the reader's."""


def read(source: bytes | str | PathLike[str], *, now: datetime | None = None) -> dict[str, Any]:
    """Read a V3 document that may be traded at the moment `now`.

    Checked in this order: one JSON object without repeated keys or NaN; known version; schema; the bytes
    are the canonical ones; the id is the hash of the content; approved by the gate, replayed on a second
    engine without a difference; approved by a person who saw this very evidence; not revoked; in a
    tradable stage; with a drawdown stop; created in the past and not expired.

    Parameters
    ----------
    source : bytes, str or path
        The content, or the path of a file that holds it.
    now : datetime, optional
        The moment at which it shall be traded, aware of its zone; by default the clock.

    Returns
    -------
    dict
        The document. Whole numbers are ints, also where a float is meant.

    Raises
    ------
    ConfigurationError
        Always this type, whatever is wrong, with the reason.
    """
    raw = source if isinstance(source, bytes) else _load(source)
    document = parse(raw)
    try:
        check(document, now=now)
    except RecursionError as error:
        raise ConfigurationError(
            "the document is nested too deeply: it was not written by quantlab."
        ) from error
    if canonical_bytes(document) != raw:
        raise ConfigurationError(
            "the bytes are not the canonical form (RFC 8785) of the document: something wrote it anew after "
            "its export; fetch the exported file again."
        )
    return document


def check(document: Mapping[str, Any], *, now: datetime | None = None) -> None:
    """Raise unless a parsed document may be traded at the moment `now`; see `read`.

    Raises
    ------
    ConfigurationError
        With the first reason found.
    """
    validate(document)
    stated, actual = document["identity"]["config_id"], config_id(document)
    if stated != actual:
        raise ConfigurationError(
            f"the content hashes to {actual[:12]}…, identity.config_id says {stated[:12]}…: it was altered "
            "after its export; fetch the exported file again."
        )
    if "signature" in document:
        raise ConfigurationError(
            "the document is signed and this reader cannot verify signatures: upgrade quantlab."
        )
    _check_evidence(document["validation"])
    _check_lifecycle(document)
    _check_dates(document, datetime.now(UTC) if now is None else now)


def _load(path: str | PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"the configuration cannot be read: {error}. Nothing may be traded without it."
        ) from error


def _check_evidence(validation: Mapping[str, Any]) -> None:
    failed = [test["name"] for test in validation["tests"] if test["passed"] is False]
    if not validation["approved"] or failed:
        raise ConfigurationError(
            f"the gate refused this configuration (approved: {validation['approved']}, failed: {failed}): "
            "it is research, not for trading."
        )
    if not any(test["passed"] for test in validation["tests"]):
        raise ConfigurationError(
            "no decisive test of the gate is in the document: validate and export it again."
        )
    if not validation["replay"]["agreed"]:
        raise ConfigurationError("the second engine disagreed in the replay: the backtest cannot be trusted.")


def _check_lifecycle(document: Mapping[str, Any]) -> None:
    lifecycle = document["lifecycle"]
    if lifecycle["revoked"]:
        raise ConfigurationError(
            "the configuration was revoked: close its positions and fetch its successor."
        )
    if not lifecycle["approvals"]:
        raise ConfigurationError("nobody has approved the configuration: approve it in the lab first.")
    evidence = sha256(document["validation"])
    for approval in lifecycle["approvals"]:
        if approval["evidence_sha256"] != evidence:
            raise ConfigurationError(
                f"{approval['by']} approved other evidence than is in the document: approve it again."
            )
    if lifecycle["stage"] not in TRADABLE:
        raise ConfigurationError(
            f"stage {lifecycle['stage']} may not be traded, only {' and '.join(TRADABLE)}: fetch a "
            "configuration in one of these."
        )
    if document["risk_limits"]["drawdown_stop"] is None:
        raise ConfigurationError(
            "risk_limits.drawdown_stop is null: nothing may be traded without a drawdown stop."
        )


def _check_dates(document: Mapping[str, Any], now: datetime) -> None:
    if not isinstance(now, datetime) or now.tzinfo is None:
        raise ConfigurationError(
            f"`now` must be a datetime with a time zone, got {now!r}: use datetime.now(UTC)."
        )
    created = to_datetime(document["identity"]["created_at"])
    expires = to_datetime(document["identity"]["expires_at"])
    approved = max(to_datetime(approval["at"]) for approval in document["lifecycle"]["approvals"])
    if max(created, approved) > now + CLOCK_TOLERANCE:
        raise ConfigurationError(
            f"the configuration comes from the future: created {to_text(created)}, approved "
            f"{to_text(approved)}, now it is {to_text(now)}; set the clock."
        )
    if now >= expires:
        raise ConfigurationError(
            f"the configuration expired at {to_text(expires)}, now it is {to_text(now)}: renew it."
        )
