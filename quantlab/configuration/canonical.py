"""Canonical bytes and the id of a V3 document: RFC 8785, so that equal content has equal bytes.

A document is written, hashed and stored as its canonical form: keys sorted, no white space, numbers in
their shortest ECMAScript form, UTF-8. JSON has one kind of number, so ``1.0`` and ``1`` are the same
content: a whole float reads back as an int.

**The id** is the SHA-256 of the canonical form without two keys, which cannot contain their own hash:
``identity.config_id`` and ``signature``. Everything else is covered, dates and approvals included.
Nothing here reads a clock, so the same content always has the same id.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from quantlab.errors import ConfigurationError

EXCLUDED = ("identity.config_id", "signature")
"""Keys that the id does not cover."""

_SAFE = 2**53 - 1


def canonical_bytes(value: Any) -> bytes:
    """RFC 8785 bytes of a JSON value.

    Parameters
    ----------
    value : dict, list, str, int, float, bool or None
        Plain values; ints within +-(2**53 - 1), floats finite.

    Raises
    ------
    ConfigurationError
        Something has no canonical form (NaN, infinity, a NumPy scalar, a key that is not text); names
        the path.
    """
    import rfc8785

    _check(value, "$")
    try:
        return rfc8785.dumps(value)
    except ValueError as error:
        raise ConfigurationError(
            f"the document has no canonical form: {error}; use valid Unicode text."
        ) from error


def sha256(value: Any) -> str:
    """SHA-256 (hex) of the canonical bytes of a JSON value."""
    return hashlib.sha256(canonical_bytes(value)).hexdigest()


def config_id(document: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the canonical form of `document` without the keys in ``EXCLUDED``."""
    content = {key: value for key, value in document.items() if key != "signature"}
    identity = document.get("identity")
    if not isinstance(identity, Mapping):
        raise ConfigurationError(
            "$.identity must be an object, it is missing: the document has no identity to hash."
        )
    content["identity"] = {key: value for key, value in identity.items() if key != "config_id"}
    return sha256(content)


def with_id(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy whose ``identity.config_id`` is the id of its content."""
    identity = {**document["identity"], "config_id": config_id(document)}
    return {**document, "identity": identity}


def parse(raw: bytes) -> dict[str, Any]:
    """Read bytes as one JSON object, refusing what JSON readers usually let pass.

    Parameters
    ----------
    raw : bytes
        UTF-8 without a byte order mark.

    Returns
    -------
    dict
        Whole numbers beyond +-(2**53 - 1) come back as floats, so that parsing and writing are inverse.

    Raises
    ------
    ConfigurationError
        Not UTF-8, not JSON, cut short, a repeated key, NaN, infinity, or not an object.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"the file must be one UTF-8 JSON document: {error}; fetch or export it again."
        ) from error
    if not isinstance(value, dict):
        raise ConfigurationError(
            f"the file must hold a JSON object, got {type(value).__name__}: export it again."
        )
    return value


def _check(value: Any, path: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if type(key) is not str:
                raise ConfigurationError(f"{path} has the key {key!r}: keys must be text.")
            _check(item, f"{path}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _check(item, f"{path}[{i}]")
    elif type(value) is float:
        if not math.isfinite(value):
            raise ConfigurationError(f"{path} is {value}: write null and give the reason in `unmeasured`.")
    elif type(value) is int:
        if abs(value) > _SAFE:
            raise ConfigurationError(f"{path} is {value}: whole numbers must lie within +-(2**53 - 1).")
    elif value is not None and type(value) not in (str, bool):
        raise ConfigurationError(f"{path} is a {type(value).__name__}: convert it to a plain JSON value.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} occurs more than once")
    return result


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _integer(text: str) -> int | float:
    if len(text) > 400:
        raise ValueError("a number has more than 400 digits")
    number = int(text)
    return number if abs(number) <= _SAFE else _finite(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is beyond the range of a double")
    return number
