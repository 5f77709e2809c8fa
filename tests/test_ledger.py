"""The ledger: everything that is searched counts, before it is evaluated, once, for ever."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

import quantlab as ql
from quantlab.backtest.announce import announce, announced
from quantlab.backtest.task import make_tasks
from quantlab.errors import InputError
from quantlab.lab import Lab
from quantlab.market.candles import Candles
from quantlab.market.resample import resample
from quantlab.market.synthetic import iid
from quantlab.search.run import search
from quantlab.settings import Settings
from quantlab.validation.budget import Standing, alpha_left, alpha_of
from quantlab.validation.verdict import Verdict

GRID = {"fast": [5, 8, 12], "slow": [40, 64]}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(Settings(home=tmp_path_factory.mktemp("ledger home"))) as opened:
        yield opened


def market(seed: int, bars: int = 2_400) -> Candles:
    return iid(n_bars=bars, timeframe="4h", seed=seed)


def counts(lab: Lab, candles: Candles) -> tuple[int, int]:
    found = lab.ledger(candles)
    return len(found.searches), found.trials


def test_shares_of_the_budget_add_up_to_it() -> None:
    assert alpha_of(1) == pytest.approx(0.0303964, rel=1e-5)
    assert alpha_of(2) == pytest.approx(alpha_of(1) / 4)
    spent = sum(alpha_of(k) for k in range(1, 1_001))
    assert spent + alpha_left(1_000) == pytest.approx(0.05)
    # the tail of 1 / k^2 after n lies between 1 / (n + 1) and 1 / n
    assert 1 / 1_001 < alpha_left(1_000) * math.pi**2 / 0.3 < 1 / 1_000
    assert alpha_left(0) == 0.05
    with pytest.raises(InputError, match="from 1"):
        alpha_of(0)


def test_a_sweep_and_a_search_are_one_search_each(lab: Lab) -> None:
    candles = market(1)
    lab.sweep("sma_cross", candles, GRID, progress=False)
    assert counts(lab, candles) == (1, 6)
    for _ in range(2):  # the same again is counted once
        lab.sweep("sma_cross", candles, GRID, progress=False)
        lab.search("sma_cross", candles, sampler="random", trials=50, batch=20, seed=2, progress=False)
        assert counts(lab, candles) == (2, 56)
    lab.search("sma_cross", candles, sampler="random", trials=50, batch=20, seed=3, progress=False)
    assert counts(lab, candles)[0] == 3
    frame = lab.ledger(candles).to_frame()
    assert frame["k"].tolist() == [1, 2, 3]
    assert frame["cells"].tolist() == [6, 50, 50]
    assert frame["alpha_k"].tolist() == [alpha_of(1), alpha_of(2), alpha_of(3)]
    said = str(lab.ledger(candles))
    assert "106 cells ever evaluated in 3 searches" in said
    assert f"(k = 4) may spend {alpha_of(4):.2g}" in said
    assert candles.family in lab.ledger()._repr_html_()


def test_only_searches_that_share_time_share_a_budget(lab: Lab) -> None:
    whole = market(4)
    first, second, middle = whole[:1_200], whole[1_200:], whole[600:1_800]
    for candles in (first, second, middle, resample(first, "1d")):
        lab.sweep("sma_cross", candles, GRID, progress=False)
    ks = {(s.first_ms, s.timeframe): s.place for s in lab.ledger(whole).searches}
    assert ks[first.first_ms, "4h"] == 1
    assert ks[second.first_ms, "4h"] == 1  # no bar in common with the first
    assert ks[middle.first_ms, "4h"] == 3
    assert counts(lab, second) == (2, 12)
    assert counts(lab, first) == (3, 18)  # another timeframe of the same bars is the same data
    for one in lab.ledger(whole).searches:
        assert lab.store.counted(whole.family, one.first_ms, one.last_ms)[1] >= one.place


def test_what_fails_was_counted_before(lab: Lab) -> None:
    candles = market(5)
    evaluated: list[int] = []

    @ql.strategy("breaks", ql.Space(ql.Int("window", 5, 60, 10, "bars", "w")), lambda p: p["window"] + 1)
    def signals(columns: Candles, p: ql.Params) -> ql.Signals:
        evaluated.append(lab.ledger(candles).trials)
        raise ZeroDivisionError("while it is evaluated")

    with pytest.raises(ZeroDivisionError):
        lab.sweep("breaks", candles, {"window": [10, 20, 30]}, progress=False)
    assert evaluated[0] == 3
    with pytest.raises(ZeroDivisionError):
        lab.search("breaks", candles, sampler="random", trials=40, batch=7, progress=False)
    assert evaluated[-1] == 3 + 7
    assert counts(lab, candles) == (2, 10)


KILLED = """
import sys
from pathlib import Path
import quantlab as ql
from quantlab.lab import Lab
from quantlab.market.synthetic import iid
from quantlab.settings import Settings
lab = Lab(Settings(home=Path(sys.argv[1])))
candles = iid(n_bars=2_400, timeframe="4h", seed=6)
study = lab.search("sma_cross", candles, sampler="random", trials=400, batch=4, seed=1, progress=False,
    on_batch=lambda frame: print(len(frame), flush=True))
"""


def test_a_killed_search_is_counted_and_its_repetition_counts_nothing_twice(lab: Lab) -> None:
    candles = market(6)
    command = [sys.executable, "-c", KILLED, str(lab.settings.home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        known = [int(process.stdout.readline()) for _ in range(9)]
        process.send_signal(signal.SIGKILL)
        known += [int(line) for line in process.stdout]
    searches, trials = counts(lab, candles)
    assert searches == 1
    assert sum(known) <= trials <= sum(known) + 4  # the batch under way at most
    assert trials < 400
    options = {"trials": 400, "batch": 4, "seed": 1, "progress": False}
    lab.search("sma_cross", candles, sampler="random", **options)
    assert counts(lab, candles) == (1, 400)


def test_what_was_made_without_a_lab_says_so_and_is_counted_when_judged(lab: Lab) -> None:
    candles = market(7)
    surface = ql.sweep(
        "sma_cross", candles, ql.strategies.get("sma_cross").space.grid(**GRID), progress=False
    )
    assert not surface.counted
    assert "counted in no ledger" in repr(surface)
    assert "counted in no ledger" in repr(ql.sweep("sma_cross", [candles], surface.cells, progress=False))
    assert counts(lab, candles) == (0, 0)
    verdict = lab.validate(surface, candles, progress=False)
    assert counts(lab, candles) == (1, 6)
    assert verdict.evidence.standing == Standing(6, 1, 1, outside=True)
    assert "made without a lab" in verdict.evidence["trials"].detail
    inside = lab.sweep("sma_cross", candles, GRID, progress=False)
    assert inside.counted
    assert "ledger" not in repr(inside)
    assert counts(lab, candles) == (1, 6)


def test_a_verdict_knows_which_search_it_was(lab: Lab) -> None:
    candles = market(8)
    first = lab.sweep("sma_cross", candles, GRID, progress=False)
    study = lab.search("sma_cross", candles, sampler="random", trials=20, seed=1, progress=False)
    third = lab.sweep("sma_cross", candles, {"fast": [5, 9], "slow": [60]}, progress=False)
    assert study.surface.counted
    for searched, k in ((third, 3), (first, 1), (study, 2)):
        verdict = lab.validate(searched, candles, progress=False)
        assert verdict.evidence.standing == Standing(28, 3, k)
        document = verdict.to_json()["evidence"]["ledger"]
        assert document["alpha_k"] == alpha_of(k)
        assert document["alpha_left"] == alpha_left(3)
        assert f"Search number {k} on them" in str(verdict)
        assert Verdict.from_json(verdict.to_json()).evidence.standing == verdict.evidence.standing


def test_a_study_made_without_a_lab_is_counted_when_judged(lab: Lab) -> None:
    candles = market(9)
    study = search("sma_cross", candles, sampler="random", trials=15, progress=False)
    verdict = lab.validate(study, candles, progress=False)
    assert verdict.evidence.standing == Standing(15, 1, 1, outside=True)


def test_single_cells_that_no_search_evaluated_are_trials(lab: Lab) -> None:
    candles = market(10)
    lab.put_candles(candles)
    surface = lab.sweep("sma_cross", candles, GRID, progress=False)
    study = lab.search("sma_cross", candles, sampler="random", trials=10, progress=False)
    lab.run(surface, surface.cell((1, 1)))
    lab.run(surface, {"fast": 5, "slow": 40})
    lab.run(study.surface, study.surface.cell((3,)))
    assert counts(lab, candles) == (2, 16)
    for _ in range(2):
        lab.run(surface, {"fast": 6, "slow": 40})
        lab.daily_returns(surface, [{"fast": 7, "slow": 40}, {"fast": 8, "slow": 64}])
        lab.run(study.surface, {"fast": 5, "slow": 41})
        assert counts(lab, candles) == (2, 19)
    assert lab.ledger(candles).to_frame()["cells"].tolist() == [8, 11]


def test_nobody_listens_outside_a_lab() -> None:
    task = make_tasks("sma_cross", market(1))[0]
    assert not announce(task)
    with announced(lambda _: None):
        assert announce(task)
    assert not announce(task)
