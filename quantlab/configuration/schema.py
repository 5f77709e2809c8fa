"""The published schema of a V3 document, and the rules that a JSON Schema cannot say.

Besides ``v3.schema.json`` (JSON Schema 2020-12, nothing unknown allowed) a document must hold to these:

- **Nulls**: what was not measured is null, and the object that holds the null says why, under the same
  key in its map ``unmeasured``. A null without a reason, or a reason without a null, is refused.
- Moments exist in the calendar, and the document expires after it was created.
- A parameter lies within the bounds that were searched, and those within the bounds of its space.

Imports nothing beyond jsonschema and the standard library: a bot installs this.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantlab.configuration.moments import to_datetime
from quantlab.errors import ConfigurationError

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

NAME = "quantlab.config"
VERSION = (3, 1)
"""The version that this package writes, and the newest that it reads in full."""

_REMEDY = {
    "additionalProperties": "remove what the schema does not know, or read it with a newer quantlab",
    "required": "export the configuration again; nothing is filled in by default",
    "const": "export the configuration again with this version of quantlab",
}
_SHOWN = 5


def load() -> dict[str, Any]:
    """The JSON Schema as a dict, as it ships with the package."""
    path = Path(__file__).with_name("v3.schema.json")
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


def validate(document: Mapping[str, Any]) -> None:
    """Raise unless `document` is a well-formed V3 document.

    Says nothing about its hash, approval or expiry: that is the reader's work.

    Parameters
    ----------
    document : dict
        As `quantlab.configuration.canonical.parse` returns it.

    Raises
    ------
    ConfigurationError
        Names the path, the condition and the remedy of each fault (the first five).
    """
    check_version(document)
    errors = sorted(
        _validator().iter_errors(document), key=lambda error: [str(key) for key in error.absolute_path]
    )
    faults = [f"{error.json_path}: {_short(error.message)} ({_remedy(error.validator)})" for error in errors]
    faults = faults or [*_null_faults(document, "$"), *_date_faults(document), *_parameter_faults(document)]
    if faults:
        more = f" And {len(faults) - _SHOWN} more." if len(faults) > _SHOWN else ""
        raise ConfigurationError(f"not a valid {NAME} document: {'; '.join(faults[:_SHOWN])}.{more}")


def check_version(document: Mapping[str, Any]) -> None:
    """Raise unless the document says that this version of quantlab may read it.

    Raises
    ------
    ConfigurationError
        Another kind of document, an unknown major version, or a reader too old for it.
    """
    head = document.get("schema")
    if not isinstance(head, Mapping) or head.get("name") != NAME:
        raise ConfigurationError(f"$.schema.name must be {NAME!r}: this is not a quantlab configuration.")
    major, _ = _version(head.get("version"), "version")
    if major != VERSION[0]:
        raise ConfigurationError(
            f"$.schema.version is {head['version']!r}, this reader knows major {VERSION[0]} only: "
            "use the quantlab release that wrote it."
        )
    if _version(head.get("least_reader"), "least_reader") > VERSION:
        raise ConfigurationError(
            f"$.schema.least_reader is {head['least_reader']!r}, this reader is {VERSION[0]}.{VERSION[1]}: "
            "upgrade quantlab."
        )


def _version(text: Any, name: str) -> tuple[int, int]:
    match = re.fullmatch(r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})", text) if isinstance(text, str) else None
    if match is None:
        raise ConfigurationError(f"$.schema.{name} must read like '3.0', got {text!r}: export it again.")
    return int(match[1]), int(match[2])


@lru_cache(maxsize=1)
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(load())


def _short(message: str) -> str:
    return message if len(message) <= 200 else f"{message[:60]} … {message[-130:]}"


def _remedy(keyword: Any) -> str:
    return _REMEDY.get(str(keyword), "export the configuration again; never edit it by hand")


def _null_faults(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        reasons = value.get("unmeasured", {})
        nulls = {key for key, item in value.items() if item is None}
        for key in sorted(nulls - set(reasons)):
            yield f"{path}.{key} is null without a reason (give it in {path}.unmeasured)"
        for key in sorted(set(reasons) - nulls):
            yield f"{path}.unmeasured gives a reason for {key!r}, which is not null (remove the reason)"
        for key, item in value.items():
            yield from _null_faults(item, f"{path}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _null_faults(item, f"{path}[{i}]")


def _date_faults(document: Mapping[str, Any]) -> Iterator[str]:
    identity = document["identity"]
    created, expires = to_datetime(identity["created_at"]), to_datetime(identity["expires_at"])
    if expires <= created:
        yield f"$.identity.expires_at must lie after created_at, got {identity['expires_at']} (export again)"
    for approval in document["lifecycle"]["approvals"]:
        to_datetime(approval["at"])


def _parameter_faults(document: Mapping[str, Any]) -> Iterator[str]:
    for name, p in document["strategy"]["parameters"].items():
        if p["type"] == "choice":
            holds = p["value"] in p["searched"] and set(p["searched"]) <= set(p["options"])
        else:
            bounds, searched = p["bounds"], p["searched"]
            holds = bounds["low"] <= searched["low"] <= p["value"] <= searched["high"] <= bounds["high"]
        if not holds:
            where = f"$.strategy.parameters.{name}"
            yield f"{where} is {p['value']!r}, outside what was searched (search there first)"
