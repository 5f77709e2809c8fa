"""The section ``group`` of a V3 document: the members of an ensemble trade together or not at all.

A member gets `weight` of the equity; all other sections of its document describe it alone on that share, in
fractions of it. So a bot multiplies by the weight once: where it decides what capital a configuration has.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from quantlab.configuration.canonical import sha256

_NAMESPACE = uuid.UUID("0d5c7a86-2f0b-5e0c-8e0f-3b0f3d1c9a57")


def group_id(surface_key: str, members: Sequence[Mapping[str, Any]]) -> str:
    """Id of a group: a UUID (version 5) of the search that chose it and of its members' parameters.

    Parameters
    ----------
    surface_key : str
        Of the search: code, cells, candles and execution.
    members : sequence of mapping
        Parameters of each.
    """
    own = sorted(sha256(dict(params)) for params in members)
    return str(uuid.uuid5(_NAMESPACE, sha256({"search": surface_key, "members": own})))


def group_sections(
    surface_key: str, members: Sequence[Mapping[str, Any]], metric: str
) -> tuple[dict[str, Any], ...]:
    """The section of each member, in their order; the weights are equal and sum to 1.

    Parameters
    ----------
    surface_key : str
    members : sequence of mapping
        Parameters of each, the best first.
    metric : str
        By which they were ranked.
    """
    common = {"id": group_id(surface_key, members), "members": len(members), "weight": 1.0 / len(members)}
    rule = f"equal weights among the best hundredth of the cells by {metric}, rebalanced daily"
    return tuple({**common, "place": place, "rule": rule} for place in range(1, len(members) + 1))
