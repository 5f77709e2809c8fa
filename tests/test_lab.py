"""The lab on a real PostgreSQL: what is stored, counted, resumed, judged, approved."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantlab as ql
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.sweep import surfaces
from quantlab.configuration import reader
from quantlab.errors import ConfigurationError, InputError, NotStoredError, UnknownNameError
from quantlab.lab import Lab
from quantlab.market.candles import Candles
from quantlab.market.resample import resample
from quantlab.market.synthetic import garch, iid, planted_momentum
from quantlab.settings import Settings
from quantlab.store.parts import Parts
from quantlab.validation.thresholds import Gate

FAST, SLOW = [5, 8, 12, 18, 24], [64, 96, 140, 180, 240]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(Settings(home=tmp_path_factory.mktemp("lab home"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def planted(lab: Lab) -> Candles:
    made = planted_momentum(n_bars=6_000, timeframe="4h", true_sharpe=3.0, half_life_bars=80, seed=3)
    lab.put_candles(made)
    return lab.candles(made.exchange, made.symbol, "4h")


def small(lab: Lab, candles: Candles) -> ql.Surface:
    return lab.sweep("sma_cross", candles, {"fast": FAST, "slow": SLOW}, progress=False)


def test_candles_come_back_as_they_were(lab: Lab, planted: Candles) -> None:
    again = planted_momentum(n_bars=6_000, timeframe="4h", true_sharpe=3.0, half_life_bars=80, seed=3)
    assert planted.fingerprint == again.fingerprint
    assert lab.put_candles(again) == 1
    market = lab.markets().iloc[0]
    assert (market["exchange"], market["timeframe"], market["rows"]) == (planted.exchange, "4h", 6_000)


def test_a_frame_is_stored_like_candles(lab: Lab) -> None:
    frame = iid(n_bars=50, timeframe="1h", seed=5).to_frame().reset_index()
    lab.put_candles(frame, "desk", "ABC/USD", "1h")
    stored = lab.candles("desk", "ABC/USD", "1h", start="1970-01-01")
    np.testing.assert_array_equal(stored.close, frame["close"])
    part = lab.candles("desk", "ABC/USD", "1h", start=str(np.datetime64(int(stored.timestamps[10]), "ms")))
    assert part.first_ms == stored.timestamps[10]


def test_a_market_that_is_not_stored_names_what_is(lab: Lab, planted: Candles) -> None:
    with pytest.raises(NotStoredError, match=planted.symbol):
        lab.candles(planted.exchange, planted.symbol.replace("USD", "EUR"), "4h")


def test_a_sweep_is_counted_once_and_read_back_bit_for_bit(lab: Lab, planted: Candles) -> None:
    first = small(lab, planted)
    counted = lab.store.trials_ever(planted.family), lab.store.searches(planted.family)
    again = small(lab, planted)
    assert (lab.store.trials_ever(planted.family), lab.store.searches(planted.family)) == counted
    assert counted[0] >= first.size
    assert list(again.metrics) == list(METRICS)
    for name in METRICS:
        assert first[name].tobytes() == again[name].tobytes()


def test_only_cells_that_satisfy_the_constraints_are_trials(lab: Lab) -> None:
    candles = iid(n_bars=600, timeframe="1h", seed=11)
    lab.sweep("sma_cross", candles, {"fast": [5, 50], "slow": [20, 80]}, progress=False)
    assert lab.store.trials_ever(candles.family) == 3
    none = lab.sweep("sma_cross", candles, {"fast": [50, 60], "slow": [20, 30]}, progress=False)
    assert np.isnan(none["sharpe"]).all()
    assert lab.store.trials_ever(candles.family) == 3


def test_an_interrupted_sweep_goes_on_from_its_parts(
    lab: Lab, planted: Candles, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = ql.reference_grid("sma_cross")
    whole = ql.sweep("sma_cross", planted, grid, progress=False)
    computed: list[int] = []

    class Stopping(Parts):
        def save(self, part: int, values: np.ndarray) -> None:
            super().save(part, values)
            computed.append(part)
            if len(computed) == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr("quantlab.lab.sweeps.surfaces", functools.partial(surfaces, budget=6_000 * 6 * 40))
    monkeypatch.setattr("quantlab.lab.sweeps.Parts", Stopping)
    with pytest.raises(KeyboardInterrupt):
        lab.sweep("sma_cross", planted, grid, progress=False)
    kept = set(lab.store.load_chunks(whole.key))
    assert kept == set(computed)
    assert len(kept) == 3
    assert not lab.store.has_surface(whole.key)
    resumed = lab.sweep("sma_cross", planted, grid, progress=False)
    assert not kept & set(computed[3:])
    assert len(computed) > 6
    assert lab.store.load_chunks(whole.key) == {}
    for name in METRICS:
        assert whole[name].tobytes() == resumed[name].tobytes()


def test_the_planted_edge_is_approved_once(lab: Lab, planted: Candles) -> None:
    surface = small(lab, planted)
    verdict = lab.validate(surface, progress=False)
    assert verdict.approved, verdict
    assert lab.validate(surface, progress=False).to_json() == verdict.to_json()
    approval = lab.approve(verdict, by="ana", reason="holds on all folds")
    document = reader.read(approval.path)
    assert document["identity"]["config_id"] == approval.config_id
    assert document["lifecycle"]["approvals"][0]["by"] == "ana"
    row = lab.store.configuration_row(approval.id)
    assert len(row) == 70
    assert row["is_active"]
    assert row["parameters_json"] == dict(verdict.cell.params)
    assert row["sharpe_ratio"] == pytest.approx(verdict.cell.metrics["sharpe"])
    assert row["fill_rate"] is None
    assert lab.approve(verdict, by="ben", reason="again") == approval
    assert len(lab.store.active_configurations()) == 1
    lab.store.verify_audit()


def test_a_stricter_gate_is_not_answered_with_an_earlier_approval(lab: Lab, planted: Candles) -> None:
    surface = small(lab, planted)
    lab.approve(lab.validate(surface, progress=False), by="ana", reason="holds on all folds")
    strict = lab.validate(surface, gate=Gate(alpha=1e-12), progress=False)
    assert not strict.approved
    with pytest.raises(ConfigurationError, match="refused"):
        lab.approve(strict, by="ana", reason="it was approved before")


def test_noise_is_refused_kept_and_cannot_be_approved(lab: Lab) -> None:
    candles = iid(n_bars=3_000, timeframe="4h", seed=7)
    lab.put_candles(candles)
    verdict = lab.validate(small(lab, candles), progress=False)
    assert not verdict.approved
    assert verdict.reasons
    with pytest.raises(ConfigurationError, match="refused"):
        lab.approve(verdict, by="ana", reason="I like it")
    names = {(row["strategy_name"], row["pair"]) for row in lab.store.active_configurations()}
    assert ("sma_cross", candles.symbol) not in names


def test_a_study_is_stored_counted_and_judged(lab: Lab, planted: Candles) -> None:
    before = lab.store.trials_ever(planted.family)
    study = lab.search("sma_cross", planted, sampler="random", trials=40, seed=2, progress=False)
    assert lab.store.trials_ever(planted.family) == before + study.n_trials == before + 40
    verdict = lab.validate(study, progress=False)
    assert verdict.surface_key == study.surface.key


def test_the_report_is_one_file(lab: Lab, planted: Candles, tmp_path: Path) -> None:
    surface = small(lab, planted)
    path = lab.report(lab.validate(surface, progress=False), path=tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    assert planted.symbol in text
    assert "<script src" not in text
    with pytest.raises(InputError, match="at least one verdict"):
        lab.report()


def test_a_cell_is_inspected_by_vectorbt(lab: Lab, planted: Candles) -> None:
    surface = small(lab, planted)
    run = lab.run(surface, surface.plateau().cell)
    daily = lab.daily_returns(surface, [surface.plateau().cell, run.params])
    np.testing.assert_allclose(daily, [run.daily, run.daily], rtol=1e-9, atol=1e-12)
    portfolio = lab.inspect(surface, surface.plateau().cell)
    assert portfolio.total_return() == pytest.approx(run.metrics["net_profit"], abs=1e-9)


def test_changed_candles_are_noticed(lab: Lab) -> None:
    candles = iid(n_bars=3_000, timeframe="4h", seed=21)
    lab.put_candles(candles)
    surface = ql.sweep("sma_cross", candles, ql.reference_grid("sma_cross"), progress=False)
    revised = iid(n_bars=3_000, timeframe="4h", seed=22)
    frame = revised.to_frame().reset_index()
    lab.put_candles(frame, candles.exchange, candles.symbol, "4h")
    with pytest.raises(InputError, match="changed since"):
        lab.validate(surface, progress=False)


def test_typos_are_answered_with_the_nearest_name(lab: Lab, planted: Candles) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'sma_cross'"):
        lab.sweep("sma_cros", planted)
    with pytest.raises(UnknownNameError, match="did you mean 'fast'"):
        lab.sweep("sma_cross", planted, {"fats": [1]})
    with pytest.raises(InputError, match="fractions, not percent"):
        lab.sweep("liquidity_sweep", planted, {"pierce_depth": 0.18})
    with pytest.raises(UnknownNameError, match="did you mean 'sharpe'"):
        small(lab, planted)["sharp"]


def test_threads_share_a_lab(lab: Lab, planted: Candles) -> None:
    wanted = small(lab, planted)["sharpe"].tobytes()
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(small(lab, planted)["sharpe"].tobytes()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wanted] * 4


def test_fingerprints_name_every_metric(
    lab: Lab, planted: Candles, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.fingerprint(small(lab, planted))
    printed = capsys.readouterr().out
    assert all(name in printed for name in METRICS)
    assert json.dumps(printed)


def searches(lab: Lab, *markets: Candles) -> tuple[int, ...]:
    return tuple(lab.store.searches(candles.family) for candles in markets)


def test_markets_are_stored_and_counted_one_by_one(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = (iid(n_bars=1_500, timeframe="1h", seed=seed) for seed in (31, 32, 33))
    grid = {"fast": FAST, "slow": SLOW}
    stopped: list[int] = []

    class Stopping(Parts):
        def save(self, part: int, values: np.ndarray) -> None:
            stopped.append(part)
            if len(stopped) == 2:
                raise KeyboardInterrupt
            super().save(part, values)

    with monkeypatch.context() as patch:
        patch.setattr("quantlab.lab.sweeps.Parts", Stopping)
        with pytest.raises(KeyboardInterrupt):
            lab.sweep("sma_cross", [one, two, three], grid, progress=False)
    assert searches(lab, one, two, three) == (1, 1, 0)  # what was begun counts
    together = lab.sweep("sma_cross", [one, two, three], grid, progress=False)
    assert searches(lab, one, two, three) == (1, 1, 1)
    for place, candles in enumerate((one, two, three)):
        alone = lab.sweep("sma_cross", candles, grid, progress=False)
        assert alone.key == together.market(place).key
        assert all(alone[name].tobytes() == together.market(place)[name].tobytes() for name in METRICS)
        assert lab.store.load_chunks(alone.key) == {}
    assert searches(lab, one, two, three) == (1, 1, 1)
    with pytest.raises(InputError, match=r"about one market, got a sweep of 3: validate surface\.market"):
        lab.validate(together)
    cell = together.best(min_trades=1)
    assert lab.run(together.market(1), cell).metrics["trades"] == together["trades"][1][cell.index]


def test_what_was_asked_besides_is_stored_piece_by_piece(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    candles = iid(n_bars=4_000, timeframe="4h", seed=34)
    grid = {"pierce_depth": [0.0005, 0.002], "stop_atr": [0.5, 1.0], "reward_risk": [1.5, 2.0]}
    asked: dict[str, Any] = {"assumptions": ["optimistic"], "regimes": np.arange(4_000) % 3, "blocks": 4}
    first = lab.sweep("liquidity_sweep", candles, grid, progress=False, **asked)
    assert not np.array_equal(first["net_profit"], first.under("optimistic")["net_profit"])
    assert searches(lab, candles) == (2,)
    monkeypatch.setattr("quantlab.lab.sweeps.surfaces", None)  # nothing is computed from here on
    again = lab.sweep("liquidity_sweep", candles, grid, progress=False, **asked)
    assert again.key == first.key
    assert again.extras.rows.tobytes() == first.extras.rows.tobytes()
    assert again.blocks.market.tobytes() == first.blocks.market.tobytes()
    for assumption in ("neutral", "optimistic"):
        rules = ql.Execution(assumption=assumption)
        alone = lab.sweep("liquidity_sweep", candles, grid, execution=rules, progress=False)
        for found in (first.under(assumption), again.under(assumption)):
            assert alone.key == found.key
            assert all(alone[name].tobytes() == found[name].tobytes() for name in METRICS)
    assert searches(lab, candles) == (2,)


def test_extras_do_not_stand_in_the_way_of_a_verdict(lab: Lab, planted: Candles) -> None:
    surface = lab.sweep(
        "sma_cross",
        planted,
        {"fast": FAST, "slow": SLOW},
        progress=False,
        assumptions=["optimistic"],
        blocks=8,
    )
    verdict = lab.validate(surface, progress=False)
    assert verdict.surface_key == surface.plain_key == small(lab, planted).key
    assert verdict.to_json() == lab.validate(small(lab, planted), progress=False).to_json()


def test_a_cell_is_run_with_the_lower_timeframe_of_its_surface(lab: Lab) -> None:
    lower = garch(20_000, seed=8)
    candles = resample(lower, "1d")
    lab.put_candles(lower)
    for how in ({}, {"intrabar": lower}):
        surface = lab.sweep("liquidity_sweep", candles, {"stop_atr": [0.5, 1.5]}, progress=False, **how)
        lab._candles.pop(lower.fingerprint, None)
        assert lab.run(surface, surface.cell((0,))).metrics["net_profit"] == surface["net_profit"][0]
        assert (lower.fingerprint in lab._candles) == ("intrabar" in how)
