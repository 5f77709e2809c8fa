"""From a file to an exported configuration: validate, approve, research."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli_helpers import BTC, GRID, SMALL, parse, process
from typer.testing import Result

from quantlab import research
from quantlab.backtest.execution import Costs, Execution
from quantlab.lab import Lab
from quantlab.market.candles import Candles


def test_validate_prints_the_stored_verdict_and_approve_obeys_it(
    call: Callable[..., Result], lab: Lab, tmp_path: Path
) -> None:
    free = ("--taker", "0", "--maker", "0", "--slippage-bps", "0")
    asked = ("sma_cross", *BTC, *SMALL, *free)
    first, second = call("validate", *asked, "--json"), call("validate", *asked, "--json")
    assert first.exit_code == 0
    assert first.stdout == second.stdout
    execution = Execution(Costs(0.0, 0.0, 0.0))
    surface = lab.sweep("sma_cross", lab.candles(*BTC), GRID, execution=execution, progress=False)
    verdict = lab.validate(surface, progress=False)
    assert parse(first.stdout) == verdict.to_json()
    assert not verdict.approved, "nothing that trades for free is approved"
    assert call("validate", *asked).stdout.strip() == str(verdict).strip()

    ledger = lab.store.active_configurations()
    denied = call("approve", *asked, "--by", "ana", "--reason", "hope", "--json")
    assert denied.exit_code == 1
    answer = parse(denied.stdout)
    assert answer["reasons"] == list(verdict.reasons)
    assert (answer["approved"], answer["path"]) == (False, None)
    assert all(
        reason in call("approve", *asked, "--by", "ana", "--reason", "hope").stdout
        for reason in verdict.reasons
    )
    assert lab.store.active_configurations() == ledger

    page = tmp_path / "new folder" / "page.html"
    assert parse(call("report", *asked, "--output", str(page), "--json").stdout)["path"] == str(page)
    assert "REFUSED" in page.read_text().upper()
    blocked = call("report", *asked, "--output", str(page / "inside a file.html"), "--json")
    assert (blocked.exit_code, blocked.stdout) == (2, "")


def test_from_a_file_to_an_exported_configuration(
    home: Path, call: Callable[..., Result], lab: Lab, planted: Candles, tmp_path: Path
) -> None:
    file, market = tmp_path / "planted.parquet", (planted.exchange, planted.symbol, planted.timeframe)
    planted.to_frame().to_parquet(file)
    options = ("--exchange", market[0], "--symbol", market[1], "--timeframe", market[2])
    assert call("import", str(file), *options).exit_code == 0
    asked = ("approve", "sma_cross", *market, "--by", "ana", "--reason", "the edge was planted", "--json")
    done = process(home, *asked)
    assert (done.returncode, done.stderr) == (0, "")
    approval = parse(done.stdout)
    assert approval["approved"]
    assert [str(row["id"]) for row in lab.store.active_configurations()] == [approval["id"]]
    assert parse(call(*asked).stdout) == approval

    read = parse(call("config", "read", approval["path"], "--json").stdout)
    assert (read["tradable"], read["reason"]) == (True, None)
    assert read["document"]["identity"]["config_id"] == approval["config_id"]
    parameters = read["document"]["strategy"]["parameters"]
    text = call("config", "read", approval["path"]).stdout
    assert all(f"{name} = {entry['value']}" in text for name, entry in parameters.items())
    altered = tmp_path / "altered.json"
    altered.write_bytes(Path(approval["path"]).read_bytes().replace(b"ana", b"bob"))
    refused = call("config", "read", str(altered), "--json")
    assert refused.exit_code == 1
    assert parse(refused.stdout)["tradable"] is False
    assert parse(refused.stdout)["reason"] in refused.stderr
    assert call("config", "read", str(tmp_path / "absent.json")).exit_code == 1


def test_research_answers_with_its_findings(
    call: Callable[..., Result], lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    surface = lab.sweep("sma_cross", lab.candles(*BTC), GRID, progress=False)
    verdict = lab.validate(surface, progress=False)

    def short(
        lab: Lab, *, progress: bool, say: Callable[[str], None], notebooks: Path | None
    ) -> research.Findings:
        say("a line for the reader")
        finding = research.Finding(surface, surface.plateau(), verdict, None)
        made = () if notebooks is None else (notebooks / "made.ipynb",)
        return research.Findings((finding,), tmp_path / "report.html", made)

    monkeypatch.setattr(research, "run", short)
    assert call("research").stdout == "a line for the reader\n"
    done = call("research", "--json")
    answer = parse(done.stdout)
    assert done.stderr == "a line for the reader\n"
    assert answer["report"] == str(tmp_path / "report.html")
    assert answer["notebooks"] == []
    for asked, folder in (
        (("--notebook",), lab.settings.home / "notebooks"),
        (("--folder", str(tmp_path)), tmp_path),
    ):
        told = parse(call("research", *asked, "--json").stdout)
        assert told["notebooks"] == [str(folder / "made.ipynb")]
    (finding,) = answer["findings"]
    assert (finding["key"], finding["approved"], finding["configuration"]) == (
        surface.key,
        verdict.approved,
        None,
    )
    assert finding["plateau"]["params"] == surface.plateau().cell.params
