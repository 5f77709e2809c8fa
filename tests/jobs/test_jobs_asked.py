"""What a job may be asked, what is refused, and campaigns of many; on a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import slow_strategies
from job_helpers import GRID, market, submitted

import quantlab as ql
from quantlab.backtest.task import read_cells
from quantlab.errors import InputError, JobError, NotStoredError
from quantlab.lab import Lab, campaign
from quantlab.lab.spec import make_spec, read_execution
from quantlab.lab.work import Worker
from quantlab.market.synthetic import iid
from quantlab.validation.thresholds import Gate


def test_a_failure_names_its_cause_and_harms_no_other(lab: Lab) -> None:
    candles = market(lab, 63, bars=400)
    broken, sound = lab.submit("breaking", candles), submitted(lab, candles, "sweep")
    assert lab.work(say=lambda _: None) == 2
    assert broken.status == "failed"
    assert "ArithmeticError: this strategy cannot be evaluated" in broken.row.error_message
    with pytest.raises(JobError, match="cannot be evaluated"):
        broken.result()
    assert sound.status == "completed"


def test_a_job_may_ask_the_gate(lab: Lab) -> None:
    candles = market(lab, 64, bars=2_400)
    job = lab.submit(
        "slow_average", candles, {"window": [10, 20, 40], "distance": [0.0, 0.01]}, validate=True
    )
    lab.work(say=lambda _: None)
    verdict = job.verdict()
    assert not verdict.approved
    assert "refused by the gate" in repr(job)
    assert verdict.evidence.standing is not None
    assert verdict.evidence.standing.k == 1
    row = lab.store.configuration_row(job.row.result_config_id)
    assert row["parameters_json"] == dict(verdict.cell.params) == job.result()["chosen"]["params"]
    plain = submitted(lab, candles, "sweep")
    lab.work(say=lambda _: None)
    with pytest.raises(JobError, match="validate=True"):
        plain.verdict()


def test_bad_input_is_refused_before_it_is_queued(lab: Lab) -> None:
    candles = market(lab, 65, bars=300)
    before = len(lab.jobs(limit=None))
    with pytest.raises(JobError, match=r"not those of the job|are read from the database"):
        lab.submit("slow_average", iid(n_bars=300, timeframe="4h", seed=999))
    with pytest.raises(InputError, match="in another process"):
        lab.submit("slow_average", candles, sampler=ql.reference_grid("slow_average"))
    with pytest.raises(InputError, match="did you mean"):
        lab.submit("slow_average", candles, {"windw": [1]})
    with pytest.raises(InputError, match="did you mean"):
        lab.submit("slow_average", candles, sampler="randm")
    with pytest.raises(InputError, match="`bounds`, not `grid`"):
        lab.submit("slow_average", candles, GRID, sampler="random")
    with pytest.raises(InputError, match="cannot be sent"):
        lab.submit("slow_average", candles, sampler="random", on_batch=print)
    with pytest.raises(InputError, match="need a `sampler`"):
        lab.submit("slow_average", candles, seed=3)
    local = ql.signals.Strategy("local", slow_strategies.SPACE, slow_strategies.signals, lambda p: 1)
    with pytest.raises(JobError, match="not registered"):
        lab.submit(local, candles)
    with pytest.raises(JobError, match="a lease takes"):
        Worker(lab, lease_s=0.0)
    assert len(lab.jobs(limit=None)) == before


def test_unknown_jobs_are_answered_with_the_last_ones(lab: Lab) -> None:
    job = submitted(lab, market(lab, 66, bars=300), "sweep")
    with pytest.raises(NotStoredError, match=f"there is no job nonsense: the last ones are .*{job.id}"):
        lab.job("nonsense")
    with pytest.raises(NotStoredError, match="there is no job 0000"):
        lab.store.jobs.cancel("00000000-0000-0000-0000-000000000000")
    assert lab.job(job.id[:8]).id == job.id
    with pytest.raises(JobError, match=r"is queued after 0\.1 s\. No worker has taken it"):
        job.wait(timeout=0.1)
    assert job.cancel() == "cancelled"
    with pytest.raises(JobError, match="is cancelled already"):
        job.cancel()


def test_the_estimate_counts_the_searches_that_the_gate_makes_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(lab.store.jobs), "speed", lambda *_: 1e6)
    candles = market(lab, 72, bars=2_000)
    gates: list[Any] = [False, Gate(), Gate(folds=2, draws=400), Gate(alpha=0.001)]
    specs = [make_spec(lab.store, "slow_average", candles, GRID, validate=gate) for gate in gates]
    once = specs[0].work / 1e6
    for spec, parts, draws in zip(specs, (1, 8, 4, 8), (0, 332, 400, 3_323), strict=True):
        found = campaign.estimate(lab.store, [spec])
        nulls = 20 if spec.gate else 0
        assert found.seconds == pytest.approx((parts + nulls) * once)
        assert found.most_seconds == pytest.approx((parts + 2 * draws) * once)
        assert ("where the gate draws all its null markets" in str(found)) == bool(spec.gate)
    together = campaign.estimate(lab.store, specs, workers=2)
    assert together.seconds == pytest.approx((1 + 28 + 24 + 28) * once / 2)
    assert together.most_seconds == pytest.approx((8 + 2 * 3_323) * once)  # the longest job, by one worker


def test_jobs_that_ask_the_gate_do_not_slow_the_estimate_of_others(lab: Lab) -> None:
    candles = market(lab, 73, bars=500)
    spec = make_spec(lab.store, "slow_average", candles, GRID, validate=True)
    where = "strategy_of_this_test", "grid"
    for gate, seconds in ((spec.gate, 1_000.0), (None, 2.0)):
        row = spec.columns() | {"strategy_id": where[0], "work": 600}
        id = lab.store.jobs.submit(row, replace(spec, gate=gate).to_json())
        taken = lab.store.jobs.lease("somebody", 30.0)
        assert taken is not None
        assert taken.id == id
        lab.store.jobs.finish(id, 1, "completed", result={})
        with lab.store._connections.transaction() as connection:
            connection.execute(
                "update training_jobs set completed_at = started_at + %s * interval '1 s' where id = %s",
                [seconds, id],
            )
    assert lab.store.jobs.speed(*where) == pytest.approx(300.0)


def test_a_campaign_isolates_what_cannot_be_done(lab: Lab) -> None:
    one, two = market(lab, 70, bars=500), market(lab, 71, bars=500)
    made = lab.train(
        ["slow_average", "breaking", "slow_average"],
        [one.exchange],
        [one.symbol, two.symbol, "NO/SUCH"],
        "4h",
        workers=2,
    )
    assert len(made.jobs) == 4
    assert len(made.refused) == 2
    assert made.estimate.unknown == 2
    (why,) = made.estimate.failures
    assert why.startswith("breaking failed with")
    assert why in str(made.estimate)
    assert made.estimate.seconds > 0
    assert "2 refused" in repr(made)
    assert lab.work(campaign=made, say=lambda _: None) == 4
    frame = made.wait(1.0).to_frame()
    assert frame["status"].value_counts().to_dict() == {"completed": 2, "failed": 2, "refused": 2}
    assert frame["error"].str.contains("no candles of .*NO/SUCH").sum() == 2
    later = lab.train("slow_average", one.exchange, [one.symbol, two.symbol], "4h")
    assert later.estimate.unknown == 0
    assert later.cancel() == 2
    assert later.cancel() == 0


def test_a_campaign_shares_one_budget_of_false_approvals(lab: Lab) -> None:
    one, two = market(lab, 72, bars=500), market(lab, 73, bars=500)
    where: tuple[Any, ...] = (["slow_average", "sma_cross"], one.exchange, [one.symbol, two.symbol], "4h")
    asked = lab.train(*where, validate=Gate(alpha=0.04))
    assert [job.row.spec["gate"]["alpha"] for job in asked.jobs] == [0.02] * 4
    alone = lab.train("slow_average", one.exchange, one.symbol, "4h", validate=True)
    assert alone.jobs[0].row.spec["gate"]["alpha"] == Gate().alpha
    plain = lab.train(*where)
    assert [job.row.spec["gate"] for job in plain.jobs] == [None] * 4
    assert (asked.cancel(), alone.cancel(), plain.cancel()) == (4, 1, 4)


def test_cells_and_rules_come_back_from_their_json() -> None:
    space = slow_strategies.SPACE
    space = ql.signals.find_strategy("slow_average").space
    for cells in (space.grid(**GRID), space.points([{"window": 7}, {"window": 9, "distance": 0.05}])):
        assert read_cells(space, cells.to_json()).to_json() == cells.to_json()
    for rules in (ql.Execution(), ql.Execution(ql.Costs(0.002), "short", sizing=ql.Risk(0.02))):
        assert read_execution(rules.to_json()) == rules
