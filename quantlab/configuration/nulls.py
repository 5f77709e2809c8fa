"""How a V3 document says that something was not measured: null, and beside it the reason.

The object that holds a null has a map ``unmeasured`` with the reason under the same key::

    {"tick_size": null, "unmeasured": {"tick_size": "candles do not tell; ask the exchange"}}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from quantlab.errors import ConfigurationError


def stated(values: Mapping[str, Any], reasons: Mapping[str, str] | str = "") -> dict[str, Any]:
    """An object of the document: plain values, and a reason for each that is None, NaN or infinite.

    Parameters
    ----------
    values : mapping
        Python or NumPy scalars, or plain JSON values.
    reasons : mapping or str
        Why a value is missing, by key, or one reason for all.

    Raises
    ------
    ConfigurationError
        A value is missing and nobody says why.
    """
    result = {key: plain(value) for key, value in values.items()}
    missing = [key for key, value in result.items() if value is None]
    why = {key: reasons if isinstance(reasons, str) else reasons.get(key, "") for key in missing}
    for key, reason in why.items():
        if not reason:
            raise ConfigurationError(f"{key!r} was not measured and has no reason: say why it is missing.")
    return {**result, "unmeasured": why} if why else result


def plain(value: Any) -> Any:
    """A NumPy scalar as a Python scalar, NaN and infinity as None; everything else as it is."""
    if hasattr(value, "dtype") and getattr(value, "ndim", None) == 0:
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
