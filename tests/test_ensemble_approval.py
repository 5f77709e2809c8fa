"""An ensemble from the sweep to documents that a bot may trade: judged together, approved together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from quantlab.backtest.surface import Surface
from quantlab.configuration import reader, schema
from quantlab.configuration.group import group_sections
from quantlab.configuration.row import candidate_id
from quantlab.errors import ConfigurationError, UnknownNameError
from quantlab.lab import Lab
from quantlab.market.candles import Candles
from quantlab.market.synthetic import garch, planted_momentum
from quantlab.settings import Settings
from quantlab.validation import evidence, together
from quantlab.validation.ensemble import choose_ensemble, record, runs_of
from quantlab.validation.gate import candidate, validate
from quantlab.validation.thresholds import Gate
from quantlab.validation.verdict import Test, Verdict
from quantlab.validation.walkforward import trade_together

GRID = {"fast": [3, 5, 8, 12, 16, 20], "slow": [24, 30, 40, 50, 60, 80]}
GATE = Gate(choice="ensemble", draws=39, alpha=0.2, folds=2)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(Settings(home=tmp_path_factory.mktemp("ensemble home"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def candles(lab: Lab) -> Candles:
    made = planted_momentum(2_000, timeframe="1d", seed=1, true_sharpe=3.5)
    lab.put_candles(made)
    return lab.candles(made.exchange, made.symbol, "1d")


@pytest.fixture(scope="module")
def surface(lab: Lab, candles: Candles) -> Surface:
    return lab.sweep("sma_cross", candles, GRID, progress=False)


@pytest.fixture(scope="module")
def verdict(lab: Lab, surface: Surface, candles: Candles) -> Verdict:
    return lab.validate(surface, candles, gate=GATE, progress=False)


def test_it_is_judged_together(verdict: Verdict, surface: Surface, candles: Candles) -> None:
    assert verdict.approved, str(verdict)
    members = choose_ensemble(surface, "timing_t", 30)
    assert verdict.members == members
    assert verdict.cell == members[0] == candidate(surface, GATE)
    assert f"(an ensemble of {len(members)} cells, the best of them fast=" in str(verdict).splitlines()[0]
    found = record(runs_of(surface.strategy, candles, members, surface.execution))
    nulls = verdict.evidence.nulls
    assert nulls is not None
    assert nulls.real == found.timing_t  # the score of the search is that of what is exported
    assert verdict.evidence["ensemble"].value == found.sharpe
    for name in ("trades", "activity", "live_parity", "second_engine", "double_costs", "delay"):
        assert f"holds for each of {len(members)} members" in verdict.evidence[name].detail
    assert Verdict.from_json(verdict.to_json()).members == members


def test_recency_trades_what_the_first_part_chose(
    verdict: Verdict, surface: Surface, candles: Candles, lab: Lab
) -> None:
    known = candles[:1_400]
    again = lab.sweep("sma_cross", known, GRID, progress=False)
    members = choose_ensemble(again, "timing_t", 21)  # 30 trades on 2,000 bars: the same rate
    params = [cell.params for cell in members]
    window = trade_together(surface.strategy, candles, params, surface.execution, slice(1_400, 2_000))
    assert f"timing t = {window.timing_t:.2f}" in verdict.evidence["recency"].detail


def test_all_members_are_rows_and_are_approved_together(lab: Lab, verdict: Verdict, surface: Surface) -> None:
    documents = lab._documents(verdict)
    weights = [document["group"]["weight"] for document in documents]
    assert sum(weights) == pytest.approx(1.0)
    assert len({document["group"]["id"] for document in documents}) == 1
    assert [document["group"]["place"] for document in documents] == list(range(1, len(documents) + 1))
    ids = [str(candidate_id(document)) for document in documents]
    assert len(set(ids)) == len(verdict.members)
    for id, member, document in zip(ids, verdict.members, documents, strict=True):
        row = lab.store.configuration_row(id)
        assert row["parameters_json"] == dict(member.params)
        assert (
            row["max_position_size"] == document["group"]["weight"]
        )  # of the whole equity: all in its share
        assert document["risk_limits"]["max_position_fraction"] == 1.0  # of its share
    assert lab.store.active_configurations() == []
    approval = lab.approve(verdict, by="ana", reason="the best hundredth held")
    active = lab.store.active_configurations()
    assert {str(row["id"]) for row in active} == set(ids)
    assert {str(row["group_id"]) for row in active} == {documents[0]["group"]["id"]}
    assert [each.id for each in approval.members] == ids
    for each, member in zip(approval.members, verdict.members, strict=True):
        document = reader.read(each.path)
        values = {n: entry["value"] for n, entry in document["strategy"]["parameters"].items()}
        assert values == dict(member.params)
        assert document["schema"]["least_reader"] == "3.1"
        assert document["validation"]["replay"]["agreed"]
    again = lab.approve(verdict, by="ana", reason="asked twice")
    assert again == approval
    assert lab.store.verify_audit() == len(ids)

    single = lab.validate(surface, gate=replace(GATE, choice="plateau"), progress=False)
    assert single.approved, str(single)
    alone = lab.approve(single, by="ana", reason="one row is wanted")
    assert [str(row["id"]) for row in lab.store.active_configurations()] == [alone.id]
    assert alone.id not in ids  # another weight, another configuration
    assert "group" not in reader.read(alone.path)
    assert lab.store.configuration_row(alone.id)["max_position_size"] == 1.0
    back = lab.approve(verdict, by="ana", reason="and back")
    assert {str(row["id"]) for row in lab.store.active_configurations()} == {e.id for e in back.members}


def test_a_report_shows_every_member(lab: Lab, verdict: Verdict) -> None:
    page = lab.report(verdict, small=True).read_text(encoding="utf-8")
    assert f"<h3>{len(verdict.members)} members, traded together</h3>" in page
    group = lab._documents(verdict)[0]["group"]["id"]
    assert group in page
    table = page[page.index("members, traded together</h3>") :].split("</table>")[0]
    for cell in verdict.members:
        assert all(f">{value}<" in table for value in cell.params.values())


def test_an_older_reader_refuses_a_member(
    lab: Lab, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = lab._documents(verdict)[0]
    monkeypatch.setattr(schema, "VERSION", (3, 0))
    with pytest.raises(ConfigurationError, match="upgrade quantlab"):
        schema.check_version(member)


def test_a_member_that_fails_is_named() -> None:
    good = Test("delay", 1.0, 0.0, True, "fine.", 2.0)
    bad = Test("delay", -1.0, 0.0, False, "late.", 3.0)
    assert together.every([good]) is good
    held = together.every([good, replace(good, value=2.0)])
    assert (held.passed, held.value, held.seconds) == (True, 1.0, 4.0)
    failed = together.every([good, bad, bad])
    assert (failed.passed, failed.value) == (False, -1.0)
    assert failed.detail == "fails for 2 of 3 members; of member 2: late."


def test_integrity_is_asked_of_every_member(surface: Surface, candles: Candles) -> None:
    cells = [surface.cell((0, 0)), surface.cell((5, 5))]
    rules = surface.execution
    ones = [evidence.Candidate(surface.strategy, candles, cell.params, rules) for cell in cells]
    runs = [one.run() for one in ones]
    strict = Gate(min_trades=int(min(len(run.closed) for run in runs)) + 1)
    tests = {test.name: test for test in together.integrity(ones, surface.cells, runs, strict)}
    assert not tests["trades"].passed
    assert "fails for 1 of 2 members; of member 2" in tests["trades"].detail
    assert tests["second_engine"].passed
    swapped = together.integrity(ones, surface.cells, runs[::-1], GATE)
    (engine,) = [test for test in swapped if test.name == "second_engine"]
    assert not engine.passed
    assert "fails for 2 of 2" in engine.detail


def test_too_few_cells_are_no_ensemble() -> None:
    noise = garch(1_000, timeframe="1d", seed=2)
    from quantlab.backtest.sweep import sweep
    from quantlab.strategies import get

    strategy = get("sma_cross")
    few = sweep(strategy, noise, strategy.grid(fast=[3, 5], slow=[15, 20]), progress=False)
    verdict = validate(few, noise, gate=GATE, progress=False)
    assert verdict.members == ()
    assert not verdict.approved
    assert verdict.evidence["search_rerun"].value == 1.0
    assert verdict.evidence["ensemble"].value is None


def test_what_a_gate_may_choose() -> None:
    with pytest.raises(UnknownNameError, match="choice of the gate"):
        Gate(choice="peak")
    assert Gate().choice == "plateau"
    sections = group_sections("a" * 64, [{"x": 1}, {"x": 2}, {"x": 3}], "timing_t")
    assert sections[0]["id"] == group_sections("a" * 64, [{"x": 3}, {"x": 1}, {"x": 2}], "sharpe")[0]["id"]
    assert sections[0]["id"] != group_sections("b" * 64, [{"x": 1}, {"x": 2}, {"x": 3}], "timing_t")[0]["id"]
    assert np.sum([section["weight"] for section in sections]) == pytest.approx(1.0)
