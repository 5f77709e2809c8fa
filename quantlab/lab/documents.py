"""V3 documents and their rows in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantlab.store.store import Store


@dataclass(frozen=True)
class Approval:
    """An approved configuration: where it lies.

    Attributes
    ----------
    id : str
        Of its row in ``trained_configurations``.
    config_id : str
        SHA-256 (hex) of the V3 document.
    path : Path
        The exported document.
    """

    id: str
    config_id: str
    path: Path


def put_document(store: Store, document: Mapping[str, Any]) -> tuple[str, bytes]:
    """Store a document and its row; the row's id and the document's canonical bytes."""
    from quantlab.configuration import canonical, row

    payload = canonical.canonical_bytes(document)
    return store.put_configuration(row.columns(document), payload), payload


def approved_before(store: Store, draft: Mapping[str, Any]) -> dict[str, Any] | None:
    """The approved form of this candidate, if it is in force already and still the same."""
    from quantlab.configuration import row

    wanted = str(row.columns(draft)["id"])
    for active in store.active_configurations():
        if str(active["id"]) == wanted:
            return dict(json.loads(store.configuration_document(wanted)))
    return None
