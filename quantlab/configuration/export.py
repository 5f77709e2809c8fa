"""Write a V3 document to a folder: all of it or nothing, under a name that follows from its content."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any

from quantlab.configuration.canonical import canonical_bytes
from quantlab.configuration.moments import to_datetime
from quantlab.configuration.reader import read
from quantlab.configuration.schema import validate
from quantlab.errors import ConfigurationError

SUFFIX = ".v3.json"


def file_name(document: Mapping[str, Any]) -> str:
    """The name of the file: strategy, market and the first 16 digits of the id.

    For example ``liquidity_sweep_coinbase-BTC-USD-1h_0f3a9c71d2b4e586.v3.json``.
    """
    market = document["market"]
    where = "-".join((market["exchange"], market["symbol"], market["timeframe"]))
    strategy, where = (
        re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-")[:80] for text in (document["strategy"]["name"], where)
    )
    return f"{strategy}_{where}_{document['identity']['config_id'][:16]}{SUFFIX}"


def write(document: Mapping[str, Any], folder: str | PathLike[str]) -> Path:
    """Write the canonical bytes of an approved document; safe against being killed at any point.

    The bytes go to a hidden temporary file of the same folder, are synced, and are renamed: under the
    final name there is nothing or the whole file, never a part. (A kill may leave the hidden
    ``.*.tmp`` file; no reader looks at it and no later export reuses it.)

    Parameters
    ----------
    document : dict
        One that the reader accepts at the moment of its creation; anything else is not exported.
    folder : path
        Made if it does not exist.

    Returns
    -------
    Path
        Of the file. Writing the same document again changes nothing and returns the same path.

    Raises
    ------
    ConfigurationError
        The reader would refuse the document; the name is taken by other content; the folder cannot be
        written. Nothing was exported then.
    """
    validate(document)
    raw = canonical_bytes(dict(document))
    read(raw, now=_latest(document))
    target = Path(folder) / file_name(document)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            _check_same(target, raw)
        else:
            _put(raw, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise ConfigurationError(
            f"{target} cannot be written: {error}. Nothing was exported; export it again."
        ) from error
    return target


def _latest(document: Mapping[str, Any]) -> datetime:
    """The moment from which on the document claims to hold: its creation or its last approval."""
    moments = [document["identity"]["created_at"], *(a["at"] for a in document["lifecycle"]["approvals"])]
    return max(to_datetime(moment) for moment in moments)


def _check_same(target: Path, raw: bytes) -> None:
    if target.read_bytes() != raw:
        raise ConfigurationError(f"{target} exists with other content: move it away, then export again.")


def _put(raw: bytes, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder; its rename is written through
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
