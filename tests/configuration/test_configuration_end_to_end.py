"""From a real sweep through the real gate to a file that the reader accepts."""

from datetime import UTC, datetime

import pytest

from quantlab.backtest.execution import Costs, Execution
from quantlab.backtest.sweep import sweep
from quantlab.configuration import export
from quantlab.configuration.candidate import candidate
from quantlab.configuration.document import approve
from quantlab.configuration.reader import read
from quantlab.configuration.row import columns
from quantlab.errors import ConfigurationError
from quantlab.market.synthetic import iid, planted_momentum
from quantlab.strategies import get
from quantlab.validation.gate import validate

WHEN = "2026-01-31T12:00:00Z"


def _judged(candles):
    strategy = get("sma_cross")
    grid = strategy.grid(fast=[5, 8, 12, 18], slow=[24, 36, 54, 80])
    surface = sweep(strategy, candles, grid, Execution(costs=Costs(0.0005, 0.0005, 1.0)), progress=False)
    verdict = validate(surface, candles, trials_ever=16, progress=False)
    return candidate(surface, candles, verdict, created_at=WHEN, source="synthetic"), verdict


@pytest.mark.slow
def test_an_edge_is_approved_exported_and_read(tmp_path):
    document, verdict = _judged(planted_momentum(2_500, seed=3, true_sharpe=3.0))
    assert verdict.approved, verdict.reasons
    assert document["validation"]["replay"]["agreed"]
    approved = approve(document, by="ana", reason="holds on all paths", at="2026-02-01T00:00:00Z")
    path = export.write(approved, tmp_path)
    read_back = read(path, now=datetime(2026, 2, 2, tzinfo=UTC))
    values = {name: entry["value"] for name, entry in read_back["strategy"]["parameters"].items()}
    assert values == dict(verdict.cell.params)
    assert columns(approved)["status"] in ("VALIDATION", "MATURE")
    again, _ = _judged(planted_momentum(2_500, seed=3, true_sharpe=3.0))
    assert again == document


@pytest.mark.slow
def test_noise_is_a_row_and_no_export(tmp_path):
    document, verdict = _judged(iid(2_500, seed=11))
    assert not verdict.approved
    assert columns(document)["status"] != "MATURE"
    with pytest.raises(ConfigurationError, match="the gate refused"):
        approve(document, by="ana", reason="please", at="2026-02-01T00:00:00Z")
    assert list(tmp_path.iterdir()) == []
