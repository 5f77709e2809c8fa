"""A candidate's row and document for the store's tests, as small as approve_config allows."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any


def columns(number: int = 1, **changes: Any) -> dict[str, Any]:
    row = {
        "id": uuid.UUID(int=number),
        "strategy_name": "sma_cross",
        "exchange": "coinbase",
        "pair": "BTC/USD",
        "timeframe": "1h",
        "regime": "all",
        "status": "VALIDATION",
        "is_active": False,
        "parameters_json": {"fast": 10 * number, "slow": 50},
        "net_profit": 0.12,
        "sharpe_ratio": 1.1,
        "sample_size": 55,
        "engine_hash": "ab" * 32,
    }
    return row | changes


def payload(row: dict[str, Any], days: float = 30, **changes: Any) -> bytes:
    expires = datetime.now(UTC).replace(microsecond=0, tzinfo=None) + timedelta(days=days)
    document = {
        "identity": {"expires_at": expires.isoformat() + "Z"},
        "strategy": {
            "name": row["strategy_name"],
            "parameters": {name: {"value": value} for name, value in row["parameters_json"].items()},
        },
        "market": {"exchange": row["exchange"], "symbol": row["pair"], "timeframe": row["timeframe"]},
        "validation": {"approved": True},
    }
    return json.dumps(document | changes).encode()


def digest(document: bytes) -> str:
    return sha256(document).hexdigest()
