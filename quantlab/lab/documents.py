"""V3 documents and their rows in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantlab.backtest.surface import Cell, Surface
from quantlab.market.candles import Candles
from quantlab.store.store import Store
from quantlab.validation.verdict import Verdict


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
    members : tuple of Approval
        Of an ensemble all of them, the best first, whose figures these are; empty of a single cell.
    """

    id: str
    config_id: str
    path: Path
    members: tuple[Approval, ...] = ()


@dataclass(frozen=True)
class Judged:
    """A verdict with what it was made from."""

    surface: Surface
    candles: Candles
    method: str
    seed: int | None
    created_at: str
    searched: Surface  # with what else was asked of the sweep


def drafts(origin: Judged, verdict: Verdict, touches: int | None = None) -> list[dict[str, Any]]:
    """The V3 documents of a verdict, not yet approved: of its cell, or of each member of its ensemble.

    Parameters
    ----------
    origin : Judged
    verdict : Verdict
    touches : int, optional
        Of the market's hold-out; None if it has none.
    """
    from quantlab.configuration.group import group_sections

    if not verdict.members:
        return [_draft(origin, verdict, verdict.cell, hold_out_touches=touches)]
    params = [cell.params for cell in verdict.members]
    groups = group_sections(verdict.surface_key, params, verdict.evidence.gate.metric)
    return [
        _draft(origin, verdict, cell, hold_out_touches=touches, group=group)
        for cell, group in zip(verdict.members, groups, strict=True)
    ]


def _draft(origin: Judged, verdict: Verdict, cell: Cell, **extras: Any) -> dict[str, Any]:
    from quantlab.configuration.candidate import candidate

    where = origin.surface.identity
    source = f"{where.exchange} {where.symbol} {where.timeframe} as stored in the lab's database"
    return candidate(
        origin.surface,
        origin.candles,
        verdict,
        created_at=origin.created_at,
        source=source,
        method=origin.method,
        seed=origin.seed,
        member=cell,
        **extras,
    )


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
